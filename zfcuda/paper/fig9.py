"""Figure 9: accuracy over training pictures of each class, with what a network learnt before and without."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zfcuda.faithfulness.intervals import student
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import Figure, Option, Setting
from zfcuda.paper.plots import COLOURS, plotted
from zfcuda.paper.result import Claim, Result, Row
from zfcuda.paper.table7 import of_setting
from zfcuda.paper.trainings import MissingRunsError, finished, training
from zfcuda.paper.transferred.measured import Measured, measured
from zfcuda.train.transfer.choices import Choice
from zfcuda.train.transfer.probe import Point
from zfcuda.train.transfer.runs import choice_of_run

_FEW = 10  # pictures of each class at most
_SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Curve:
    """A line of the figure. title: whose. points: from few pictures of each class to many."""

    title: str
    points: Sequence[Point]


def fig9(
    model: nn.Module,
    pictures: Any = None,
    *,
    scratch: Iterable[str | Path] = (),
    layers: Sequence[str] | None = None,
    most: int | None = 50,
    preprocess: Any = None,
    seed: int = 0,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Fits a linear classifier on codes of few and of many pictures of each class.

    Needs the extra: ``pip install zfcuda[features]``.

    Args:
        model, pictures, layers, most, preprocess, seed, cache, progress: as :func:`zfcuda.paper.table7` takes them.
        scratch: folders of finished trainings from scratch on all of these pictures, which are put beside.

    Returns:
        Result: accuracies by pictures of each class. Tensors "counts" [K], and "accuracy.LAYER" and
        "accuracy.untrained.LAYER" [K,draws].

    Raises:
        As :func:`zfcuda.paper.table7`; ValueError: a training of `scratch` is of other pictures, or not finished.
    """
    found = measured(
        model,
        pictures,
        layers=tuple(layers) if layers is not None else None,
        most=most,
        preprocess=preprocess,
        seed=seed,
        cache=cache or Cache(),
        progress=progress,
    )
    runs = [choice_of_run(path, found.sets) for path in scratch]
    trained = [
        Curve(f"trained, {layer}", found.trained.curve(layer)) for layer in _layers(found.trained.points, last=True)
    ]
    controls = [
        Curve(f"untrained, {layer}", found.untrained.curve(layer)) for layer in _layers(found.untrained.points)
    ] + [Curve("pixels", found.pixels.points)]
    result = Result(notes=[*found.notes, *_notes(found, runs)])
    result.tables = {"Accuracy on test": _rows([*trained, *controls])}
    if runs:
        result.tables["Trained from scratch"] = [_run_row(run, found) for run in runs]
    result.claims = _claims(_best(trained, found), controls, runs, found)
    result.tensors["counts"] = torch.tensor([point.per_class for point in trained[0].points])
    for which, probes in (("", found.trained), ("untrained.", found.untrained)):
        for layer in _layers(probes.points):
            result.tensors[f"accuracy.{which}{layer}"] = torch.tensor(
                [[share.accuracy for share in point.shares] for point in probes.curve(layer)]
            )
    picture = plotted(lambda axes: _draw(axes[0, 0], trained, controls, runs, found), size=(9.0, 5.0))
    if picture is not None:
        result.pictures[""], result.free = picture, {""}
    return result


def _layers(points: Sequence[Point], *, last: bool = False) -> list[str]:
    """The layers that there are curves of; with `last` the last one first."""
    names = list(dict.fromkeys(point.layer for point in points))
    return names[::-1] if last else names


def _best(curves: Sequence[Curve], found: Measured) -> Curve:
    """The curve of the layer that does best on validation, with all pictures."""
    layer = found.trained.best.layer.name
    return next((curve for curve in curves if curve.points[0].layer == layer), curves[0])


def _rows(curves: Sequence[Curve]) -> list[Row]:
    rows: list[Row] = []
    for number, first in enumerate(curves[0].points):
        row: dict[str, Any] = {"pictures of each class": first.per_class}
        for curve in curves:
            point = curve.points[number]
            row[f"{curve.title} %"] = round(100 * point.mean, 1)
            row[f"{curve.title}, deviation"] = None if point.spread is None else round(100 * point.spread, 1)
        rows.append(row)
    return rows


def _run_row(run: Choice, found: Measured) -> Row:
    return {
        "network": run.what,
        "training pictures": run.pictures,
        "of each class on average": round(run.pictures / len(found.sets.classes)),
        "test %": round(100 * run.accuracy, 1),
        "standard error": round(100 * run.standard_error, 1),
    }


def _notes(found: Measured, runs: Sequence[Choice]) -> list[str]:
    draws = len(found.trained.points[0].shares) if found.trained.points else 0
    notes = [f"Each point is the mean of {draws} draws of training pictures, the same for all lines."]
    if not runs:
        notes.append(
            "No training from scratch on these pictures is at hand: untrained codes and pixels stand for what the "
            "pictures alone can teach a linear classifier."
        )
    return notes


def _claims(curve: Curve, controls: Sequence[Curve], runs: Sequence[Choice], found: Measured) -> list[Claim]:
    claims = [_few(curve, controls), _tenfold(curve, controls), _scratch(curve, runs, found) if runs else None]
    return [found.of_transfer(claim) for claim in claims if claim is not None]


def _few(curve: Curve, controls: Sequence[Curve]) -> Claim:
    """At each count up to _FEW the trained codes lead all controls."""
    verdicts, said = [], []
    for number, point in enumerate(curve.points):
        if point.per_class > _FEW:
            continue
        rival = max((control.points[number] for control in controls), key=lambda each: each.mean)
        low, high = _lead(point, rival)
        verdicts.append(low > 0 if low > 0 or high < 0 else None)
        said.append(f"{point.per_class}: {point.mean:.1%} against {rival.mean:.1%} ({low:+.1f} to {high:+.1f} points)")
    return Claim(
        "With few pictures of each class, features learnt elsewhere beat whatever is learnt from these alone.",
        f"{curve.title.capitalize()}, against the best without learning, by pictures of each class: {'; '.join(said)}.",
        True if all(verdicts) else False if False in verdicts else None,
    )


