"""The pictures of Table 1, distances as points with intervals, and of Figure 8, the masked pictures themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from zfcuda.paper.estimate import interval
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.masking.squares import Square
from zfcuda.paper.plots import COLOURS, plotted
from zfcuda.paper.result import Row

_MEASURES = {
    "distance": "Hamming distance of the signs of change (the paper's; less: more alike)",
    "kappa": "Cohen's kappa of the signs of change (0: chance; more: more alike)",
    "opposite": "share of opposite signs among the units that change in both (0.5: chance; less: more alike)",
}
_CHANCE = {"kappa": 0.0, "opposite": 0.5}
_GREY, _PAPER, _INK = (128, 128, 128), (255, 255, 255), (30, 30, 30)
_WIDTH, _LARGEST, _GAP, _LINE, _FONT = 1150, 144, 6, 17, 13  # pixels: of the whole, of a tile, between them, of text


def curves(rows: Sequence[Row], parts: Sequence[str]) -> Image.Image | None:
    """Distance and kappa under each part and each kind of random places, by layer; None without matplotlib."""
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    kinds = list(dict.fromkeys(row["masked"] for row in rows))
    places = range(len(kinds))

    def draw(axes: Any) -> None:
        for line, measure in zip(axes, _MEASURES, strict=True):
            for axis, layer in zip(line, layers, strict=True):
                for place, kind in enumerate(reversed(kinds)):
                    row = next(row for row in rows if row["layer"] == layer and row["masked"] == kind)
                    if row[measure] is None:
                        continue
                    colour = COLOURS[0] if kind in parts else COLOURS[1]
                    if row[interval(measure)] is not None:
                        axis.plot(
                            row[interval(measure)],
                            [place, place],
                            color=colour,
                            linewidth=4,
                            alpha=0.4,
                            solid_capstyle="butt",
                        )
                    axis.plot(row[measure], place, "o", color=colour, markersize=5)
                axis.axhline(len(kinds) - len(parts) - 0.5, color="0.7", linewidth=1)
                axis.set_title(layer, fontsize=10)
                axis.set_yticks(places, list(reversed(kinds)) if axis is line[0] else [""] * len(kinds), fontsize=9)
                axis.tick_params(axis="x", labelsize=8)
                axis.grid(axis="x", alpha=0.3)
                if measure in _CHANCE:
                    axis.axvline(_CHANCE[measure], color="0.4", linewidth=1, linestyle=":")
                if measure != "kappa":
                    axis.set_xlim(left=0)
            line[len(layers) // 2].set_xlabel(_MEASURES[measure], fontsize=9)
        for colour, name in ((COLOURS[0], "the same part"), (COLOURS[1], "random places")):
            axes[0][-1].plot([], [], "o-", color=colour, label=name)
        axes[0][-1].legend(fontsize=8, loc="lower left")

    size = (2.6 * len(layers) + 2.4, len(_MEASURES) * (0.9 + 0.23 * len(kinds)))
    return plotted(draw, rows=len(_MEASURES), columns=len(layers), size=size)


def sheet(gallery: Gallery, group: Sequence[int], squares: Sequence[Sequence[Square]], side: int) -> Image.Image:
    """A group of pictures, a row each: as it is, then under each of its squares, whose kind stands above."""
    shown = range(len(squares[0]))
    names = ["the picture", *(squares[0][place].kind for place in shown)]
    tile = min(_LARGEST, (_WIDTH - _GAP) // len(names) - _GAP)
    labels = [textwrap.wrap(name, max(tile // 7, 5)) for name in names]
    label = max(map(len, labels)) * _LINE + _GAP
    whole = Image.new("RGB", (len(names) * (tile + _GAP) + _GAP, label + len(group) * (tile + _GAP)), _PAPER)
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(_FONT)
    for column, lines in enumerate(labels):
        for place, line in enumerate(lines, label // _LINE - len(lines)):  # the last lines stand side by side
            pen.text((_GAP + column * (tile + _GAP), place * _LINE + 3), line, fill=_INK, font=font)
    for row, index in enumerate(group):
        picture = gallery.picture(index).convert("RGB")
        versions = [picture, *(_masked(picture, squares[row][place], side) for place in shown)]
        for column, version in enumerate(versions):
            at = (_GAP + column * (tile + _GAP), label + row * (tile + _GAP))
            whole.paste(version.resize((tile, tile), Image.Resampling.LANCZOS), at)
    return whole


def _masked(picture: Image.Image, square: Square, side: int) -> Image.Image:
    top, left = (round(at - (side - 1) / 2) for at in square.centre)
    picture = picture.copy()
    ImageDraw.Draw(picture).rectangle((left, top, left + side - 1, top + side - 1), fill=_GREY)
    return picture
