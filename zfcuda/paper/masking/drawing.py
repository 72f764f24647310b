"""The pictures of Table 1: distances as points with intervals, and masked pictures as in the paper's Fig. 8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw

from zfcuda.paper.gallery import Gallery
from zfcuda.paper.masking.squares import Square
from zfcuda.paper.plots import COLOURS, plotted
from zfcuda.paper.result import Row

_GREY, _PAPER, _INK = (128, 128, 128), (255, 255, 255), (30, 30, 30)
_COLUMNS = 10  # pictures in a row
_TILE, _GAP, _LINE = 112, 6, 16


def curves(rows: Sequence[Row], parts: Sequence[str]) -> Image.Image | None:
    """The distance under each part and each kind of random places, a panel for each layer; None without matplotlib."""
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    kinds = list(dict.fromkeys(row["masked"] for row in rows))

    def draw(axes: Any) -> None:
        for axis, layer in zip(axes[0], layers, strict=True):
            for place, kind in enumerate(reversed(kinds)):
                row = next(row for row in rows if row["layer"] == layer and row["masked"] == kind)
                colour = COLOURS[0] if kind in parts else COLOURS[1]
                if row["low"] is not None:
                    axis.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=3, alpha=0.45)
                axis.plot(row["distance"], place, "o", color=colour)
            axis.axhline(len(kinds) - len(parts) - 0.5, color="0.8", linewidth=1)
            axis.set_title(layer, fontsize=10)
            axis.set_yticks(range(len(kinds)), list(reversed(kinds)) if axis is axes[0][0] else [""] * len(kinds))
            axis.set_xlim(left=0)
            axis.grid(axis="x", alpha=0.3)
        axes[0][len(layers) // 2].set_xlabel("share of units whose sign of change differs between pictures (95 % interval)")
        axes[0][-1].plot([], [], "o", color=COLOURS[0], label="the same part")
        axes[0][-1].plot([], [], "o", color=COLOURS[1], label="random places")
        axes[0][-1].legend(fontsize=8, loc="best")

    return plotted(draw, columns=len(layers), size=(3.0 * len(layers) + 2.0, 1.2 + 0.32 * len(kinds)))


def sheet(
    gallery: Gallery, group: Sequence[int], squares: Sequence[Sequence[Square]], side: int, fill: float
) -> Image.Image:
    """A group of pictures, a row each: as it is, then under the first square of each kind, its name above."""
    shown = [place for place, each in enumerate(squares[0]) if each.turn == 0][: _COLUMNS - 1]
    names = ["the picture", *(squares[0][place].kind for place in shown)]
    label = 2 * _LINE + _GAP
    whole = Image.new(
        "RGB", (len(names) * (_TILE + _GAP) + _GAP, label + len(group) * (_TILE + _GAP)), _PAPER
    )
    pen = ImageDraw.Draw(whole)
    for column, name in enumerate(names):
        _label(pen, name, _GAP + column * (_TILE + _GAP))
    for row, index in enumerate(group):
        picture = gallery.picture(index).convert("RGB")
        versions = [picture, *(_masked(picture, squares[row][place], side) for place in shown)]
        for column, version in enumerate(versions):
            at = (_GAP + column * (_TILE + _GAP), label + row * (_TILE + _GAP))
            whole.paste(version.resize((_TILE, _TILE), Image.Resampling.LANCZOS), at)
    return whole


def _masked(picture: Image.Image, square: Square, side: int) -> Image.Image:
    top, left = (round(at - (side - 1) / 2) for at in square.centre)
    picture = picture.copy()
    ImageDraw.Draw(picture).rectangle((left, top, left + side - 1, top + side - 1), fill=_GREY)
    return picture


def _label(pen: ImageDraw.ImageDraw, name: str, left: int) -> None:
    """A name in at most two lines of a tile's width."""
    lines = [""]
    for word in name.split():
        longer = f"{lines[-1]} {word}".strip()
        if pen.textlength(longer) <= _TILE or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    for place, line in enumerate(lines[:2]):
        pen.text((left, _GAP // 2 + place * _LINE), line, fill=_INK)
