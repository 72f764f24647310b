"""Error rates as dots: one for each training, and a line for their mean."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from zfcuda.paper.plots import COLOURS

_APART = 0.16  # between two networks in one row


def draw_parts(axes: Any, errors: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Rows of parts, with the dots of each network.

    Args:
        errors: by network and part of the pictures, those of each training in per cent.
    """
    parts = list(dict.fromkeys(part for each in errors.values() for part in each))
    for number, (title, by_part) in enumerate(errors.items()):
        shift = (number - (len(errors) - 1) / 2) * 2 * _APART
        for row, part in enumerate(parts):
            _dots(axes, row + shift, by_part[part], COLOURS[number], title if not row else None)
    _rows(axes, parts)
    axes.set_xlabel("error, %")
    axes.legend(fontsize=9, loc="best")


def draw_dots(axes: Any, rows: Mapping[str, Sequence[float]], colours: Sequence[str]) -> None:
    """Rows of dots, each of a colour, with the mean written beside them."""
    for row, (each, colour) in enumerate(zip(rows.values(), colours, strict=True)):
        _dots(axes, row, each, colour)
        axes.annotate(
            f"{'mean ' if len(each) > 1 else ''}{statistics.fmean(each):.1f}",
            (max(each), row),
            xytext=(10, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    _rows(axes, list(rows))
    axes.margins(x=0.15)


def draw_changes(axes: Any, rows: Mapping[str, Sequence[float]], paper: Mapping[str, float]) -> None:
    """Rows of differences to the full network, the paper's as diamonds."""
    axes.axvline(0, color="#888888", linewidth=1)
    for row, (title, each) in enumerate(rows.items()):
        _dots(axes, row, each, COLOURS[0], None if row else "ours, each training; line: mean")
        if title in paper:
            axes.plot(
                [paper[title]],
                [row],
                "D",
                markersize=8,
                markerfacecolor="none",
                markeredgewidth=1.6,
                color=COLOURS[1],
                label=None if row else "the paper's, on ImageNet",
                zorder=3,
            )
    _rows(axes, list(rows))


def _dots(axes: Any, height: float, values: Sequence[float], colour: str, label: str | None = None) -> None:
    axes.plot(values, [height] * len(values), "o", color=colour, alpha=0.55, markersize=7, label=label)
    middle = statistics.fmean(values)
    axes.plot([middle, middle], [height - 0.13, height + 0.13], color=colour, linewidth=2.5)


def _rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
