"""``zfcuda train`` as a newcomer meets it."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from zfcuda.cli import main
from zfcuda.train.options import CHOICES, Options
from zfcuda.train.recipes import RECIPES


def help_of(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str = "100") -> str:
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit) as end:
        main(["train", "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command says in its one line before it ends with 2."""
    try:
        code = main(["train", *words])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    [line] = capsys.readouterr().err.splitlines()
    return line.removeprefix("zfcuda: error: ")


def test_help_has_every_option_in_a_group(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = help_of(capsys, monkeypatch)
    for field in dataclasses.fields(Options):
        assert re.search(rf"^  --{field.name.replace('_', '-')}\b", text, re.MULTILINE), field.name
    assert [line for line in text.splitlines() if re.fullmatch(r"\w[\w ]*:", line)] == [
        *("positional arguments:", "options:", "pictures:", "network:", "learning:", "run:"),
    ]
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("usage: zfcuda train DATA [--out RUN]")


def test_help_has_the_recipes_and_their_values(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(help_of(capsys, monkeypatch).split())
    for name, recipe in RECIPES.items():
        assert f"--recipe {name}: {' '.join(recipe.title.split())}" in text
    rates = {name: f"{recipe.defaults['rate']:g}" for name, recipe in RECIPES.items()}
    assert (
        f"learning rate (default: {rates['modern']}; close_ups: {rates['close_ups']}; paper: {rates['paper']})" in text
    )
    assert "(default: none; paper: 1,2,5,10,20,30,40,64)" in text
    assert "of everything that is random (default: 0)" in text


@pytest.mark.parametrize("name", [*CHOICES, "recipe"])
def test_words_are_checked_at_once(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = said(capsys, "DATA", "--" + name, "nonsense")
    assert line.startswith(f"argument --{name}: invalid choice: 'nonsense' (choose from ")


def test_near_misses_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "DATA", "--optimizer", "sdg").endswith("; did you mean sgd?")
    assert said(capsys, "DATA", "--recipe", "papr").endswith("; did you mean paper?")
    assert said(capsys, "DATA", "--epoch-count", "3").startswith("unrecognized arguments: --epoch-count")
    assert said(capsys, "DATA", "--optimiser", "sgd").endswith("; did you mean --optimizer?")
    assert said(capsys, "DATA", "--snapshots", "1,x").startswith("argument --snapshots: expected epochs between commas")
    assert said(capsys, "DATA", "--views", "5").startswith("argument --views: invalid choice: 5")


def test_data_or_a_run_to_plot_is_needed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert said(capsys) == "the following arguments are required: DATA, or --plot RUN"
    assert said(capsys, "DATA", "--plot", "run") == (
        "--plot: draws the run of a folder that is there, and takes no DATA"
    )
    assert said(capsys, "--plot", "run", "--epochs", "3").endswith("takes no --epochs")
    assert "has no config.json" in said(capsys, "--plot", str(tmp_path))


def test_a_run_is_plotted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "config.json").write_text(json.dumps({"version": 1}))
    names = ("loss", "top1", "top5", "validation_loss", "validation_top1", "validation_top5", "rate")
    (tmp_path / "log.jsonl").write_text(json.dumps({"epoch": 1, **dict.fromkeys(names, 0.5)}) + "\n")
    assert main(["train", "--plot", str(tmp_path), "--out", str(tmp_path / "mine.png")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'mine.png'}\n"
    assert (tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")
