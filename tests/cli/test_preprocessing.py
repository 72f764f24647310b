"""The options for preprocessing: what they change is what the network gets, and what the report says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zfcuda import cli

MODULE = """
import torch
from torch import nn
from zfcuda import Preprocess

class Net(nn.Module):
    def __init__(self, **attributes):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.conv(x).mean((2, 3))

class Preset(nn.Module):
    crop_size, resize_size, mean, std, interpolation = [64], [70], [0.5] * 3, [0.25] * 3, "bilinear"

    def forward(self, picture):
        return Preprocess(64, 70, self.mean, self.std, "bilinear")(picture)[0]

plain = lambda: Net()
ours = lambda: Net(preprocess=Preprocess(40, 50))
preset = lambda: Net(preprocess=Preset())
layer = lambda: Net(preprocess=nn.BatchNorm2d(3))
timm = lambda: Net(pretrained_cfg={"input_size": (3, 36, 36), "crop_pct": 1.0, "mean": (0.5,) * 3, "std": (0.5,) * 3})
picture = lambda picture: picture
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != ""])
    monkeypatch.delitem(sys.modules, "preprocessed_nets", raising=False)
    Path("preprocessed_nets.py").write_text(MODULE)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 80, 3), dtype=np.uint8)).save("a.png")


def run(name: str, *options: str) -> int:
    words = f"explain a.png --model preprocessed_nets:{name} --window 30 --stride 300 --top 1 --out out".split()
    try:
        return cli.main([*words, *options])
    except SystemExit as stop:
        return int(stop.code or 0)


def report() -> tuple[dict[str, Any], list[int], str]:
    """What the report says of the preprocess, the size of what the network saw, and the page."""
    numbers = json.loads(Path("out/numbers.json").read_text())
    return numbers["networks"][0]["preprocess"], numbers["pictures"][0]["size"], Path("out/index.html").read_text()


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        (
            "plain",
            224,
            "centre 224 x 224, mean 0.485 0.456 0.406, std 0.229 0.224 0.225 (assumed: the network does not say",
        ),
        ("ours", 40, "short side to 50, bicubic, centre 40 x 40, mean 0.485 0.456 0.406, std 0.229 0.224 0.225"),
        ("preset", 64, "short side to 70, bilinear, centre 64 x 64, mean 0.5, std 0.25"),
        ("layer", 224, "its .preprocess, a BatchNorm2d, takes no pictures"),
        (
            "timm",
            36,
            "short side to 36, bicubic, centre 36 x 36, mean 0.5, std 0.5 (from the model&#x27;s pretrained_cfg)",
        ),
    ],
)
def test_what_the_network_brings_is_taken_and_said(name: str, size: int, said: str) -> None:
    assert run(name) == 0
    known, seen, page = report()
    assert seen == known["size"] == [size, size] and said in page.replace("&#39;", "&#x27;")


def test_single_settings_in_place_of_its_own() -> None:
    assert run("preset", "--mean", "0.4", "--size", "72x60", "--interpolation", "nearest") == 0
    known, seen, _ = report()
    assert seen == [72, 60] and (known["short_side"], known["interpolation"]) == (72, "nearest")
    assert (known["mean"], known["std"], known["note"]) == ([0.4] * 3, [0.25] * 3, "mean, size, interpolation as given")
    assert run("ours", "--short-side", "60", "--std", "0.1,0.2,0.3") == 0
    known, seen, _ = report()
    assert seen == [40, 40] and (known["short_side"], known["std"]) == (60, [0.1, 0.2, 0.3])


def test_a_transform_in_place_of_all() -> None:
    assert run("ours", "--preprocess", "preprocessed_nets:Preset") == 0
    known, seen, _ = report()
    assert seen == [64, 64] and known["kind"] == "preprocessed_nets.Preset"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mean", "123.7,116.3,103.5"), "argument --mean: expected numbers of 0 to 1, got 123.7,116.3,103.5; "),
        (("--mean", "123.7,116.3,103.5"), "are divided by 255: 0.485,0.456,0.406"),
        (("--std", "a,b"), "argument --std: expected numbers, as in 0.485,0.456,0.406, got 'a,b'"),
        (("--std", "0.1,0.2"), "mean, std: expected one or three numbers each"),
        (("--size", "4x5x6"), "argument --size: expected N or HxW pixels"),
        (("--short-side", "-3"), "argument --short-side: expected"),
        (("--size", "90", "--short-side", "80"), "size, short_side: expected positive sides of at most short_side"),
        (("--interpolation", "best"), "interpolation: expected one of ('bicubic', "),
        (("--preprocess", "preprocessed_nets:Preset", "--size", "3"), "preprocess: expected it alone, .* got size too"),
        (("--preprocess", "preprocessed_nets:nothing"), "has no 'nothing'"),
        (("--preprocess", "preprocessed_nets:picture"), "its preprocess gives a Image; expected a Tensor [1,C,H,W]"),
    ],
)
def test_mistakes_are_one_line(options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ours", *options) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and all(part in printed for part in said.split(".*"))
    assert not Path("out").exists()
