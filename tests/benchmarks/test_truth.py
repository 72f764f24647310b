"""The recorded figures on whether explanations are true, and the document that was written of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks import truth

FIGURES = json.loads((truth.RESULTS / "truth.json").read_text(encoding="utf-8"))


def test_what_was_wanted_is_reached() -> None:
    assert FIGURES["pictures"] >= 200 and FIGURES["chance"]["pointing"] < 0.2
    assert FIGURES["methods"]["occlusion"]["pointing"]["value"] >= 0.95
    assert FIGURES["methods"]["gradcam"]["pointing"]["value"] >= 0.80
    assert FIGURES["paper"]["occluder"]["value"] >= 0.9 and FIGURES["paper"]["projection"]["value"] >= 0.8


def test_the_document_is_of_these_figures() -> None:
    text = (truth.DOCUMENTS / "truth.md").read_text(encoding="utf-8")
    assert FIGURES["command"] in text and FIGURES["date"] in text
    for name, measured in FIGURES["methods"].items():
        pointing = measured["pointing"]
        assert f"| {name} | {100 * pointing['value']:.1f} ({100 * pointing['low']:.1f} ... " in text
    for picture in ("truth-maps.png", "truth-shuffled.png"):
        assert f"({picture})" in text and (truth.DOCUMENTS / picture).is_file()


def test_the_figures_go_to_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def command(words: list[str]) -> int:
        asked.append(words)
        (tmp_path / "truth.json").write_text("{}")
        return len(asked) - 1

    monkeypatch.setattr(truth, "DOCUMENTS", tmp_path)
    monkeypatch.setattr(truth, "RESULTS", tmp_path / "results")
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(truth.cli, "main", command)
    monkeypatch.setattr("sys.argv", ["truth", "--pictures", "7"])
    truth.main()
    assert asked == [["truth", "--pictures", "7", "--device", "cpu", "--out", os.path.relpath(tmp_path)]]
    assert (tmp_path / "results" / "truth.json").exists() and not (tmp_path / "truth.json").exists()
    with pytest.raises(SystemExit):  # the command failed
        truth.main()
    assert (tmp_path / "truth.json").exists()
