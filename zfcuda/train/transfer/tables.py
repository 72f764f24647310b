"""A transfer as text: the tables that the command prints."""

from __future__ import annotations

from collections.abc import Sequence

from zfcuda.train.transfer.choices import WAYS, Choice
from zfcuda.train.transfer.probe import Point, Row


def by_layer(rows: Sequence[Row]) -> str:
    """Accuracy by layer: the paper's Table 7."""
    head = ["layer", "code", "numbers", "classifier", "C", "training", "validation", "test"]
    lines = [
        [
            row.layer.name,
            row.layer.form,
            f"{row.layer.numbers:,}",
            row.fitted.classifier + ("" if row.fitted.converged else " *"),
            f"{row.fitted.c:g}",
            f"{row.fitted.training.accuracy:.1%}",
            f"{row.fitted.validation.accuracy:.1%}",
            str(row.fitted.test),
        ]
        for row in rows
    ]
    note = "" if all(row.fitted.converged for row in rows) else "\n* its optimisation was ended before it converged"
    return _table(head, lines, right=(2, 4, 5, 6, 7)) + note


def curves(points: Sequence[Point]) -> str:
    """Mean accuracy and spread over the folds, a line for each number of pictures, a column for each curve."""
    keys = list(dict.fromkeys((point.layer, point.classifier) for point in points))
    found = {(point.layer, point.classifier, point.per_class): point for point in points}
    lines = []
    for count in sorted({point.per_class for point in points}):
        cells = [found.get((*key, count)) for key in keys]
        lines.append([str(count), *("" if point is None else _mean(point) for point in cells)])
    head = ["a class", *(f"{layer}, {classifier}" for layer, classifier in keys)]
    return _table(head, lines, right=range(len(head)))


def choices(every: Sequence[Choice]) -> str:
    """What each way to transfer gave."""
    head = ["pictures", "way", "what", "test"]
    lines = [
        [
            f"{choice.pictures:,}" if choice.per_class is None else f"{choice.per_class} a class",
            WAYS[choice.way],
            choice.what,
            str(choice),
        ]
        for choice in every
    ]
    return _table(head, lines, right=(0, 3))


def _mean(point: Point) -> str:
    return f"{point.mean:.1%}" + ("" if point.spread is None else f" +- {point.spread:.1%}")


def _table(head: Sequence[str], lines: Sequence[Sequence[str]], right: Sequence[int] | range) -> str:
    wide = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]

    def laid(line: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, wide, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([laid(head), "-" * (sum(wide) + 2 * (len(wide) - 1)), *map(laid, lines)])
