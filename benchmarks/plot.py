"""`python -m benchmarks.plot RESULTS.json PICTURE.png`: the occlusion maps' times as bars on a logarithmic axis."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from benchmarks.occlusion import FUSED, LOOP, OURS

_SCALE = 2  # pixels per unit of the numbers below
_WIDTH, _LEFT, _RIGHT, _TOP, _ROW, _HEADER, _GAP = 1000, 230, 130, 84, 22, 30, 18
_INK, _PALE, _LINE, _MARK = "#222222", "#707070", "#dddddd", "#d55e00"
_BLUE, _LIGHT_BLUE, _GREY = "#0072b2", "#7fb8d8", "#b5b5b5"


def draw(results: dict[str, Any]) -> Image.Image:
    """One group of bars per case, ours first; a mark stands where the rectangles' arithmetic alone would end."""
    measured: list[dict[str, Any]] = list(results["occlusion"].values())  # per dtype
    rows: list[dict[str, Any]] = [row for part in measured for row in part["rows"]]
    heights = [_HEADER + _ROW * len(row["seconds"]) + _GAP for row in rows]
    height = _TOP + sum(heights) + 30
    image = Image.new("RGB", (_WIDTH * _SCALE, height * _SCALE), "white")
    pen = Pen(ImageDraw.Draw(image))
    times = [s for row in rows for s in row["seconds"].values()] + [floor(row) for row in rows]
    low, high = math.log10(min(times)) - 0.15, math.log10(max(times)) + 0.05

    def x(seconds: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (math.log10(seconds) - low) / (high - low)

    environment = measured[0]["environment"]
    pen.text(16, 12, "Seconds for one occlusion map", 19, _INK)
    variables = "".join(f", {name}={value}" for name, value in environment.get("variables", {}).items())
    pen.text(
        16, 40, f"{environment['device']}, torch {environment['torch']}{variables}, {environment['date']}", 13, _PALE
    )
    for seconds in _ticks(low, high):
        pen.line(x(seconds), _TOP - 6, x(seconds), height - 26, _LINE)
        pen.text(x(seconds), height - 22, f"{seconds:g} s", 12, _PALE, "ma")
    top = float(_TOP)
    for row, tall in zip(rows, heights, strict=True):
        _group(pen, row, top, x)
        top += tall
    return image


def floor(row: dict[str, Any]) -> float:
    """Seconds that the faster loop would take if its time shrank as the multiply-adds do."""
    return min(row["seconds"][name] for name in (LOOP, FUSED) if name in row["seconds"]) / row["bound"]


def _group(pen: Pen, row: dict[str, Any], top: float, x: Any) -> None:
    precision = "" if row["dtype"] == "float32" else f", {row['dtype']}"
    title = f"{row['title']}, window {row['window']}, stride {row['stride']}{precision}"
    pen.text(16, top + 4, title, 15, _INK)
    pen.text(_LEFT + 150, top + 6, f"{row['windows']} windows; the arithmetic allows {row['bound']:.2f}x", 13, _MARK)
    sides = [(top + _HEADER + _ROW * i, name, seconds) for i, (name, seconds) in enumerate(row["seconds"].items())]
    for at, name, seconds in sides:
        colour = _BLUE if name == OURS else _LIGHT_BLUE if name.startswith(OURS) else _GREY
        pen.box(_LEFT, at + 3, x(seconds), at + _ROW - 3, colour)
    end = x(floor(row))
    pen.line(end, top + _HEADER - 2, end, sides[-1][0] + _ROW, _MARK, 2)
    for at, name, seconds in sides:
        setting = f" ({row['settings'][name]} at a time)" if name in row["settings"] else ""
        pen.text(_LEFT - 10, at + _ROW / 2, name + setting, 13, _INK, "rm")
        ratio = f"   {row['ratio'][name]:.1f}x" if name in row["ratio"] else f"   {row['method']}"
        pen.text(x(seconds) + 8, at + _ROW / 2, f"{seconds:.3g} s{ratio}", 13, _INK, "lm")


def _ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(low), math.ceil(high) + 1)
    return [s for d in decades for s in (10.0**d, 3 * 10.0**d) if low <= math.log10(s) <= high]


class Pen:
    """Draws in units, not in pixels."""

    def __init__(self, canvas: ImageDraw.ImageDraw) -> None:
        self.canvas = canvas

    def text(self, x: float, y: float, text: str, size: int, colour: str, anchor: str = "la") -> None:
        font = ImageFont.load_default(size * _SCALE)
        self.canvas.text(
            (x * _SCALE, y * _SCALE), text, colour, font, anchor, stroke_width=2 * _SCALE, stroke_fill="white"
        )

    def line(self, x0: float, y0: float, x1: float, y1: float, colour: str, width: int = 1) -> None:
        self.canvas.line([v * _SCALE for v in (x0, y0, x1, y1)], colour, width * _SCALE)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: str) -> None:
        self.canvas.rectangle([v * _SCALE for v in (x0, y0, x1, y1)], colour)


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    with open(sys.argv[1]) as file:
        draw(json.load(file)).save(sys.argv[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
