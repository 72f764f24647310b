"""Figure 5 as pictures: the curves, the layers side by side, and some of the changes."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zfcuda.paper.estimate import interval
from zfcuda.paper.invariance.canvas import Canvas
from zfcuda.paper.invariance.changes import DISC, FLIP, SCALE, SHIFT, TURN, Change, farthest_shift
from zfcuda.paper.invariance.curves import Array, Curves, harmonics
from zfcuda.paper.invariance.tables import NAMES, by_layer, ends
from zfcuda.paper.plots import COLOURS, plotted

_SINGLE = 5  # pictures that are drawn alone, as in the paper
_GAP, _TILE, _WORDS = 6, 150, 22
_AXES = {SHIFT: "vertical shift (pixels)", SCALE: "enlargement (factor)", TURN: "rotation (degrees)"}


def curves_picture(curves: Curves) -> Image.Image | None:
    """Rows: shift, enlargement, rotation; columns: distance in the first and the last layer, probability."""
    first, last = ends(curves)
    columns = (
        (f"distance to the original in {first}", curves.distances[first]),
        (f"distance to the original in {last}", curves.distances[last]),
        ("probability of the class", curves.probability),
    )

    def draw(axes: Any) -> None:
        for row, kind in enumerate((SHIFT, SCALE, TURN)):
            for column, (title, values) in enumerate(columns):
                axis = axes[row, column]
                amounts = curves.amounts(kind)
                _band(axis, amounts, curves.of(values, kind))
                if kind == TURN:
                    middle = np.median(curves.of(values, DISC), axis=0)
                    axis.plot(amounts, middle, color=COLOURS[1], lw=1.6, ls="--", label="median, turned as discs")
                    axis.set_xticks(range(0, 361, 90))
                axis.set_xlabel(_AXES[kind])
                axis.set_xlim(amounts.min(), amounts.max())
                axis.set_ylim(0, 1.02 if column == 2 else _ceiling([curves.distances[first], curves.distances[last]]))
                axis.grid(alpha=0.25)
                if row == 0:
                    axis.set_title(title, fontsize=11)
                if column == 0:
                    axis.set_ylabel("1 = two different pictures", fontsize=9)
        handles, labels = axes[2, 0].get_legend_handles_labels()
        axes[0, 0].figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=10)

    return plotted(draw, rows=3, columns=3, size=(11.0, 9.0))


def layers_picture(curves: Curves) -> Image.Image | None:
    """The mean relative distance by layer, and the periods of the curves over the circle."""
    rows = by_layer(curves)
    places = np.arange(len(rows))
    first, last = ends(curves)
    slanted = 30 if sum(len(str(row["layer"])) for row in rows) > 50 else 0

    def draw(axes: Any) -> None:
        left, right = axes[0]
        for by, (colour, kind) in enumerate(zip(COLOURS, (SHIFT, SCALE, TURN, DISC, FLIP), strict=False)):
            found = np.array([row[NAMES[kind]] for row in rows])
            low, high = np.array([row[interval(NAMES[kind])] for row in rows]).T
            error = np.maximum(0, [found - low, high - found])
            beside = places + 0.1 * (by - 2)
            left.errorbar(beside, found, error, color=colour, marker="o", ms=4, lw=1.2, label=NAMES[kind])
        left.set_xticks(
            places, [str(row["layer"]) for row in rows], rotation=slanted, ha="right" if slanted else "center"
        )
        left.set_ylabel("mean distance, 1 = two different pictures")
        left.set_ylim(bottom=0)
        left.set_title("How far the features move, by layer (95 % intervals)", fontsize=11)
        left.legend(fontsize=9, ncols=2, loc="lower left")
        left.grid(alpha=0.25)
        counts = np.arange(1, 10)
        for place, (name, values) in enumerate(
            (("probability", curves.probability), (first, curves.distances[first]), (last, curves.distances[last]))
        ):
            shares = 100 * harmonics(curves.of(values, DISC))[: len(counts)]
            right.bar(
                counts + 0.27 * (place - 1),
                shares,
                0.26,
                color=COLOURS[place],
                label=name if name == "probability" else f"distance in {name}",
            )
        right.set_xticks(counts, [f"{360 / count:.0f}°" for count in counts])
        right.set_xlabel("period of the curve over the circle, discs")
        right.set_ylabel("share of its variance (%)")
        right.set_title("Periods of the rotation curve", fontsize=11)
        right.legend(fontsize=9)
        right.grid(alpha=0.25, axis="y")

    return plotted(draw, columns=2, size=(11.0, 4.4))


def changes_sheet(canvases: list[Canvas], border: str) -> Image.Image | None:
    """What the network sees of some pictures and of their changes; None of pictures that came as tensors."""
    canvases = [canvas for canvas in canvases if canvas.as_picture]
    if not canvases:
        return None
    far = farthest_shift(canvases[0].size[0])
    shown = [
        Change(SHIFT, 0, border),
        Change(SHIFT, -far, border),
        Change(SHIFT, far, border),
        Change(SCALE, 1.8, border),
        Change(TURN, 40, border),
        Change(DISC, 40, border),
        Change(FLIP, 0, border),
    ]
    high, wide = canvases[0].size
    tile = (_TILE, max(1, round(_TILE * high / wide)))
    size = (len(shown) * (tile[0] + _GAP) + _GAP, len(canvases) * (tile[1] + _GAP) + _GAP + _WORDS)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for column, change in enumerate(shown):
        middle = _GAP + column * (tile[0] + _GAP) + tile[0] / 2
        pen.text((middle, _WORDS / 2 + _GAP / 2), _caption(change), "black", ImageFont.load_default(14), anchor="mm")
    for row, canvas in enumerate(canvases):
        for column, change in enumerate(shown):
            small = canvas.picture(change).resize(tile, Image.Resampling.BICUBIC)
            sheet.paste(small, (_GAP + column * (tile[0] + _GAP), _GAP + _WORDS + row * (tile[1] + _GAP)))
    return sheet


def _caption(change: Change) -> str:
    words = {
        SHIFT: f"shift {change.amount:+g}" if change.amount else "original",
        SCALE: f"enlarged {change.amount:g}",
        TURN: f"turned {change.amount:g}\u00b0",
        DISC: f"disc, {change.amount:g}\u00b0",
        FLIP: "flipped",
    }
    return words[change.kind]


def _band(axis: Any, amounts: Array, values: Array) -> None:
    low, middle, high = np.percentile(values, (25, 50, 75), axis=0)
    for place, row in enumerate(np.linspace(0, len(values) - 1, min(_SINGLE, len(values))).astype(int)):
        axis.plot(amounts, values[row], color="0.55", lw=0.7, label="" if place else "single pictures")
    axis.fill_between(amounts, low, high, color=COLOURS[0], alpha=0.22, lw=0, label="quartiles")
    axis.plot(amounts, middle, color=COLOURS[0], lw=2.2, label="median")


def _ceiling(values: list[Array]) -> float:
    """The top of an axis that shows all but a few of the values."""
    return float(1.08 * max(np.percentile(each, 99) for each in values))
