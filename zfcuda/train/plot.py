"""The curves of a run as a picture: ``zfcuda train --plot RUN``."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zfcuda.complaint import one_line
from zfcuda.files.drafts import whole
from zfcuda.train.label_placement import spread
from zfcuda.train.run_folder import RunFolder

_TRAINING, _VALIDATION, _GREY = "#c2571a", "#1f5fa8", "#555555"
_GAP = 16.0  # points from one label to the next
_DOTTED = 15  # epochs up to which each has a dot
_LEFT, _RIGHT = 0.12, 0.79  # of the width: between them the curves, right of them their labels
_LONGEST = 70  # characters of a title


def plot(run: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Path:
    """Draws loss, top-1, top-5 and the learning rate of a run over its epochs, also of one that goes on.

    Args:
        run: its folder.
        out: the PNG file; None: curves.png in the folder.

    Returns:
        the file.

    Raises:
        ValueError: the folder holds no run, or one without an epoch that is done; the file cannot be written.
        ImportError: matplotlib is not installed.
    """
    folder = RunFolder(run)
    shown = one_line(os.fspath(folder.path))
    if not folder.config.is_file():
        raise ValueError(f"plot: expected the folder of a run, {shown} has no config.json")
    rows = folder.rows()
    if not rows:
        raise ValueError(f"plot: {shown}: no epoch is done yet, log.jsonl has no line")
    path = folder.path / "curves.png" if out is None else Path(out)
    if path.suffix.lower() != ".png":
        raise ValueError(f"out: expected a name that ends in .png, got {one_line(os.fspath(path))}")
    if not path.parent.is_dir():
        raise ValueError(f"out: there is no folder {one_line(os.fspath(path.parent))}")
    figure = draw(rows, title=_title(folder), test=(folder.result() or {}).get("test"))
    try:
        with whole(path) as [draft]:
            figure.savefig(draft, format="png", dpi=120)
    except OSError as error:
        raise ValueError(f"out: {one_line(os.fspath(path))}: cannot be written ({error.strerror or error})") from None
    return path


def draw(rows: Sequence[Mapping[str, Any]], *, title: str = "", test: float | None = None) -> Any:
    """A figure of matplotlib: three axes one above the other, over the epochs.

    Args:
        rows: the lines of log.jsonl, at least one.
        title: what stands above.
        test: top-1 accuracy on test, where it is known.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # type: ignore[import-not-found,unused-ignore]
        from matplotlib.figure import Figure  # type: ignore[import-not-found,unused-ignore]
        from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ImportError("plot: expected matplotlib, which is not installed: pip install zfcuda[plot]") from None
    figure = Figure(figsize=(9, 8.5))  # pyplot would ask for a screen, and remember the figure
    FigureCanvasAgg(figure)
    losses, shares, rate = axes = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3.6, 1])
    figure.subplots_adjust(left=_LEFT, right=_RIGHT, top=0.9, bottom=0.07, hspace=0.13)
    figure.suptitle(title, x=_LEFT, y=0.975, ha="left", fontsize=11, fontweight="bold", parse_math=False)
    _draw_losses(losses, rows)
    shares.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    _draw_shares(shares, rows)
    rates = _line(rate, rows, "rate", _GREY)
    if min(rates) > 0 and max(rates) > 5 * min(rates):
        rate.set_yscale("log")
    else:
        rate.set_ylim(0, 1.15 * max(rates) or 1.0)
        rate.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        rate.yaxis.set_major_locator(MaxNLocator(2))
    rate.set_ylabel("rate")
    rate.set_xlabel("epoch")
    _label(rate, [("rate", rates[-1], f"{rates[-1]:.2g}", _GREY)])
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    alone = len(rows) == 1
    rate.set_xlim(rows[0]["epoch"] - alone, rows[-1]["epoch"] + alone)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#dddddd", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.yaxis.set_label_coords(-0.125, 0.5)
    _mark_best(axes, rows, test)
    return figure


