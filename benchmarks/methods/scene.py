"""What all methods look at: a network for photographs and its photographs, the drawn pictures and their network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.data import HELD_OUT_SEED, Parts

NETWORK, PHOTOGRAPH = "efficientnet_lite0", "chelsea"
# All are public domain or CC0, as scikit-image says of each.
PHOTOGRAPHS = (PHOTOGRAPH, "coffee", "astronaut", "rocket", "brick", "grass", "gravel")
_ROWS, _COLUMNS = 3, 4  # crops of each photograph
_QUICK, _AGAIN = 2.0, 2  # seconds, below which a method is timed again, and how often

_T = TypeVar("_T")


@dataclass(frozen=True)
class Shown:
    """What came of one method.

    Attributes:
        name: as in docs/methods.md.
        picture: what it draws.
        seconds: how long it took, without the drawing.
        said: a figure worth telling, in words; "" for none.
    """

    name: str
    picture: Image.Image
    seconds: float
    said: str = ""


Trial = Callable[["Scene"], Shown]


class Scene:
    """The networks and the pictures, each made when it is first needed."""

    @cached_property
    def model(self) -> Any:
        """The network for photographs, with its trained weights."""
        return zfcuda.models.load(NETWORK).eval()

    @cached_property
    def image(self) -> Tensor:
        """[1,3,H,W], the photograph as that network gets it."""
        image: Tensor = self.model.preprocess(self.photograph)
        return image

    def prepare(self) -> None:
        """Makes what is made once, so that no method is timed with it."""
        self.demo(self.demo.preprocess(self.parts[0].image))  # type: ignore[operator]
        assert self.target >= 0 and self.crops

    @property
    def photograph(self) -> Image.Image:
        return _photograph(PHOTOGRAPH)

    @staticmethod
    def picture(name: str) -> Image.Image:
        """One of scikit-image's, by its name there."""
        return _photograph(name)

    @cached_property
    def target(self) -> int:
        """The class that every method is asked about: the most probable one."""
        with torch.inference_mode():
            return int(self.model(self.image).argmax())

    @cached_property
    def crops(self) -> list[Image.Image]:
        """Crops of all photographs, for methods that look at many pictures: those of one after those of another."""
        return [crop for name in PHOTOGRAPHS for crop in _crops(_photograph(name))]

    @cached_property
    def demo(self) -> nn.Module:
        """The network in the package, which knows the drawn pictures."""
        return zfcuda.models.load_demo().eval()

    @cached_property
    def parts(self) -> Parts:
        return Parts(seed=HELD_OUT_SEED)


def timed(work: Callable[[], _T]) -> tuple[_T, float]:
    """The result of some work, and how long it took; what is quick is done again, and its shortest time taken."""
    best, result = float("inf"), None
    for run in range(1 + _AGAIN):
        if run and best > _QUICK:
            break
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return result, best  # type: ignore[return-value]


def _photograph(name: str) -> Image.Image:
    from skimage import data

    return Image.fromarray(np.asarray(getattr(data, name)())).convert("RGB")


def _crops(photograph: Image.Image) -> list[Image.Image]:
    side = min(photograph.size) // 2
    tops = np.linspace(0, photograph.height - side, _ROWS).astype(int).tolist()
    lefts = np.linspace(0, photograph.width - side, _COLUMNS).astype(int).tolist()
    return [photograph.crop((left, top, left + side, top + side)) for top in tops for left in lefts]
