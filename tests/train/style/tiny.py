"""A small network that says what content and style are, and pictures to learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import zfcuda

OPTIONS = {"size": 16, "style_size": 16, "batch": 2, "steps": 6, "width": 0.1, "workers": 0, "save_minutes": 1e-9}


class Network(nn.Sequential):
    """Maps of two sizes, and behind them two classes of images of 16 x 16."""

    def __init__(self, order: str = "rgb") -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(512, 2),
        )
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
        self.preprocess = zfcuda.Preprocess(16, 16, (0.4, 0.5, 0.6), (0.2, 0.3, 0.2), order=order)


def picture(number: int) -> Image.Image:
    """Stripes in two colours."""
    chance = np.random.default_rng(number)
    colours = chance.integers(0, 256, (2, 3), dtype=np.uint8)
    rows = np.arange(24)[:, None] + (number % 3) * np.arange(20)
    return Image.fromarray(colours[(rows // 3) % 2])


def make(folder: Path) -> Path:
    """A folder of five pictures, one of them in a folder of it, and two style pictures beside it."""
    (folder / "photos" / "more").mkdir(parents=True)
    for number in range(5):
        picture(number).save(folder / "photos" / ("more" if number == 4 else "") / f"{number}.png")
    for name, number in (("oil", 10), ("ink", 11)):
        picture(number).save(folder / f"{name}.png")
    return folder
