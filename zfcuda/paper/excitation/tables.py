"""What is measured of each layer's strongest patches, a row for each layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zfcuda.data.collection import Collection
from zfcuda.features.strongest_patches import StrongestPatches
from zfcuda.paper.estimate import Estimate, unknown
from zfcuda.paper.excitation.crops import TRUTH, Crops
from zfcuda.paper.excitation.purity import chance, purity
from zfcuda.paper.result import Row
from zfcuda.report.explanation import Form


@dataclass(frozen=True)
class Measured:
    """One layer: the strongest patches of all units, those that were cut out, and which of them are drawn (rows)."""

    found: StrongestPatches
    crops: Crops
    drawn: list[int]


def likeness_rows(layers: Sequence[Measured], measure: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> list[Row]:
    """How alike the patches of a unit are, and how alike their projections: mean correlations over pairs, over units.

    "difference beyond two units": by how much more the projections of a unit are alike than those of two units, beyond
    the same of the patches.

    Args:
        measure: likeness.pixels or likeness.edges.
    """
    rows: list[Row] = []
    for each in layers:
        crops = each.crops
        patches, of_two = measure(crops.patches, crops.inside)
        nothing = torch.full_like(patches, float("nan"))
        projections, too = nothing, nothing
        if crops.form not in (None, Form.FILTER):  # all nine projections of a filter are the filter
            projections, too = measure(crops.projections, crops.inside)
            patches, projections = patches + 0 * projections, projections + 0 * patches  # the same units in both
        rows.append(
            {
                "layer": each.found.layer,
                "units": len(crops.units),
                "field": " x ".join(map(str, crops.field)),
                "projected by": crops.form.value if crops.form else f"not at all: {crops.refusal}",
                **mean(patches, "patches"),
                "patches of two units": _mean(of_two),
                **mean(projections, "projections"),
                "projections of two units": _mean(too),
                **mean(projections - patches, "difference"),
                **mean(projections - too - (patches - of_two), "difference beyond two units"),
            }
        )
    return rows


def purity_rows(layers: Sequence[Measured], labels: Sequence[int]) -> list[Row]:
    """How far the pictures of a unit are of one class, over all units that so many pictures excite."""
    rows: list[Row] = []
    for each in layers:
        values, indices = each.found.values, each.found.indices
        excited = (values > 0).all(1) & (indices >= 0).all(1)
        given = np.asarray(labels, dtype=np.int64)[indices[excited].numpy()]
        row: dict[str, Any] = {"layer": each.found.layer, "units": int(excited.sum())}
        most, entropy = purity(given) if len(given) else (np.empty(0), np.empty(0))
        at_random = chance(labels, values.shape[1])
        row |= {**mean(most, "share of the most frequent class"), "at random": at_random[0]}
        row |= {**mean(entropy, "entropy of the classes, bits"), "entropy at random": at_random[1]}
        rows.append(row)
    return rows


def truth_rows(layers: Sequence[Measured]) -> list[Row]:
    """How often the middle of what a unit sees is on the defining part, on the object, and what its projection is of.

    At random: the same at any other place of the same pictures, and of the field.
    """
    rows: list[Row] = []
    for each in layers:
        known = dict(zip(TRUTH, each.crops.truth.double().unbind(2), strict=True))
        row: dict[str, Any] = {"layer": each.found.layer, "units": len(each.crops.units)}
        for name in ("part", "object"):
            row |= mean(known[f"centre on the {name}"].nanmean(1), f"middle on the {name}")
            row[f"{name}, at random"] = _mean(known[name].nanmean(1))
        row |= mean(known["projection on the part"].nanmean(1), "projection on the part")
        row["field on the part"] = _mean(known["part of the field"].nanmean(1))
        rows.append(row)
    return rows


def class_of(layer: Measured, row: int, pictures: Collection) -> str:
    """What to write under a unit: its number, and the most frequent class of its pictures, where they have one."""
    indices = [index for index in layer.crops.indices[row].tolist() if index >= 0]
    said = f"unit {int(layer.crops.units[row])}"
    if pictures.labels is None or not indices:
        return said
    labels = [pictures.labels[index] for index in indices]
    best = max(set(labels), key=lambda label: (labels.count(label), -label))
    name = pictures.classes[best] if 0 <= best < len(pictures.classes) else f"class {best}"
    return f"{said}: {labels.count(best)} of {len(labels)} {name}"


def mean(values: Tensor | npt.NDArray[np.float64], name: str) -> Row:
    """A mean over units and its 95 % interval, under two headings; None and None where there is no value."""
    given = np.asarray(values, dtype=np.float64)
    given = given[np.isfinite(given)]
    if not len(given):
        return unknown(name)
    return Estimate.of(given.tolist()).columns(name)


def _mean(values: Tensor) -> float | None:
    """The mean of the finite ones."""
    known = values[torch.isfinite(values)]
    return float(known.mean()) if len(known) else None
