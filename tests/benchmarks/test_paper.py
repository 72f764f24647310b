"""What is stored of the paper's figures, and the document that was written of it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import paper, paper_document
from benchmarks.paper_document import SETTINGS, document, pictures_shown, reason
from benchmarks.paper_reasons import WHY
from tests.paper import small
from zfcuda.paper.result import Result
from zfcuda.paper.written import written
from zfcuda.paper_names import homes

STORED: dict[str, Any] = json.loads(paper.RESULTS.read_text(encoding="utf-8")) if paper.RESULTS.is_file() else {}


def test_the_document_is_of_what_is_stored() -> None:
    assert paper.DOCUMENT.read_text(encoding="utf-8") == document(STORED)
    shown = set(pictures_shown(STORED))
    assert {path.name for path in paper.PICTURES.glob("*.png")} == shown
    assert all((paper.PICTURES / name).stat().st_size <= paper.MOST for name in shown)
    assert set(re.findall(r"\(paper/([^)]*)\)", document(STORED))) == shown


def test_every_figure_is_in_it() -> None:
    there = {name for known in STORED.values() for name in (*known["figures"], *known["left out"])}
    assert set(homes()) <= there and set(STORED) == set(SETTINGS)


def test_no_place_of_a_machine_is_stored() -> None:
    text = paper.RESULTS.read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w.])/(?:work|tmp|home|root|Users)/[^\s\"]*", text)


def test_reasons_are_of_claims_that_do_not_hold() -> None:
    fails = {
        (name, setting, claim["says"])
        for setting, known in STORED.items()
        for name, figure in known["figures"].items()
        for claim in figure["claims"]
        if claim["holds"] is False
    }
    for figure, where, begins in WHY:
        assert any(name == figure and where in (at, "") and says.startswith(begins) for name, at, says in fails), begins
    assert not [each for each in fails if not reason(each[0], each[2], each[1])]


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    out = tmp_path / "out" / "paper" / "parts"
    out.mkdir(parents=True)
    facts = {"title": "Figure 5", "source": "section 4", "says": "It moves.", "network": "small", "pictures of": "5"}
    facts |= {"preprocess": "none", "device": "cpu", "versions": {"zfcuda": "1"}, "date": "2030-01-02"}
    command = f"zfcuda paper fig5 --data {tmp_path}/clothes --out {out}"
    result = small.result(f"Measured in {tmp_path}/clothes.")
    result.tables["Long"] = [{"n": n} for n in range(99)]
    written(out, "fig5", result, {**facts, "seconds": 30.0, "command": command})
    (out / "paper.json").write_text(
        json.dumps({"left out": {"fig6": f"it needs one:\n  zfcuda train --out {tmp_path}"}})
    )
    monkeypatch.setattr(paper, "homes", lambda: {"fig5": "", "fig6": ""})
    return paper.found(out, {f"{tmp_path}/clothes": "clothes", str(tmp_path): "runs"})


def test_what_is_found_in_a_folder(stored: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    figure = stored["figures"]["fig5"]
    assert (
        figure["command"] == "zfcuda paper fig5 --data clothes" and "seconds" not in figure
    )  # what was cached took none
    assert figure["claims"][0]["found"] == "Measured in clothes." and stored["network"] == "small"
    assert len(figure["tables"]["Long"]) == 60 and figure["rows"]["Long"] == 99
    assert stored["left out"] == {"fig6": "it needs one:\n  zfcuda train --out runs"}
    monkeypatch.setattr(paper_document, "WHY", {("fig5", "", "It is <2>"): "It is so."})
    text = document({"parts": stored, "clothing": stored})
    assert "| [Figure 5](#fig5) | 1 of 3, 1 undecided | 1 of 3, 1 undecided |" in text
    assert "  - Parts: **does not hold**. It is 1.\n    Why: It is so.\n  - clothing: **does not hold**." in text
    assert "![Figure 5, Parts](paper/fig5.png)" in text and "(paper/clothing-fig5-conv1.png)" in text
    assert "| 11 |" in text and "| 12 |" not in text and "(the first 12 of 99 rows)" in text
    assert text.count("zfcuda paper fig5 --data clothes") == 1 and text.count("A note.") == 1
    assert "Not made for this document: fig6." in text


def test_pictures_of_photographs_are_shown_where_they_are_free_of_them(stored: dict[str, Any]) -> None:
    assert pictures_shown({name: stored for name in SETTINGS}) == {
        "fig5.png": "fig5.png",
        "clothing-fig5-conv1.png": "fig5-conv1.png",
        "photographs-fig5-conv1.png": "fig5-conv1.png",
    }
    stored["figures"]["fig5"]["free"] = []
    assert pictures_shown({"clothing": stored}) == {}


def test_a_picture_is_made_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 1500, 3), np.uint8))
    monkeypatch.setattr(paper, "MOST", 60_000)
    (tmp_path / "a.png").write_bytes(paper.small(noise))
    with Image.open(tmp_path / "a.png") as made:
        assert made.width < 1200 and os.path.getsize(tmp_path / "a.png") <= 60_000
        assert abs(made.width / made.height - 5) < 0.1
    plain = Image.new("RGB", (700, 300), (10, 200, 30))
    (tmp_path / "b.png").write_bytes(paper.small(plain))
    with Image.open(tmp_path / "b.png") as made:
        assert made.size == (700, 300) and made.convert("RGB").getpixel((5, 5)) == (10, 200, 30)


def test_it_runs_the_command_and_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def command(words: list[str]) -> int:
        asked.append(words)
        out = Path(words[words.index("--out") + 1])
        out.mkdir(parents=True)
        known = {"title": "T", "source": "S", "says": "It.", "network": "n", "pictures of": "p", "device": "cpu"}
        written(
            out, "fig2", Result(claims=[]), {**known, "versions": {}, "date": "d", "seconds": 1, "command": "zfcuda"}
        )
        return 0

    monkeypatch.setattr(paper.cli, "main", command)
    for name, path in (("DOCUMENT", "paper.md"), ("PICTURES", "paper"), ("RESULTS", "paper.json")):
        monkeypatch.setattr(paper, name, tmp_path / path)
    words = ["paper", "--clothing", "/data/clothes", "--runs", "/data/runs", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", words)
    paper.main()
    assert asked[1] == [
        *("paper", "all", "--data", "/data/clothes", "--model", "clothing", "--runs", "/data/runs"),
        *("--out", str(tmp_path / "out" / "clothing")),
    ]
    assert asked[0][2:4] == ["--runs", "/data/runs"] and "efficientnet_lite0" in asked[2]
    assert set(json.loads((tmp_path / "paper.json").read_text())) == set(SETTINGS)
    assert "## T" in (tmp_path / "paper.md").read_text()
    monkeypatch.setattr("sys.argv", ["paper", "--only", "clothing"])
    with pytest.raises(SystemExit, match="--clothing: expected a folder"):
        paper.main()
    monkeypatch.setattr("sys.argv", ["paper", "--render"])
    before = (tmp_path / "paper.md").read_text()
    (tmp_path / "paper.md").unlink()
    paper.main()
    assert (tmp_path / "paper.md").read_text() == before and len(asked) == 3
