"""A training with and without the paper's clipping of filters, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zfcuda.paper.evolution.history import History
from zfcuda.paper.first_layer.filters import rms
from zfcuda.paper.result import Claim, Row

SAYS = "Without clipping one filter dominates the first layer; clipping removes it."
_DOMINATES = 2.0  # times the median


@dataclass(frozen=True)
class Clipping:
    """What clipping did to a training.

    Attributes:
        radius: the root mean square above which a filter is scaled back.
        epochs: 0 for the initial weights, where both are known.
        clipped, unclipped: the root mean square of each first-layer filter at each epoch, float64 [epochs,N].
        largest: the layer of the training without clipping with the largest root mean square in the end, and that.
        same: whether both trainings came to the same weights, to the bit.
        engaged: whether any filter of the one that is clipped is at the radius at any of the epochs.
        filters: of the first layer in the end, clipped and unclipped, [N,C,kh,kw].
    """

    radius: float
    epochs: list[int]
    clipped: Tensor
    unclipped: Tensor
    largest: tuple[str, float]
    same: bool
    engaged: bool
    filters: tuple[Tensor, Tensor]


def compared(clipped: History, unclipped: History, radius: float) -> Clipping:
    """Compares two trainings that differ in the clipping alone.

    Raises:
        ValueError: they have no epoch in common, or are of different networks.
    """
    epochs, sides = [], ([], [])  # type: ignore[var-annotated]
    both = [dict(zip(each.epochs, each.models, strict=True)) for each in (clipped, unclipped)]
    if clipped.initial is not None and unclipped.initial is not None:
        both[0][0], both[1][0] = clipped.initial, unclipped.initial
    for epoch in sorted(both[0].keys() & both[1].keys()):
        epochs.append(epoch)
        for side, models in zip(sides, both, strict=True):
            side.append(models[epoch])
    if not epochs:
        raise ValueError("clipping: expected two trainings with snapshots of the same epochs")
    ends = [side[-1] for side in sides]
    states = [each.state_dict() for each in ends]
    if [(n, v.shape) for n, v in states[0].items()] != [(n, v.shape) for n, v in states[1].items()]:
        raise ValueError("clipping: expected two trainings of one network")
    first, second = (torch.stack([rms(_first(model)) for model in side]) for side in sides)
    peaks = {name: float(rms(layer.weight).max()) for name, layer in _convolutions(ends[1])}  # type: ignore[arg-type]
    name = max(peaks, key=lambda each: peaks[each])
    highest = max(float(rms(layer.weight).max()) for model in sides[0] for _, layer in _convolutions(model))  # type: ignore[arg-type]
    same = all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    filters = (_first(ends[0]), _first(ends[1]))
    return Clipping(radius, epochs, first, second, (name, peaks[name]), same, highest >= 0.999 * radius, filters)


def rows(clipping: Clipping) -> list[Row]:
    """A row for each epoch: the largest and the median root mean square of first-layer filters, with and without."""
    found: list[Row] = []
    for place, epoch in enumerate(clipping.epochs):
        row: dict[str, float | int] = {"epoch": epoch}
        for word, values in (("clipped", clipping.clipped[place]), ("not clipped", clipping.unclipped[place])):
            row[f"largest RMS, {word}"] = round(float(values.max()), 4)
            row[f"median RMS, {word}"] = round(float(values.median()), 4)
            row[f"largest over median, {word}"] = round(float(values.max() / values.median()), 3)
        found.append(row)
    return found


def claim(every: Sequence[Clipping]) -> Claim:
    """Whether clipping removed filters that dominate: those whose RMS is twice the median, or more.

    Trainings in which no filter came to the radius decide nothing; the others have to agree.
    """
    verdicts = {_verdict(each) for each in every if each.engaged}
    found = " ".join(_found(each) for each in every)
    if all(_ratios(each)[1] < _DOMINATES for each in every):
        found += " Without clipping no filter is twice the median: in so short a training none dominates."
    return Claim(SAYS, f"{found} One training of each kind, all from the same seed.", _only(verdicts))


def _only(verdicts: set[bool | None]) -> bool | None:
    return next(iter(verdicts)) if len(verdicts) == 1 else None


def _ratios(clipping: Clipping) -> tuple[float, float]:
    """The largest root mean square over the median in the end, with clipping and without."""
    over, without = (float(each[-1].max() / each[-1].median()) for each in (clipping.clipped, clipping.unclipped))
    return over, without


def _verdict(clipping: Clipping) -> bool | None:
    over, without = _ratios(clipping)
    return True if without >= _DOMINATES > over else False if without <= over else None


def _found(clipping: Clipping) -> str:
    over, without = _ratios(clipping)
    found = (
        f"Largest RMS over the median in the end: {over:.2f} with clipping at {clipping.radius:g}, "
        f"{without:.2f} without."
    )
    if clipping.engaged:
        at = int((clipping.clipped[-1] >= 0.99 * clipping.radius).sum())
        return f"{found} In the end {at} of {clipping.clipped.shape[1]} first-layer filters are within 1 % of it."
    name, most = clipping.largest
    alike = "; both trainings came to the same weights, to the bit" if clipping.same else ""
    return (
        f"{found} Clipping at {clipping.radius:g} never engaged{alike}: no filter comes near the radius, the largest "
        f"RMS, in {name}, is {most:.3f}."
    )


def _convolutions(model: nn.Module) -> Sequence[tuple[str, nn.Conv2d]]:
    return [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)]


def _first(model: nn.Module) -> Tensor:
    return _convolutions(model)[0][1].weight.detach().cpu().float()
