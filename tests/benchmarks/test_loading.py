"""The benchmark of loading runs on any folder; no test looks at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import loading
from tests.train.sets.trees import tree


def test_it_measures_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tree(tmp_path / "data", {f"{part}/{kind}": 2 for part in ("train", "val") for kind in "ab"})
    assert loading.main([str(data), "--pictures", "4", "--json", str(tmp_path / "found.json")]) == 0
    written = json.loads((tmp_path / "found.json").read_text())
    assert written["data"] in capsys.readouterr().out and written["environment"]["date"]
    assert set(written["milliseconds"]) == {
        *(f"{what} from {place}" for what in ("read", "modern", "paper") for place in ("files", "memory")),
        "to floats",
    }
    assert all(value > 0 for value in written["milliseconds"].values())
