"""Stand-ins for torchvision's and timm's transforms, with the attributes that theirs have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda import Preprocess

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8))
HALVES = (0.5, 0.5, 0.5)
CONFIG = {"input_size": (3, 32, 32), "crop_pct": 0.9, "mean": HALVES, "std": HALVES, "interpolation": "bilinear"}


def tensor(picture: Image.Image) -> Tensor:
    """What torchvision's ToTensor does."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255


class Preset(nn.Module):
    """As torchvision's ImageClassification: a module with these attributes, [C,H,W] of a PIL picture."""

    def __init__(self, crop_size: int = 32, resize_size: int = 40) -> None:
        super().__init__()
        self.crop_size, self.resize_size = [crop_size], [resize_size]
        self.mean, self.std = [0.4, 0.5, 0.6], [0.2, 0.2, 0.2]
        self.interpolation = SimpleNamespace(value="bilinear", name="BILINEAR")
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, picture: Image.Image) -> Tensor:
        self.modes.append((self.training, torch.is_grad_enabled()))
        return Preprocess(self.crop_size[0], self.resize_size[0], self.mean, self.std, "bilinear")(picture)[0]  # type: ignore[arg-type]


class Weights:
    """As a member of torchvision's ResNet18_Weights."""

    meta: ClassVar[dict[str, Any]] = {}
    transforms = partial(Preset, crop_size=24)

    def __str__(self) -> str:
        return "Net_Weights.V1"


class Net(nn.Module):
    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)


def step(kind: str, **attributes: Any) -> Any:
    return type(kind, (), attributes)()


def composed(*steps: Any, gives: Callable[[Any], Any] = tensor) -> Any:
    """As torchvision's Compose: a list of transforms, and a call."""
    return type("Compose", (), {"transforms": list(steps), "__call__": lambda self, picture: gives(picture)})()
