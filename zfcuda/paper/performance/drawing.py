"""Performance by attributes as pictures: changed, observed, piece by piece, and some of the edits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zfcuda.paper.estimate import interval
from zfcuda.paper.performance.edits import AS_IT_IS, CLUTTER, CONTRAST, COVERED, LEFT_OUT, LIGHTNESS, SIZE, Edit
from zfcuda.paper.performance.summary import SERIES
from zfcuda.paper.plots import COLOURS, plotted
from zfcuda.paper.result import Row

_AXES = {
    LIGHTNESS: "lightness: levels of 255 added",
    CONTRAST: "contrast: factor about the mean",
    SIZE: "size: factor about the defining part",
    CLUTTER: "clutter: share left out (%)",
}
_UNITS = {
    "lightness": "mean luma (of 255)",
    "contrast": "standard deviation of the luma (of 255)",
    "pieces of clutter": "pieces of clutter",
    "object size": "object (% of the picture)",
    "part size": "defining part (% of the picture)",
}
_GAP, _TILE, _WORDS = 6, 150, 22


def changed_picture(rows: Sequence[Row]) -> Image.Image | None:
    """Accuracy and probability over each attribute that was changed."""
    names = [name for name in SERIES if any(row["attribute"] == name for row in rows)]

    def draw(axes: Any) -> None:
        for axis, name in zip(axes.flat, names, strict=False):
            some = [row for row in rows if row["attribute"] == name]
            scale = 100 if name == CLUTTER else 1
            _curves(axis, np.array([scale * row["amount"] for row in some]), some)
            axis.axvline(SERIES[name] * scale, color="0.6", lw=1, ls=":")
            if name in (CONTRAST, SIZE):
                axis.set_xscale("log")
                ticks = [row["amount"] for row in some]
                axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
                axis.minorticks_off()
            axis.set_xlabel(_AXES[name])
            axis.set_ylabel("accuracy, probability")
        axes.flat[0].legend(fontsize=9, loc="lower center")

    return plotted(draw, rows=max(1, len(names) // 2), columns=2, size=(10.0, 3.6 * max(1, len(names) // 2)))


def observed_picture(rows: Sequence[Row]) -> Image.Image | None:
    """Accuracy and probability over each attribute as it is, in fifths of the pictures."""
    names = list(dict.fromkeys(row["attribute"] for row in rows))
    columns = min(3, len(names))

    def draw(axes: Any) -> None:
        for axis, name in zip(axes.flat, names, strict=False):
            some = [row for row in rows if row["attribute"] == name]
            _curves(axis, np.array([row["middle"] for row in some]), some)
            axis.set_xlabel(_UNITS.get(name, name))
            axis.set_ylabel("accuracy, probability")
            lowest = min(row[interval(name)][0] for row in rows for name in ("accuracy", "probability"))
            axis.set_ylim(max(0.0, np.floor(20 * lowest) / 20 - 0.02), 1.01)
        for axis in axes.flat[len(names) :]:
            axis.axis("off")
        handles, labels = axes.flat[0].get_legend_handles_labels()
        axes.flat[-1].legend(handles, labels, loc="center" if len(names) < axes.size else "best", fontsize=10)

    lines = -(-len(names) // columns)
    return plotted(draw, rows=lines, columns=columns, size=(11.0, 3.2 * lines + 0.3))


def pieces_picture(rows: Sequence[Row]) -> Image.Image | None:
    """What leaving a piece out, and covering it, takes from the probability of the class."""
    shown = list(rows)[::-1]
    places = np.arange(len(shown))

    def draw(axes: Any) -> None:
        axis = axes[0, 0]
        for by, (way, colour) in enumerate(((COVERED, COLOURS[0]), (LEFT_OUT, COLOURS[1]))):
            known = [(place, row) for place, row in zip(places, shown, strict=True) if row[f"{way}: drop"] is not None]
            drops = np.array([row[f"{way}: drop"] for _, row in known])
            ends = np.array([row[interval(f"{way}: drop")] for _, row in known])
            at = np.array([place for place, _ in known]) + 0.2 * (1 - 2 * by)
            label = "covered with grey" if way == COVERED else "left out: what it had covered is shown"
            axis.barh(at, drops, 0.38, color=colour, label=label)
            axis.errorbar(drops, at, xerr=[drops - ends[:, 0], ends[:, 1] - drops], fmt="none", color="0.2", lw=1)
        labels = [f"{row['piece']} ({100 * row['share of the picture']:.1f} %)" for row in shown]
        axis.set_yticks(places, labels, fontsize=9)
        axis.set_xlabel("drop of the probability of the class (mean, 95 % interval); in brackets: share of the picture")
        axis.axvline(0, color="0.3", lw=0.8)
        axis.grid(alpha=0.25, axis="x")
        axis.legend(fontsize=9, loc="lower right")

    return plotted(draw, size=(10.0, 0.9 + 0.36 * len(shown)))


def edits_sheet(edits: Sequence[Edit], columns: int = 7) -> Image.Image:
    """Some edits of a picture, each with its name."""
    lines = -(-len(edits) // columns)
    tall = max(round(_TILE * edit.picture.height / edit.picture.width) for edit in edits)
    sheet = Image.new("RGB", (columns * (_TILE + _GAP) + _GAP, lines * (tall + _WORDS + _GAP) + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, edit in enumerate(edits):
        left, top = _GAP + place % columns * (_TILE + _GAP), _GAP + place // columns * (tall + _WORDS + _GAP)
        small = edit.picture.resize((_TILE, round(_TILE * edit.picture.height / edit.picture.width)))
        sheet.paste(small, (left, top + _WORDS))
        pen.text((left + _TILE / 2, top + _WORDS / 2), _caption(edit), "black", font, anchor="mm")
    return sheet


def _caption(edit: Edit) -> str:
    if edit.what == AS_IT_IS:
        return edit.what
    if isinstance(edit.amount, str):
        place = edit.amount.replace("background as large as the", "background:").replace(
            "object but not the part", "rest"
        )
        return f"{place} {'out' if edit.what == LEFT_OUT else 'grey'}"
    if edit.what == CLUTTER:
        return f"{100 * edit.amount:.0f} % of clutter out"
    return f"{edit.what} {edit.amount:+g}" if edit.what == LIGHTNESS else f"{edit.what} x {edit.amount:g}"


def _curves(axis: Any, amounts: np.ndarray, rows: Sequence[Row]) -> None:
    for name, colour, mark in (("accuracy", COLOURS[0], "o"), ("probability", COLOURS[1], "s")):
        values = np.array([row[name] for row in rows])
        ends = np.array([row[interval(name)] for row in rows])
        label = "accuracy" if name == "accuracy" else "mean probability of the class"
        axis.plot(amounts, values, color=colour, marker=mark, ms=4, lw=1.8, label=label)
        axis.fill_between(amounts, ends[:, 0], ends[:, 1], color=colour, alpha=0.18, lw=0)
    axis.set_ylim(0, 1.03)
    axis.grid(alpha=0.25)
