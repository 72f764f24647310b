"""``zfcuda texture``: what it writes, and what it refuses before the work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zfcuda
from zfcuda import cli
from zfcuda.synthesis.texture import tree

NO_TREE = ["--method", "exhaustive", "--window", "5"]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    file = tmp_path / "some stones.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)).save(file)
    return file


def test_it_writes_a_picture(sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert cli.main(["texture", str(sample), "--size", "18x11", "--out", str(out), "--seed", "3", *NO_TREE]) == 0
    [file] = out.iterdir()
    assert file.name == "some_stones_exhaustive.png" and capsys.readouterr().out.split() == [str(file)]
    expected = zfcuda.texture(sample, (18, 11), method="exhaustive", window=5, seed=3)
    assert Image.open(file).tobytes() == expected.tobytes()


def test_twice_as_large_where_no_size_is_named(sample: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    assert cli.main(["texture", str(sample), "--out", str(tmp_path / "out"), "--window", "5"]) == 0
    assert Image.open(tmp_path / "out" / "some_stones_tree.png").size == (48, 40)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--size", "18x4x2"], "--size: expected N or WxH pixels, as in 256 or 256x192, got '18x4x2'"),
        (["--size", "0x4"], "--size: expected N or WxH pixels, as in 256 or 256x192, got '0x4'"),
        (["--window", "4"], "window: expected an odd number from 3 to 63, got 4"),
        (["--window", "21"], "sample: expected at least 21 x 21 pixels, the size of the window, got 24 x 20"),
        (["--model", "demo"], "--model: --method tree uses no network; it is for gram"),
        (["--std", "1,1,1"], "--std: --method tree uses no network; it is for gram"),
        (["--layer", "conv1"], "--layer: --method tree uses no network; it is for gram"),
        (["--method", "gran"], "--method: invalid choice: 'gran'"),
    ],
)
def test_bad_input(
    words: list[str], said: str, sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    try:
        code = cli.main(["texture", str(sample), "--out", str(out), *words])
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 2 and said in capsys.readouterr().err and not out.exists()


def test_a_large_sample_gives_no_larger_picture(tmp_path: Path) -> None:
    file = tmp_path / "stripe.png"
    Image.new("RGB", (600, 8), "teal").save(file)
    assert (
        cli.main(["texture", str(file), "--out", str(tmp_path / "out"), "--method", "exhaustive", "--window", "3"]) == 0
    )
    assert Image.open(tmp_path / "out" / "stripe_exhaustive.png").size == (512, 7)


def test_a_network_whose_pixels_only_the_options_know(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bare.py").write_text("from torch import nn\nnet = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--method", "gram", "--layer", "1", "--model", "bare:net", "--size", "12", "--out", str(tmp_path / "out")]
    assert cli.main(["texture", str(sample), *words, "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2"]) == 0
    assert Image.open(tmp_path / "out" / "some_stones_gram.png").size == (12, 12)


def test_a_sample_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["texture", str(tmp_path / "nothing.png")]) == 2
    assert "nothing.png: no such file" in capsys.readouterr().err


def test_ctrl_c_writes_the_picture_so_far(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*rest: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tree.Level, "choose", interrupted)
    assert cli.main(["texture", str(sample), "--size", "18x11", "--out", str(tmp_path / "out"), *NO_TREE]) == 130
    assert Image.open(tmp_path / "out" / "some_stones_exhaustive.png").size == (18, 11)
    said = capsys.readouterr()
    assert "interrupted: what was made so far is written" in said.err
    assert f"{tmp_path}/out/some_stones_exhaustive.png" in said.out
