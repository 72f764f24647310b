"""`python -m benchmarks.zoo_maps.scatter RESULTS.json PICTURE.png`: what is won against what the arithmetic allows."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from PIL import Image, ImageDraw

from benchmarks.plot import Pen

_SCALE = 2  # pixels per unit of the numbers below
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 1000, 860, 64, 30, 92, 56
_INK, _PALE, _LINE, _MARK = "#222222", "#707070", "#dddddd", "#d55e00"
_THREAD = "#a0a0a0"
_COLOURS = {"incremental": "#0072b2", "batched": "#e69f00"}
_TICKS = (0.5, 0.6, 0.7, 0.8, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 16)
_SIZE, _RADIUS = 11, 3.5
Box = tuple[float, float, float, float]  # left, top, right, bottom


def draw(result: Mapping[str, Any], dtype: str = "float32") -> Image.Image:
    """A point for each measured network, on logarithmic axes; on the line all is won that the multiply-adds allow."""
    part = result[dtype]
    rows = [row for row in part["rows"] if "skipped" not in row]
    image = Image.new("RGB", (_WIDTH * _SCALE, _HEIGHT * _SCALE), "white")
    canvas = ImageDraw.Draw(image)
    pen = Pen(canvas)
    environment = part["environment"]
    pen.text(16, 12, "An exact occlusion map: times faster than brute force", 19, _INK)
    pen.text(
        16, 40, f"{environment['device']}, torch {environment['torch']}, {environment['date']}, {dtype}", 13, _PALE
    )
    for i, (method, colour) in enumerate(_COLOURS.items()):
        _dot(canvas, 22 + 190 * i, 72, colour)
        pen.text(32 + 190 * i, 72, f"auto: {method}", 13, _INK, "lm")
    values = [row[name] for row in rows for name in ("bound", "won")] or [1.0]
    low, high = math.log(min([0.9, *values]) * 0.95), math.log(max([2.0, *values]) * 1.15)

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (math.log(value) - low) / (high - low)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (math.log(value) - low) / (high - low)

    for tick in (t for t in _TICKS if low <= math.log(t) <= high):
        pen.line(x(tick), _TOP, x(tick), _HEIGHT - _BOTTOM, _LINE)
        pen.line(_LEFT, y(tick), _WIDTH - _RIGHT, y(tick), _LINE)
        pen.text(x(tick), _HEIGHT - _BOTTOM + 6, f"{tick:g}x", 12, _PALE, "ma")
        pen.text(_LEFT - 8, y(tick), f"{tick:g}x", 12, _PALE, "rm")
    pen.text(_WIDTH - _RIGHT, _HEIGHT - 24, "what the multiply-adds allow", 13, _INK, "ra")
    pen.text(_LEFT + 6, _TOP + 4, "won", 13, _INK)
    start, end = math.exp(low), math.exp(high)
    pen.line(x(start), y(start), x(end), y(end), _MARK, 2)
    points = {row["network"]: (x(row["bound"]), y(row["won"])) for row in rows}
    placed = dict(labels(points))
    for name, box in placed.items():  # a thread to a point that is not beside its name
        px, py = points[name]
        at_x, at_y = min(max(px, box[0]), box[2]), min(max(py, box[1]), box[3])
        if math.hypot(at_x - px, at_y - py) > 2 * _RADIUS:
            pen.line(px, py, at_x, at_y, _THREAD)
    for row in rows:
        _dot(canvas, *points[row["network"]], _COLOURS.get(row["method"], _INK))
    for name, box in placed.items():
        pen.text(box[0], box[1], name, _SIZE, _INK)
    return image


def labels(points: Mapping[str, tuple[float, float]]) -> Iterator[tuple[str, Box]]:
    """Each name with its place: near its point, where it meets the fewest others."""
    taken: list[Box] = [(px - _RADIUS, py - _RADIUS, px + _RADIUS, py + _RADIUS) for px, py in points.values()]
    for name, (px, py) in sorted(points.items(), key=lambda point: point[1][1]):
        width, height = 0.56 * _SIZE * len(name), 1.2 * _SIZE
        places = [
            (px + dx, py + dy)
            for step in (0, 1, 2, 3)
            for dy in (-height / 2 - step * height, -height / 2 + step * height)
            for dx in (_RADIUS + 3, -_RADIUS - 3 - width)
        ]
        boxes = [(left, top, left + width, top + height) for left, top in places]
        inside = [box for box in boxes if box[0] >= 0 and box[2] <= _WIDTH and box[1] >= _TOP and box[3] <= _HEIGHT]
        box = min(inside or boxes, key=lambda box: _met(box, taken))
        taken.append(box)
        yield name, box


def _met(box: Box, others: Iterable[Box]) -> float:
    """The area that others cover of a box."""
    return sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in others
    )


def _dot(canvas: ImageDraw.ImageDraw, x: float, y: float, colour: str) -> None:
    box = [(v + d) * _SCALE for d in (-_RADIUS, _RADIUS) for v in (x, y)]
    canvas.ellipse(box, colour, "white")


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    with open(sys.argv[1], encoding="utf-8") as file:
        draw(json.load(file)).save(sys.argv[2], optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
