"""A small network with odd names of classes, drawings for it, and what the report makes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from zfcuda.report import Explanation, Folder, Subject, explain, prepare

SIDE = 48
CLASSES = ("cat", "dog <b>&", "Ärmel")


def network(classes: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 6, 3),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, classes),
    ).eval()


def preprocess(picture: Image.Image) -> Tensor:
    small = picture.resize((SIDE, SIDE), Image.Resampling.NEAREST)
    values = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(SIDE, SIDE, 3).permute(2, 0, 1)
    return (values / 255 - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1))[None] / 0.25


def subject(model: nn.Module | None = None, classes: tuple[str, ...] = CLASSES) -> Subject:
    return Subject(network() if model is None else model, preprocess, classes, "a test <network>")


def drawing(seed: int = 0) -> Image.Image:
    noise = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    big = functional.interpolate(noise, size=(SIDE, SIDE), mode="bicubic").clamp(0, 1)[0]
    return Image.fromarray((big * 255).byte().permute(1, 2, 0).numpy())


def explained(
    name: str = "one.png",
    seed: int = 0,
    of: Subject | None = None,
    top: int = 3,
    methods: Sequence[str] = (),
    **options: object,
) -> Explanation:
    options = {"window": 16, "stride": 8} | options
    return explain(prepare(of or subject(), drawing(seed), name, **options), top=top, methods=methods)  # type: ignore[arg-type]


def page_of(e: Explanation, folder: Path) -> tuple[str, dict[str, Any]]:
    """Writes the page of one picture -> (the page, what numbers.json says of the picture)."""
    with Folder(folder) as report:
        html = report.write([e]).read_text("utf-8")
    return html, json.loads((folder / "numbers.json").read_text())["pictures"][0]
