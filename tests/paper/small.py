"""A network of a few weights, pictures of two classes, and figures that are planted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import zfcuda
import zfcuda.cli.paper
from zfcuda.paper.figure import Figure, Setting
from zfcuda.paper.result import Claim, Result
from zfcuda.paper_names import Option

CLASSES = ("Red-Things", "green")


def network(weight: float = 1.0) -> nn.Module:
    """Reads squares of 8, and says how red and how green they are."""
    conv = nn.Conv2d(3, 2, 1, bias=False)
    model = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with torch.no_grad():
        conv.weight.copy_(weight * torch.eye(3)[:2, :, None, None])
    model.preprocess = zfcuda.Preprocess(8, 8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    model.classes = list(CLASSES)
    return model


def folder(root: Path, counts: dict[str, int], size: int = 8) -> Path:
    """Pictures in folders of their classes, each of another brightness."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (size, size), (200 - number, 10, 10)).save(root / name / f"{number}.png")
    return root


def result(found: str = "It is 1.") -> Result:
    """A result that has something of all."""
    return Result(
        tables={"How red": [{"picture": "a", "red": 0.5}, {"picture": "b|c", "red": None}], "Empty": []},
        tensors={"values": torch.arange(3.0)},
        pictures={"": Image.new("RGB", (8, 6), "red"), "conv1": Image.new("RGB", (5, 4), "green")},
        free={"conv1"},
        claims=[Claim("It is 1.", found, True), Claim("It is <2>.", "It is 1.", False), Claim("It is 3.", "No.", None)],
        notes=["A note."],
    )


def planted(
    monkeypatch: pytest.MonkeyPatch, runs: dict[str, Callable[[Setting], Result]], options: tuple[Option, ...] = ()
) -> None:
    """Puts these figures in the place of all that there are; the options are those of the first."""
    figures = {
        name: Figure(
            name,
            f"Title of {name}",
            "section 4",
            "It says so.",
            run,
            options=options if name == next(iter(runs)) else (),
        )
        for name, run in runs.items()
    }
    from zfcuda import paper_names
    from zfcuda.paper import making

    monkeypatch.setattr(making, "figure", figures.__getitem__)
    for at in (paper_names, zfcuda.cli.paper):
        monkeypatch.setattr(at, "homes", lambda: {name: name for name in figures})
        monkeypatch.setattr(at, "titles", lambda: {name: each.title for name, each in figures.items()})
        monkeypatch.setattr(at, "options", lambda: {name: each.options for name, each in figures.items()})