def _draw_losses(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    ends = [
        ("training", _line(axis, rows, "loss", _TRAINING), _TRAINING),
        ("validation", _line(axis, rows, "validation_loss", _VALIDATION), _VALIDATION),
    ]
    axis.set_ylabel("loss (nats)")
    axis.set_ylim(0, 1.05 * max([each for _, values, _ in ends for each in values if math.isfinite(each)], default=1.0))
    _label(axis, [(name, values[-1], f"{values[-1]:.3f}", colour) for name, values, colour in ends])


def _draw_shares(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    ends = [
        ("training top-1", _line(axis, rows, "top1", _TRAINING), _TRAINING),
        ("training top-5", _line(axis, rows, "top5", _TRAINING, "--"), _TRAINING),
        ("validation top-1", _line(axis, rows, "validation_top1", _VALIDATION), _VALIDATION),
        ("validation top-5", _line(axis, rows, "validation_top5", _VALIDATION, "--"), _VALIDATION),
    ]
    axis.set_ylabel("classified rightly")
    axis.set_ylim(0, 1.03)
    _label(axis, [(name, values[-1], f"{values[-1]:.1%}", colour) for name, values, colour in ends])


def _mark_best(axes: Sequence[Any], rows: Sequence[Mapping[str, Any]], test: float | None) -> None:
    """Marks the epoch whose weights are kept."""
    losses, shares, _ = axes
    epochs = [row["epoch"] for row in rows]
    top, loss = _values(rows, "validation_top1"), _values(rows, "validation_loss")
    best = max(range(len(rows)), key=lambda at: (_or(top[at], -1), -_or(loss[at], math.inf)))
    for axis in axes:
        axis.axvline(epochs[best], color=_GREY, linewidth=1, linestyle=(0, (1, 2)), zorder=0)
    shares.plot(epochs[best], top[best], "o", color=_VALIDATION, markersize=8, clip_on=False)
    late = epochs[best] > (epochs[0] + epochs[-1]) / 2
    losses.annotate(
        f"best: epoch {epochs[best]}, validation {top[best]:.1%}" + ("" if test is None else f", test {test:.1%}"),
        (epochs[best], 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(2 if late else -2, 4),
        textcoords="offset points",
        ha="right" if late else "left",
        color=_VALIDATION,
    )


def _line(axis: Any, rows: Sequence[Mapping[str, Any]], key: str, colour: str, style: str = "-") -> list[float]:
    """Draws a curve over the epochs; returns its values."""
    values = _values(rows, key)
    dots = "o" if len(rows) <= _DOTTED else ""
    epochs = [row["epoch"] for row in rows]
    axis.plot(epochs, values, color=colour, linestyle=style, linewidth=1.8, marker=dots, markersize=4)
    return values


def _label(axis: Any, ends: Sequence[tuple[str, float, str, str]]) -> None:
    """Says at the right of an axis what each curve is, at the height of its end, and its last value."""
    known = [end for end in ends if math.isfinite(end[1])]
    box = axis.get_window_extent()
    height = box.height * 72 / axis.figure.dpi
    wanted = [
        (float(axis.transData.transform((0, value))[1]) - box.y0) / box.height * height for _, value, _, _ in known
    ]
    for place, (name, _, value, colour) in zip(spread(wanted, _GAP), known, strict=True):
        axis.annotate(
            f"{name} {value}",
            (1.0, place / height),
            xycoords="axes fraction",
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            annotation_clip=False,
        )


def _values(rows: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [_or(row.get(key), math.nan) for row in rows]


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None or not math.isfinite(value) else float(value)


def _title(folder: RunFolder) -> str:
    config = _said(folder.config)
    name = one_line(os.fspath(folder.path))
    name = name if len(name) <= _LONGEST else f"...{name[3 - _LONGEST :]}"
    width = "" if config.get("width") in (None, 1.0) else f", width {config['width']:g}"
    return f"{name}\n{config.get('model')}{width}, recipe {config.get('recipe')}"


def _said(file: Path) -> dict[str, Any]:
    """What a file of JSON says; nothing where there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
