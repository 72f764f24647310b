"""Drawing in an object's own coordinates, on a picture and its mask at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from zfcuda.data.palette import Color

Point = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """Where an object's coordinates lie on the canvas: mirrored, turned, scaled, then moved.

    Args:
        x, y: the origin, in canvas pixels.
        scale: canvas pixels per unit.
        angle: radians, clockwise on the screen.
        mirrored: whether x points the other way.
    """

    x: float
    y: float
    scale: float
    angle: float = 0.0
    mirrored: bool = False

    def points(self, local: np.ndarray) -> np.ndarray:
        """float [N, 2] (x, y) of the object -> float [N, 2] on the canvas."""
        c, s = math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale
        m = -1.0 if self.mirrored else 1.0
        canvas = np.empty((len(local), 2))
        x, y = local[:, 0], local[:, 1]
        canvas[:, 0] = x * (c * m) - y * s + self.x
        canvas[:, 1] = x * (s * m) + y * c + self.y
        return canvas

    def point(self, x: float, y: float) -> Point:
        c, s = math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale
        m = -1.0 if self.mirrored else 1.0
        return x * c * m - y * s + self.x, x * s * m + y * c + self.y


class Pen:
    """Draws shapes given in a frame's units; what it draws is also marked on ``mask`` where there is one."""

    def __init__(self, canvas: Image.Image, frame: Frame, mask: Image.Image | None = None) -> None:
        self.frame = frame
        self._draw = ImageDraw.Draw(canvas)
        self._mask = ImageDraw.Draw(mask) if mask is not None else None

    def polygon(self, points: np.ndarray, fill: Color | int) -> None:
        """A filled polygon; ``points`` float [N, 2]."""
        flat = self.frame.points(points).ravel().tolist()
        self._draw.polygon(flat, fill=fill)
        if self._mask is not None:
            self._mask.polygon(flat, fill=255)

    def disc(self, x: float, y: float, radius: float, fill: Color | int) -> None:
        px, py = self.frame.point(x, y)
        r = radius * self.frame.scale
        box = (px - r, py - r, px + r, py + r)
        self._draw.ellipse(box, fill=fill)
        if self._mask is not None:
            self._mask.ellipse(box, fill=255)

    def stroke(self, points: Sequence[Point] | np.ndarray, width: float, fill: Color | int) -> None:
        """A line of the given width through ``points`` with round joints and ends."""
        path = self.frame.points(np.asarray(points, dtype=np.float64)).tolist()
        w = max(1, round(width * self.frame.scale))
        r = (w - 1) / 2  # Pillow's ellipses reach half a pixel beyond their box
        for target, color in ((self._draw, fill), (self._mask, 255)):
            if target is None:
                continue
            for (x0, y0), (x1, y1) in pairwise(path):
                target.line((x0, y0, x1, y1), fill=color, width=w)
            for x, y in path:
                target.ellipse((x - r, y - r, x + r, y + r), fill=color)


def oval(
    width: float,
    height: float,
    *,
    x: float = 0.0,
    y: float = 0.0,
    power: float = 1.0,
    taper: float = 0.0,
    bend: float = 0.0,
    count: int = 44,
) -> np.ndarray:
    """float [count, 2]: a closed curve between ellipse (power 1), rounded box (towards 0.3), pear and bean.

    Args:
        width, height: half sizes.
        power: exponent of the superellipse; below 1 squarer, above 1 more of a diamond.
        taper: how much wider the lower end is than the middle (negative: the upper end).
        bend: how far both ends are bent sideways.
    """
    px, py = _circle(count)
    if power != 1.0:
        px, py = np.sign(px) * np.abs(px) ** power, np.sign(py) * np.abs(py) ** power
    if taper or bend:
        px = px * (1 + taper * py) + bend * (py * py - 0.5)
    curve = np.empty((count, 2))
    curve[:, 0] = x + width * px
    curve[:, 1] = y + height * py
    return curve


@cache
def _circle(count: int) -> tuple[np.ndarray, np.ndarray]:
    t = np.linspace(0.0, 2 * math.pi, count, endpoint=False)
    return np.cos(t), np.sin(t)


def arc(a: Point, b: Point, sag: float, count: int = 9) -> np.ndarray:
    """float [count, 2]: a curve from ``a`` to ``b`` that bulges by ``sag`` times its length to its left."""
    t, hump = _course(count)
    along_x, along_y = b[0] - a[0], b[1] - a[1]
    curve = np.empty((count, 2))
    curve[:, 0] = a[0] + along_x * t + along_y * sag * hump
    curve[:, 1] = a[1] + along_y * t - along_x * sag * hump
    return curve


@cache
def _course(count: int) -> tuple[np.ndarray, np.ndarray]:
    t = np.linspace(0.0, 1.0, count)
    return t, 4 * t * (1 - t)
