"""The figures of a transfer as PNG pictures, with matplotlib: the extra ``pip install zfcuda[plot]``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zfcuda.train.transfer.probe import Point, Row

_COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#e6ab02", "#666666")


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw_layers(rows: Sequence[Row], chance: float, title: str, draft: Path) -> None:
    """Accuracy on the test pictures by layer, a line for each classifier, with one standard error each way."""
    names = list(dict.fromkeys(row.layer.name for row in rows))
    figure, axes = _axes(max(6.0, 2.5 + 0.75 * len(names)))
    for colour, classifier in zip(_COLOURS, dict.fromkeys(row.fitted.classifier for row in rows), strict=False):
        mine = [row for row in rows if row.fitted.classifier == classifier]
        axes.errorbar(
            [names.index(row.layer.name) for row in mine],
            [row.fitted.test.accuracy for row in mine],
            yerr=[row.fitted.test.standard_error for row in mine],
            marker="o",
            capsize=3,
            color=colour,
            label=classifier,
        )
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_xlabel("layer whose codes are classified")
    _finish(figure, axes, chance, title, draft, "one standard error")


def draw_curves(points: Sequence[Point], chance: float, title: str, draft: Path) -> None:
    """Mean accuracy over training pictures of each class, with the spread over the folds."""
    figure, axes = _axes(7.0)
    for colour, key in zip(_COLOURS, dict.fromkeys((point.layer, point.classifier) for point in points), strict=False):
        mine = [point for point in points if (point.layer, point.classifier) == key]
        axes.errorbar(
            [point.per_class for point in mine],
            [point.mean for point in mine],
            yerr=[point.spread or 0.0 for point in mine],
            marker="o",
            capsize=3,
            color=colour,
            label=f"{key[0]}, {key[1]}",
        )
    counts = sorted({point.per_class for point in points})
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("training pictures of each class")
    _finish(figure, axes, chance, title, draft, "deviation of the draws")


def _axes(width: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # without pyplot, which would keep it

    figure = Figure(figsize=(width, 4.2), layout="constrained")
    return figure, figure.subplots()


def _finish(figure: Any, axes: Any, chance: float, title: str, draft: Path, bars: str) -> None:
    axes.axhline(chance, color="#999999", linestyle=":", label=f"always the most frequent class, {chance:.1%}")
    axes.set_ylabel(f"classified rightly on test\n(bars: {bars})")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.25)
    axes.set_title(title, fontsize=10)
    axes.legend(loc="best", fontsize=8)
    figure.savefig(draft, format="png", dpi=120)
