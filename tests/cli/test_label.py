"""``zfcuda label``: what it refuses before any work, and what it writes of the answers that are there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.live.label.small import pictures
from zfcuda.cli import main
from zfcuda.live.label.answers import Answers


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that the command ends with."""
    assert main(["label", *map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("zfcuda: error: ") and error.count("\n") == 1
    return error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pictures(tmp_path / "test")


def test_what_is_wrong_is_told_in_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "flat" / "a.png")
    (tmp_path / "classes.txt").write_text("apple\nleaf\n")
    (tmp_path / "twice.txt").write_text("apple\napple\nleaf\nsky\n")
    for arguments, said in (
        (["empty"], "no picture in this folder"),
        (["missing"], "no such folder"),
        (["classes.txt"], "FOLDER: expected a folder of pictures, got the file classes.txt"),
        (["flat"], "--classes: expected names to choose from"),
        (["test", "--classes", "classes.txt"], "not among them: 'sky'"),
        (["test", "--classes", "twice.txt"], "each class once, got 'apple' twice"),
        (["test", "--classes", "none.txt"], "none.txt"),
        (["test", "--count", "0"], "--count: expected at least 1"),
        (["test", "--answers", "3"], "--answers: expected 1 to 2"),
        (["test", "--weights", "x"], "--weights: expected --model with it"),
        (["test", "--mean", "0.5"], "--mean: expected --model with it"),
        (["test", "--view", "network"], "--view: expected whole, as there is no --model"),
        (["test", "--model", "demo"], "--classes: expected classes that demo"),
        (["test", "--labeller", "a/b"], "labeller: expected a name"),
        (["test", "--examples", "flat"], "--examples: expected class folders"),
        (["test", "--port", "99999"], "--port: expected 0 to 65535"),
        (["test", "--out", "classes.txt"], "--out classes.txt: a file"),
        (["test", "--report"], "--report: expected answers in out/label, got none"),
    ):
        assert said in refused(capsys, *arguments, *([] if "--port" in arguments else ["--no-browser"])), arguments
    assert not (tmp_path / "out").exists()


def test_without_the_extra_it_says_what_to_install(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert "pip install zfcuda[live]" in refused(capsys, folder)


def test_the_report_needs_no_server(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    out = tmp_path / "out"
    out.mkdir()
    with Answers(out, "Ann", {"answers": 1, "view": "whole"}) as own:
        own.answer("sky/secret-sky-0.jpg", ["sky"], 2.0)
        own.answer("leaf/secret-leaf-0.jpg", ["apple"], 4.0)
        own.answer("gone.jpg", ["apple"], 4.0)
    assert main(["label", str(folder), "--out", str(out), "--report"]) == 0
    assert capsys.readouterr().out.strip() == f"{out / 'label.html'}; beside it: numbers.json, labels.csv"
    found = json.loads((out / "numbers.json").read_text())["labellers"]["Ann"]
    assert found["pictures"] == 2 and found["scores"][0]["person"]["hits"] == 1 and found["median_seconds"] == 3.0
    again = (out / "answers-ann.jsonl").read_text()
    assert json.loads(again.splitlines()[-1])["shown"] == 3
