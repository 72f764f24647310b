"""The defining parts: one shape per class, each drawn as a fill with an accent on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from zfcuda.data.palette import Color
from zfcuda.data.pen import Frame, oval

#: One step of drawing a shape: ("fill" | "accent", paint or cut, points [N, 2] within about one unit of the origin).
Step = tuple[str, bool, np.ndarray]

#: The farthest any shape reaches from its centre, outline included, as a multiple of the root of its area.
REACH = 0.9
_OUTLINE = 0.085  # of the unit


def _disc(x: float, y: float, radius: float, count: int = 32) -> np.ndarray:
    return oval(radius, radius, x=x, y=y, count=count)


def _box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def _spikes(count: int, outer: float, inner: float) -> np.ndarray:
    angle = np.arange(2 * count) * math.pi / count - math.pi / 2
    radius = np.where(np.arange(2 * count) % 2 == 0, outer, inner)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _star() -> list[Step]:
    return [("fill", True, _spikes(5, 1.0, 0.47)), ("accent", True, _spikes(5, 0.5, 0.235))]


def _flower() -> list[Step]:
    turns = [k * math.pi / 3 for k in range(6)]
    petals: list[Step] = [("fill", True, _disc(0.62 * math.cos(a), 0.62 * math.sin(a), 0.37)) for a in turns]
    return [*petals, ("fill", True, _disc(0, 0, 0.5)), ("accent", True, _disc(0, 0, 0.3))]


def _crescent() -> list[Step]:
    a = np.linspace(0.62, 2 * math.pi - 0.62, 40)
    outer = np.stack([np.cos(a), np.sin(a)], axis=1)
    tip_x, tip_y = math.cos(0.62), math.sin(0.62)
    center = 0.52
    radius = math.hypot(tip_x - center, tip_y)
    lean = math.atan2(tip_y, tip_x - center)
    b = np.linspace(2 * math.pi - lean, lean, 32)
    inner = np.stack([center + radius * np.cos(b), radius * np.sin(b)], axis=1)
    dots: list[Step] = [
        ("accent", True, _disc(0.56 * math.cos(t) - 0.08, 0.68 * math.sin(t), 0.13, 16))
        for t in (math.pi - 0.75, math.pi, math.pi + 0.75)
    ]
    return [("fill", True, np.concatenate([outer, inner])), *dots]


def _cross() -> list[Step]:
    steps: list[Step] = []
    for name, reach, half in (("fill", 0.98, 0.34), ("accent", 0.72, 0.12)):
        steps += [(name, True, _box(-reach, -half, reach, half)), (name, True, _box(-half, -reach, half, reach))]
    return steps


def _arrow() -> list[Step]:
    upper = np.array([(1.05, 0.0), (0.05, -0.86), (0.05, -0.36), (-1.0, -0.36)])
    steps: list[Step] = [("fill", True, np.concatenate([upper, upper[:0:-1] * (1.0, -1.0)]))]
    for x in (-0.82, -0.4):
        steps.append(("accent", True, _box(x, -0.36, x + 0.2, 0.36)))
    return steps


def _spiral() -> list[Step]:
    t = np.linspace(0.0, 2.15 * 2 * math.pi, 90)
    middle = 0.06 + 0.76 * t / t[-1]
    half = 0.105
    turn = np.stack([np.cos(t), np.sin(t)], axis=1)
    band = np.concatenate([turn * (middle + half)[:, None], (turn * np.maximum(middle - half, 0.0)[:, None])[::-1]])
    return [("fill", True, _disc(0, 0, 1.0, 48)), ("accent", True, band)]


def _checker() -> list[Step]:
    side, n = 0.88, 4
    cell = 2 * side / n
    steps: list[Step] = [("fill", True, _box(-side, -side, side, side))]
    for row in range(n):
        for column in range(n):
            if (row + column) % 2:
                x, y = -side + column * cell, -side + row * cell
                steps.append(("accent", True, _box(x, y, x + cell, y + cell)))
    return steps


def _ladder() -> list[Step]:
    steps: list[Step] = [("fill", True, _box(-0.6, y - 0.075, 0.6, y + 0.075)) for y in (-0.84, -0.28, 0.28, 0.84)]
    for x in (-0.66, 0.66):
        steps.append(("fill", True, _box(x - 0.15, -1.2, x + 0.15, 1.2)))
        steps.append(("accent", True, _box(x - 0.06, -1.08, x + 0.06, 1.08)))
    return steps


def _heart() -> list[Step]:
    t = np.linspace(0.0, 2 * math.pi, 48, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    curve = np.stack([x, y + 2.5], axis=1) / 16.5
    return [("fill", True, curve), ("accent", True, curve * 0.5)]


def _gear() -> list[Step]:
    n = 8
    angle, radius = [], []
    for k in range(n):
        for offset, r in ((-0.26, 0.74), (-0.19, 1.0), (0.19, 1.0), (0.26, 0.74)):
            angle.append((k + offset) * 2 * math.pi / n)
            radius.append(r)
    teeth = np.stack([np.array(radius) * np.cos(angle), np.array(radius) * np.sin(angle)], axis=1)
    return [
        ("fill", True, teeth),
        ("accent", True, _disc(0, 0, 0.52)),
        ("accent", False, _disc(0, 0, 0.34)),
        ("fill", False, _disc(0, 0, 0.34)),
    ]


def _bolt() -> list[Step]:
    zigzag = np.array(
        [(-0.05, -1.0), (-0.72, 0.18), (-0.16, 0.18), (-0.42, 1.05), (0.78, -0.28), (0.22, -0.28), (0.66, -1.0)]
    )
    return [("fill", True, zigzag), ("accent", True, zigzag * 0.5)]


def _bow() -> list[Step]:
    right = np.array(
        [
            (0.0, -0.14),
            (0.5, -0.6),
            (0.94, -0.78),
            (1.06, -0.4),
            (1.0, 0.0),
            (1.06, 0.4),
            (0.94, 0.78),
            (0.5, 0.6),
            (0.0, 0.14),
        ]
    )
    left = right * (-1.0, 1.0)
    fold = np.array([(0.3, -0.06), (0.86, -0.36), (0.8, 0.0), (0.86, 0.36), (0.3, 0.06)])
    return [
        ("fill", True, right),
        ("fill", True, left),
        ("accent", True, fold),
        ("accent", True, fold * (-1.0, 1.0)),
        ("fill", True, _disc(0, 0, 0.3)),
        ("accent", True, _disc(0, 0, 0.17)),
    ]


_SHAPES: dict[str, Callable[[], list[Step]]] = {
    "star": _star,
    "flower": _flower,
    "crescent": _crescent,
    "cross": _cross,
    "arrow": _arrow,
    "spiral": _spiral,
    "checker": _checker,
    "ladder": _ladder,
    "heart": _heart,
    "gear": _gear,
    "bolt": _bolt,
    "bow": _bow,
}

#: The classes in order of their label.
NAMES: tuple[str, ...] = tuple(_SHAPES)


@cache
def _steps(name: str) -> tuple[Step, ...]:
    return tuple(_SHAPES[name]())


def _layers(name: str, frame: Frame, side: int) -> tuple[Image.Image, Image.Image, Image.Image]:
    """The "L" masks (silhouette with outline, fill, accent) of one shape on a canvas of side x side pixels."""
    layers = {"fill": Image.new("L", (side, side)), "accent": Image.new("L", (side, side))}
    pens = {key: ImageDraw.Draw(picture) for key, picture in layers.items()}
    for key, paint, points in _steps(name):
        pens[key].polygon(frame.points(points).ravel().tolist(), fill=255 if paint else 0)
    # Whatever is within half the blur's width of the shape is outline: the same thickness for every shape.
    blurred = layers["fill"].filter(ImageFilter.BoxBlur(_OUTLINE * frame.scale))
    outline = blurred.point([0] * 12 + [255] * 244)
    return outline, layers["fill"], ImageChops.darker(layers["accent"], layers["fill"])


@cache
def unit_area(name: str) -> float:
    """The area of the shape with its outline, in squared units."""
    scale = 100.0
    outline, _, _ = _layers(name, Frame(150.0, 150.0, scale), 300)
    return float(np.count_nonzero(np.asarray(outline))) / scale**2


def paint(
    canvas: Image.Image,
    name: str,
    x: float,
    y: float,
    area: float,
    angle: float,
    mirrored: bool,
    colors: tuple[Color, Color, Color],
) -> Image.Image:
    """Draws a defining part on ``canvas`` (RGB, changed in place).

    Args:
        x, y: its centre, canvas pixels.
        area: what it covers with its outline, canvas pixels squared.
        angle: radians.
        colors: outline, fill, accent.

    Returns:
        the "L" mask (0 or 255, the canvas's size) of what it covers.
    """
    scale = math.sqrt(area / unit_area(name))
    half = math.ceil(REACH * math.sqrt(area)) + 2
    left, top = math.floor(x) - half, math.floor(y) - half
    frame = Frame(x - left, y - top, scale, angle, mirrored)
    layers = _layers(name, frame, 2 * half)
    for color, layer in zip(colors, layers, strict=True):
        canvas.paste(color, (left, top), layer)
    mask = Image.new("L", canvas.size)
    mask.paste(layers[0], (left, top))
    return mask
