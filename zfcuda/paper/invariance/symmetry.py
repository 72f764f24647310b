"""Which defining parts of Parts look the same when they are turned, found by turning them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from zfcuda.data import emblems
from zfcuda.data.palette import Color

_AREA = 80.0**2  # pixels
_ALIKE = 0.9  # of the pixels, from which on a turned part counts as the same: the edges of two drawings differ a little
_MOST = 12  # turns of a circle that are tried
_COLOURS: tuple[Color, Color, Color] = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@dataclass(frozen=True)
class Symmetry:
    """How a part looks when it is turned about its middle.

    Attributes:
        order: the largest number of equal steps around the circle of which each leaves it alike; 1 where it has none.
        likeness: at 0, 10, ... 350 degrees, the share of the pixels of both drawings that have the same colour in both.
    """

    order: int
    likeness: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean likeness over all angles but 0."""
        return float(np.mean(self.likeness[1:]))


@cache
def symmetry_of(name: str) -> Symmetry:
    """The symmetry of the part of a class."""
    upright = _drawn(name, 0)
    order = max(n for n in range(1, _MOST + 1) if _alike(upright, _drawn(name, 360 / n)) >= _ALIKE)
    # Turned back it is as like itself as turned forth.
    half = [_alike(upright, _drawn(name, angle)) for angle in range(0, 181, 10)]
    return Symmetry(order, (*half, *half[-2:0:-1]))


def _drawn(name: str, degrees: float) -> np.ndarray:
    side = 2 * math.ceil(emblems.REACH * math.sqrt(_AREA)) + 8
    canvas = Image.new("RGB", (side, side))
    emblems.paint(canvas, name, side / 2, side / 2, _AREA, math.radians(degrees), False, _COLOURS)
    return np.asarray(canvas)


def _alike(first: np.ndarray, second: np.ndarray) -> float:
    either = first.any(axis=2) | second.any(axis=2)
    return float((first == second).all(axis=2)[either].mean())
