"""Results on axes of matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from zfcuda import render
from zfcuda.complaint import one_line
from zfcuda.shown.display import Display


def axes(ax: Any = None) -> Any:
    """The Axes that are given, or those of a new figure.

    Raises:
        ImportError: matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ImportError(
            "plot needs matplotlib: pip install matplotlib (or zfcuda with its extra, zfcuda[plot])"
        ) from None
    return pyplot.subplots(layout="constrained")[1]


def draw(display: Display, ax: Any = None) -> Any:
    """The pictures of a result side by side on the axes, which are returned.

    Of one picture, pixel (y, x) is at (x, y), as imshow has it.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there is no picture.
    """
    views = list(islice(display.views, display.few))
    if not views:
        raise ValueError(f"plot: expected something to draw, there is nothing in {display.title!r}")
    ax = axes(ax)
    columns = len(views) if len(views) <= 4 else (len(views) + 1) // 2
    ax.imshow(render.grid([view.picture for view in views], columns, gap=4))
    ax.set_axis_off()
    more = f" (the first {len(views)} of {display.total:,})" if display.total > len(views) else ""
    caption = f"\n{one_line(views[0].caption)}" if len(views) == 1 and views[0].caption else ""
    ax.set_title(f"{one_line(display.title)}{more}{caption}".replace("$", r"\$"), fontsize="medium")
    return ax


def bars(
    names: Sequence[str],
    values: Sequence[float],
    label: str,
    ax: Any = None,
    *,
    left: Any = 0.0,
    part: str = "",
    colour: render.Colour = render.CATEGORIES[0],
) -> Any:
    """Horizontal bars, the first one on top, on the axes, which are returned. left: where they begin. part: of what."""
    ax = axes(ax)
    places = range(len(values))
    ax.barh(places, values, left=left, label=part, color=render.hex_colour(colour))
    ax.set_yticks(places, [one_line(name).replace("$", r"\$") for name in names])
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.set_xlabel(label)
    return ax


def stacked(names: Sequence[str], shares: Mapping[str, Sequence[float]], label: str, ax: Any = None) -> Any:
    """Horizontal bars, each of several parts on end, on the axes, which are returned."""
    ax = axes(ax)
    before = [0.0] * len(names)
    for (part, values), colour in zip(shares.items(), render.CATEGORIES, strict=False):
        bars(names, values, label, ax, left=before, part=part, colour=colour)
        before = [one + more for one, more in zip(before, values, strict=True)]
    ax.legend()
    return ax
