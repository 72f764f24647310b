"""A transfer as files: numbers as JSON, figures as PNG."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from zfcuda.files.drafts import whole
from zfcuda.train.transfer import plot
from zfcuda.train.transfer.choices import advice, cases
from zfcuda.train.transfer.measure import Transfer
from zfcuda.train.transfer.probe import Point, Row

JSON, LAYERS, CURVES = "transfer.json", "by-layer.png", "curves.png"


def write(found: Transfer, folder: Path, title: str, facts: Mapping[str, Any]) -> list[Path]:
    """Writes all files or none; returns them. Without matplotlib there are no pictures.

    Args:
        title: of the figures.
        facts: what stands at the beginning of the JSON: the command, the network, the data.

    Raises:
        OSError: the disk refuses; what was there stays.
    """
    names = [JSON]
    if plot.can_draw():
        names += [LAYERS, *([CURVES] if found.points else [])]
    files = [folder / name for name in names]
    with whole(*files) as drafts:
        for draft, name in zip(drafts, names, strict=True):
            if name == JSON:
                draft.write_text(json.dumps({**facts, **numbers(found)}, indent=1) + "\n", encoding="utf-8")
            elif name == LAYERS:
                plot.draw_layers(found.rows, found.chance, title, draft)
            else:
                plot.draw_curves(found.points, found.chance, title, draft)
    return files


def numbers(found: Transfer) -> dict[str, Any]:
    """All that was measured, as JSON takes it."""
    prepared, settings = found.prepared, found.prepared.settings
    best = found.best
    return {
        "pictures": {name: len(part.labels) for name, part in prepared.parts.items()},
        "note": prepared.parts.note,
        "classes": [*prepared.parts.training.classes],
        "codes": {
            "pool": settings.pool if isinstance(settings.pool, str) else list(settings.pool),
            "mirror": settings.mirror,
            "bytes": prepared.bytes,
            "standardised": True,
        },
        "chosen_on": "validation, which is not trained on afterwards",
        "seed": settings.seed,
        "always_the_most_frequent_class": round(found.chance, 6),
        "by_layer": [_row(row) for row in found.rows],
        "best_on_validation": {**_row(best), "by_class": _by_class(found, best)},
        "folds": settings.folds,
        "learning_curves": [_point(point) for point in found.points],
        "cases": cases(found.few, found.many),
        "advice": advice(found.few, found.many),
    }


def _row(row: Row) -> dict[str, Any]:
    fitted = row.fitted
    return {
        "layer": row.layer.name,
        "code": row.layer.form,
        "numbers": row.layer.numbers,
        "classifier": fitted.classifier,
        "c": fitted.c,
        "converged": fitted.converged,
        "training": fitted.training.facts(),
        "validation": fitted.validation.facts(),
        "test": fitted.test.facts(),
        "seconds": round(row.seconds, 2),
    }


def _point(point: Point) -> dict[str, Any]:
    return {
        "layer": point.layer,
        "classifier": point.classifier,
        "per_class": point.per_class,
        "mean": round(point.mean, 6),
        "spread": None if point.spread is None else round(point.spread, 6),
        "folds": [round(share.accuracy, 6) for share in point.shares],
    }


def _by_class(found: Transfer, row: Row) -> dict[str, float | None]:
    """The share of each class's test pictures that a row answers rightly."""
    labels, names = row.fitted.truth, found.prepared.parts.test.classes
    right = row.fitted.answers == labels
    shares = {}
    for label, name in enumerate(names):
        mine = right[labels == label]
        shares[name] = round(float(mine.to(torch.float64).mean()), 6) if len(mine) else None
    return shares
