"""zfcuda dream: a picture of the same size, and for every mistake one line before the work."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from zfcuda import cli
from zfcuda.data import Parts

DEMO = ["--model", "demo"]


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn picture of 91 x 60."""
    file = tmp_path_factory.mktemp("pictures") / "thing.png"
    Parts(seed=4)[0].image.resize((91, 60)).save(file)
    return file


def run(*words: str | Path) -> int:
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_a_dream(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, film = tmp_path / "out", tmp_path / "film.gif"
    options = ["--octaves", "2", "--steps", "2", "--layer", "relu2", "--animation", film]
    assert run("dream", picture, *DEMO, *options, "--out", out) == 0
    said = capsys.readouterr().out
    assert said == f"relu2, 91 x 60\n{out / 'thing_relu2.png'}\n{film}\n"
    found = Image.open(out / "thing_relu2.png")
    assert found.size == (91, 60) and found.tobytes() != Image.open(picture).tobytes()
    with Image.open(film) as moving:
        assert getattr(moving, "n_frames", 0) >= 3 and moving.size == (91, 60)


def test_the_longer_side_and_tiles(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--octaves", "1", "--steps", "1", "--size", "130", "--tile", "64"]
    assert run("dream", picture, *DEMO, *options, "--out", tmp_path) == 0
    assert capsys.readouterr().out == f"relu4, 130 x 86\n{tmp_path / 'thing_relu4.png'}\n"


def test_a_small_octave_is_left_out_with_a_word(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--octaves", "9", "--octave-scale", "3", "--steps", "1", "--layer", "relu3", "--out", tmp_path]
    assert run("dream", picture, *DEMO, *options) == 0
    assert "zfcuda: warning: octaves: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layer", "conv99"], "conv99"),
        (["--layer", "fc6"], "does not fit"),
        (["--octaves", "0"], "octaves: expected at least 1, got 0"),
        (["--octave-scale", "1"], "octave_scale: expected a number above 1, got 1"),
        (["--steps", "0"], "steps: expected at least 1, got 0"),
        (["--rate", "-1"], "rate: expected a number above 0, got -1"),
        (["--size", "0"], "--size: expected at least 1, got 0"),
        (["--tile", "0"], "tile: expected at least 1, got 0"),
        (["--jitter", "-2"], "jitter: expected at least 0, got -2"),
        (["--animation", "film.mp4"], "animation: expected a file .gif, .png"),
        (["--short-side", "20"], "unrecognized arguments: --short-side"),
    ],
)
def test_mistakes(
    words: list[str], said: str, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("dream", picture, *DEMO, "--layer", "relu1", *words, "--out", out) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0] and not out.exists()


def test_no_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("dream", tmp_path / "none.png", *DEMO) == 2
    assert "none.png: no such file" in capsys.readouterr().err


def test_a_folder_that_is_called_like_a_picture(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("dream", picture, *DEMO, "--out", tmp_path / "dream.png") == 2
    assert "dream.png: expected a folder, in which the files get their own names" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
