"""Jumps of a feature's appearance: where another picture became its strongest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

import numpy as np
from PIL import Image

from zfcuda.features.strongest_patches import StrongestPatches
from zfcuda.paper.estimate import Estimate
from zfcuda.paper.result import Claim, Row
from zfcuda.report.explanation import Form
from zfcuda.report.patches.joined import LayerPatches

_FEW = 6  # pairs of layer and step, below which an interval over them decides nothing
SAYS = "Sudden jumps in appearance result from a change of the picture from which the strongest activation originates."


def changes(
    moments: Sequence[Mapping[str, StrongestPatches]], epochs: Sequence[int], headings: Mapping[str, str]
) -> list[Row]:
    """A row for each layer and step: the share of its units whose strongest picture became another one.

    Units that nothing excites at one of the two epochs are left out.

    headings: layer -> what to call it.
    """
    rows: list[Row] = []
    for layer, heading in headings.items():
        for place in range(1, len(epochs)):
            before, after = (moments[at][layer] for at in (place - 1, place))
            alive = (before.values[:, 0] > 0) & (after.values[:, 0] > 0)
            other = (before.indices[:, 0] != after.indices[:, 0])[alive]
            rows.append(
                {
                    "layer": heading,
                    "from epoch": epochs[place - 1],
                    "to epoch": epochs[place],
                    "units": int(alive.sum()),
                    "share with another strongest picture": round(float(other.double().mean()), 3)
                    if len(other)
                    else None,
                }
            )
    return rows


def jumps(moments: Sequence[Sequence[LayerPatches]]) -> Claim:
    """How alike a unit's projections of two epochs are, where its strongest picture stayed, and where it changed.

    Features change more in early epochs, and so do the pictures: units are compared within a layer and a step from one
    epoch to the next, wherever there are both kinds; the interval is over these pairs of layer and step.

    moments: at each epoch the layers, drawn. Layers whose projection is the filter, whatever the picture, are left out.
    """
    stayed, changed, differences = [], [], []
    for before, after in pairwise(moments):
        for old, new in zip(before, after, strict=True):
            same, other = _likeness(old, new)
            if same and other:
                stayed.append(fmean(same))
                changed.append(fmean(other))
                differences.append(stayed[-1] - changed[-1])
    if len(differences) < _FEW:
        return Claim(SAYS, "Too few steps have both: units whose picture stays, and units whose picture changes.", None)
    less = Estimate.of(differences)
    return Claim(
        SAYS,
        f"From one epoch shown to the next, a unit's projections correlate at {fmean(stayed):.2f} where its strongest "
        f"picture stays, at {fmean(changed):.2f} where it changes: less by {less}, over "
        f"{len(differences)} pairs of layer and step.",
        less.positive,
    )


def _likeness(old: LayerPatches, new: LayerPatches) -> tuple[list[float], list[float]]:
    """The correlations of the projections of units at two epochs: of those whose picture stayed, and of the others."""
    same: list[float] = []
    other: list[float] = []
    for row in old.rows:
        pair = [layer.drawn[row][0] for layer in (old, new) if layer.drawn[row] and layer.found.values[row, 0] > 0]
        pictures = [each.projection for each in pair if each.projection is not None]
        if len(pictures) < 2 or Form.FILTER in (old.form, new.form) or pictures[0].size != pictures[1].size:
            continue
        (same if pair[0].index == pair[1].index else other).append(_correlation(*pictures))
    return same, other


def _correlation(first: Image.Image, second: Image.Image) -> float:
    """Of two drawn projections, whose zero is middle grey."""
    a, b = (np.asarray(each, dtype=np.float64).ravel() - 127.5 for each in (first, second))
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0
