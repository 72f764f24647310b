"""Charts as small pictures, drawn by Pillow alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from zfcuda.render import CATEGORIES
from zfcuda.sheets.letters import letters

_SIZE = (300, 200)
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 12, 24
_FINE = 2  # times as large as it will be is it drawn, so that lines are smooth
_INK, _GRID = (32, 32, 32), (220, 220, 220)


def line(x: Sequence[float], y: Sequence[float]) -> Image.Image:
    """y over x as a line on white, with the ends of both scales; zero belongs to that of y. No line leads to NaN."""
    known = [value for value in y if math.isfinite(value)]
    low, high = min(0.0, *known, 0.0), max(0.0, *known, 0.0)
    span, wide = (high - low) or 1.0, (max(x) - min(x)) or 1.0
    picture = Image.new("RGB", (_SIZE[0] * _FINE, _SIZE[1] * _FINE), "white")
    draw = ImageDraw.Draw(picture)

    def at(one: float, other: float) -> tuple[float, float]:
        across = _LEFT + (one - min(x)) / wide * (_SIZE[0] - _LEFT - _RIGHT)
        return across * _FINE, (_TOP + (high - other) / span * (_SIZE[1] - _TOP - _BOTTOM)) * _FINE

    for level in {low, 0.0, high}:
        draw.line([at(min(x), level), at(max(x), level)], _GRID, _FINE)
    for (x0, y0), (x1, y1) in zip(zip(x, y, strict=True), list(zip(x, y, strict=True))[1:], strict=False):
        if math.isfinite(y0) and math.isfinite(y1):
            draw.line([at(x0, y0), at(x1, y1)], CATEGORIES[0], 2 * _FINE)
    font = letters(13 * _FINE)
    for level in {low, high}:
        draw.text((4 * _FINE, at(min(x), level)[1]), f"{level:.3g}", _INK, font, anchor="lm")
    for place, anchor in ((min(x), "lb"), (max(x), "rb")):
        draw.text((at(place, low)[0], (_SIZE[1] - 4) * _FINE), f"{place:.3g}", _INK, font, anchor=anchor)
    return picture.resize(_SIZE, Image.Resampling.BOX)
