"""Small networks, an image and a picture that adversaries are made of."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda.data import Preprocess

SHAPE = (3, 6, 6)
IMAGE = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))


class Linear(nn.Module):
    """Logistic regression of images of 3 x 6 x 6."""

    preprocess: Any = None
    classes: Any = None

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(108, outputs)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layer(images.flatten(1))
        return scores


def linear(outputs: int = 2, seed: int = 0) -> Linear:
    torch.manual_seed(seed)
    return Linear(outputs)


def away(model: Linear, image: Tensor) -> tuple[Tensor, float]:
    """The gradient [C,H,W] of the other logit less that of the answer, and how far that is below zero."""
    weight = model.layer.weight
    scores = model(image[None])[0].detach()
    label = int(scores.argmax())
    slope = (weight[1 - label] - weight[label]).detach().view(SHAPE)
    return slope, float(scores[label] - scores[1 - label])


class Small(nn.Module):
    """A network of two convolutions for three classes."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = 8 * self.head(self.body(images).mean((2, 3)))
        return scores


def with_preprocess(side: int = 6) -> Linear:
    model = linear()
    model.preprocess = Preprocess(side, side, (0.4, 0.5, 0.6), (0.1, 0.2, 0.4))
    return model


def picture(seed: int = 0, side: int = 6) -> Image.Image:
    values = torch.randint(0, 256, (side, side, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Image.fromarray(values.numpy())
