"""zfcuda invert: a sheet and numbers, and for every mistake one line before the work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from zfcuda import cli
from zfcuda.data import Parts

DEMO = ["--model", "demo"]


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pictures") / "thing.png"
    Parts(seed=4)[0].image.save(file)
    return file


def run(*words: str | Path) -> int:
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_layers_that_are_named(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--layer", "relu1", "fc6", "--steps", "4", "--grid", "3", "--out", tmp_path]
    assert run("invert", picture, *DEMO, *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == ["relu1", "fc6"]
    assert lines[2:] == [str(tmp_path / f"thing_inverted.{kind}") for kind in ("png", "json")]
    assert Image.open(tmp_path / "thing_inverted.png").height > 3 * 224
    numbers = json.loads((tmp_path / "thing_inverted.json").read_text())["layers"]
    assert [each["layer"] for each in numbers] == ["relu1", "fc6"]
    first, last = numbers
    assert 0 < first["code_error"] < 1 and f"code {first['code_error']:.1%} off" in lines[0]
    assert len(first["image_error_by_region"]) == len(first["code_error_by_region"]) == 3
    assert last["code_error_by_region"] is None and len(last["shift_by_region"][2][2]) == 2


def test_without_a_layer_they_are_those_behind_the_relus(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("invert", picture, *DEMO, "--steps", "1", "--out", tmp_path) == 0
    said = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()[:-2]]
    assert len(said) == 6 and (said[0], said[-1]) == ("relu1", "relu7")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layer", "relu1", "conv99"], "conv99"),
        (["--steps", "0"], "steps: expected at least 1, got 0"),
        (["--tv", "-1"], "tv: expected a number of at least 0, got -1"),
        (["--grid", "0"], "grid: expected 1 to 224, got 0"),
        (["--size", "200", "--layer", "fc6"], "does not fit"),
    ],
)
def test_mistakes(
    words: list[str], said: str, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("invert", picture, *DEMO, "--layer", "relu1", "relu2", *words, "--out", out) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0] and not out.exists()