def _tenfold(curve: Curve, controls: Sequence[Curve]) -> Claim | None:
    """Some pictures of each class, against ten times as many: the paper's six and sixty, or what comes near."""
    by_count = {point.per_class: point for point in curve.points}
    pairs = [(count, 10 * count) for count in by_count if 10 * count in by_count]
    if not pairs:
        return None
    few, many = min(pairs, key=lambda pair: abs(math.log(pair[0] / 6)))
    rivals = [(control.title, point) for control in controls for point in control.points if point.per_class == many]
    title, rival = max(rivals, key=lambda each: each[1].mean)
    low, high = _lead(by_count[few], rival)
    return Claim(
        "With 6 pictures of each class of Caltech-256 the pre-trained network beats the best method that learns from "
        "these pictures alone with 60: a tenth of the pictures is enough.",
        f"With {few} of each class {by_count[few].mean:.1%}, {title} with {many} {rival.mean:.1%} "
        f"({low:+.1f} to {high:+.1f} points).",
        low > 0 if low > 0 or high < 0 else None,
    )


def _scratch(curve: Curve, runs: Sequence[Choice], found: Measured) -> Claim:
    """The fewest pictures with which the codes are as good as the mean training from scratch."""
    mean = sum(run.accuracy for run in runs) / len(runs)
    error = max(run.standard_error for run in runs)
    all_of_them = runs[0].pictures / len(found.sets.classes)
    last = curve.points[-1]
    ahead = next((point for point in curve.points if point.mean >= mean), None)
    other = student([run.accuracy for run in runs]) if len(runs) > 1 else (mean, mean)  # trainings
    half = 100 * math.hypot(1.96 * last.standard_error, 1.96 * error, (other[1] - other[0]) / 2)
    low, high = 100 * (last.mean - mean) - half, 100 * (last.mean - mean) + half
    enough = "" if ahead is None else f"; {ahead.per_class} of each are enough to be as good"
    fair = all_of_them <= 1.1 * last.per_class
    if high < 0 and not fair:
        enough = f". With {all_of_them / last.per_class:.1f} times as many pictures that decides nothing"
    return Claim(
        "Trained from scratch on the pictures alone, the network does far worse than with what it learnt elsewhere: "
        "38.8 % against 74.2 % on Caltech-256, with 60 pictures of each class.",
        f"From scratch on {all_of_them:,.0f} pictures of each class {mean:.1%} (mean of {len(runs)}), codes with "
        f"{last.per_class} of each {last.mean:.1%} ({low:+.1f} to {high:+.1f} points){enough}.",
        True if low > 0 else False if high < 0 and fair else None,
    )


def _lead(one: Point, other: Point) -> tuple[float, float]:
    """The 95 % interval of the difference of two points, in points of a hundred, for other draws and other pictures."""
    middle, half = one.mean - other.mean, 1.96 * math.hypot(one.standard_error, other.standard_error)
    return 100 * (middle - half), 100 * (middle + half)


def _draw(
    axes: Any, trained: Sequence[Curve], controls: Sequence[Curve], runs: Sequence[Choice], found: Measured
) -> None:
    lines = [(curve, COLOURS[number], "-") for number, curve in enumerate(trained)]
    lines += [(curve, colour, "--") for curve, colour in zip(controls, ("#777777", COLOURS[4]), strict=True)]
    for curve, colour, style in lines:
        axes.errorbar(
            [point.per_class for point in curve.points],
            [100 * point.mean for point in curve.points],
            yerr=[100 * (point.spread or 0.0) for point in curve.points],
            fmt="o" + style,
            color=colour,
            capsize=3,
            markersize=5,
            label=curve.title,
        )
    counts = [point.per_class for point in trained[0].points]
    if runs:
        each = runs[0].pictures / len(found.sets.classes)
        axes.plot([each] * len(runs), [100 * run.accuracy for run in runs], "D", color=COLOURS[2], label="from scratch")
        counts = [*counts, round(each)]
    axes.axhline(100 * found.chance, color="#999999", linestyle=":", label="most frequent class")
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("training pictures of each class")
    axes.set_ylabel("test accuracy, % (bars: deviation of the draws)")
    axes.set_ylim(0, 103)
    axes.grid(alpha=0.25)
    axes.set_title(f"a linear classifier on codes: {found.sets.title.partition(':')[0]}", fontsize=11)
    axes.legend(fontsize=9, loc="best")


def _run(setting: Setting) -> Result:
    given = of_setting(setting)
    scratch: list[Path] = []
    if given["pictures"] is not None:
        for seed in _SEEDS:
            with suppress(MissingRunsError):  # it is put beside where it is there
                scratch += [each.path for each in finished([training(setting.data, "zfnet", seed)], setting.runs)]
    return fig9(**given, scratch=scratch)


FIGURE = Figure(
    name="fig9",
    title="Figure 9: accuracy over training pictures of each class",
    source="Zeiler & Fergus, Fig. 9 and section 5.2",
    says="Caltech-256: accuracy over the number of training pictures of each class. The network that was trained on "
    "ImageNet, with a new softmax on top, beats with 6 pictures of each class the best result that was known with 60; "
    "with 60 it has 74.2 %, the same network trained from scratch 38.8 %.",
    run=_run,
    trainings=True,
    packages=("sklearn",),
    options=(Option("most", 50, "N", "pictures of each class that are taken of each part at most; 0: all"),),
)
