"""A scatter plot of the points of an embedding, coloured by class, with a legend; Pillow alone draws it."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Sequence

from PIL import Image, ImageDraw
from torch import Tensor

from zfcuda.render import CATEGORIES, OTHER_COLOUR, Colour
from zfcuda.sheets.letters import letters, shortened, width

_SIDE = 900  # of the plot, in pixels
_MARGIN = 24
_LINE = 22
_LEGEND = 320  # pixels that a name of a class may take
_FINE = 3  # times as large as it will be is it drawn, so that dots are round
_INK = (32, 32, 32)
_MOST = 36  # classes with a colour of their own


def scatter(points: Tensor, labels: Sequence[int] | Tensor | None = None, classes: Sequence[str] = ()) -> Image.Image:
    """Points as dots, true to scale, each in the colour of its class.

    Args:
        points: [N,2], x to the right, y downwards.
        labels: the class of each; -1 for none. None: all dots are of one colour.
        classes: their names; of those beyond, and of none, the number is written.

    Returns:
        An RGB picture. Of more than 36 classes, the most frequent 35 have a colour, and the others share one.
    """
    at = points.detach().cpu().double()
    low, high = at.amin(0), at.amax(0)
    extent = float((high - low).max()) or 1.0
    at = (at - (low + high) / 2) / extent * (_SIDE - 2 * _MARGIN) + _SIDE / 2
    labels = labels.tolist() if isinstance(labels, Tensor) else labels
    colours, legend = _colours(labels, classes, len(points))
    font = letters(15)
    names = [shortened(font, f"{name} ({count:,})", _LEGEND) for name, count, _ in legend]
    wide = _SIDE + (max(width(font, name) for name in names) + 2 * _MARGIN if names else 0)
    high_ = max(_SIDE, 2 * _MARGIN + _LINE * len(names))
    plot = Image.new("RGB", (_SIDE * _FINE, _SIDE * _FINE), "white")
    draw = ImageDraw.Draw(plot)
    radius = _FINE * max(1.5, min(6.0, 120 / len(points) ** 0.5))
    for (x, y), colour in zip((at * _FINE).tolist(), colours, strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline="white")
    sheet = Image.new("RGB", (wide, high_), "white")
    sheet.paste(plot.resize((_SIDE, _SIDE), Image.Resampling.BOX), (0, 0))
    draw = ImageDraw.Draw(sheet)
    for i, (name, (_, _, colour)) in enumerate(zip(names, legend, strict=True)):
        y = _MARGIN + i * _LINE
        draw.rectangle((_SIDE, y + 3, _SIDE + 12, y + 15), fill=colour)
        draw.text((_SIDE + 20, y), name, _INK, font)
    return sheet


def _colours(
    labels: Sequence[int] | None, classes: Sequence[str], count: int
) -> tuple[list[Colour], list[tuple[str, int, Colour]]]:
    """The colour of each point, and (name, how many, colour) of each class."""
    if labels is None:
        return [CATEGORIES[0]] * count, []
    frequent = [label for label, _ in Counter(label for label in labels if label >= 0).most_common()]
    named = frequent if len(frequent) <= _MOST else frequent[: _MOST - 1]
    colour = {label: _category(i) for i, label in enumerate(sorted(named))}
    each = [colour.get(label, OTHER_COLOUR) for label in labels]
    counts = Counter(labels)
    legend = [
        (classes[label] if label < len(classes) else f"class {label}", counts[label], colour[label])
        for label in sorted(named)
    ]
    rest = count - sum(number for _, number, _ in legend)
    return each, legend + ([("others", rest, OTHER_COLOUR)] if rest else [])


def _category(index: int) -> Colour:
    """The colour of a class: those of render first, then hues in between, in two shades."""
    if index < len(CATEGORIES):
        return CATEGORIES[index]
    hue = (index - len(CATEGORIES)) * 0.61803398875 % 1
    red, green, blue = colorsys.hls_to_rgb(hue, (0.35, 0.62)[index % 2], 0.75)
    return round(255 * red), round(255 * green), round(255 * blue)
