"""Distances and probabilities over many pictures as arrays, and figures of them with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zfcuda.paper.estimate import Estimate
from zfcuda.paper.invariance.changes import SCALE, Change, of_kind

_RESAMPLES, _SEED = 1000, 0
Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Curves:
    """What came of many pictures.

    Attributes:
        changes: one for each column.
        pictures: the number of each row's picture. labels: the class whose probability is meant.
        probability: [pictures,changes]. original: [pictures,2], of the whole picture and of its disc.
        same: bool [pictures,changes], whether the network's answer is the one to the original.
        distances: of each layer [pictures,changes], in units of the median distance between two pictures.
        of_norm: the same in units of the norm of the original's features.
        in_view: bool [pictures,changes], whether the part that tells the class is still shown; None where that is not
            known.
    """

    changes: list[Change]
    pictures: list[int]
    labels: list[int]
    probability: Array
    original: Array
    same: Array
    distances: dict[str, Array]
    of_norm: dict[str, Array]
    in_view: Array | None = None

    def amounts(self, kind: str) -> Array:
        """How large the changes of a kind are, each in the order of its column."""
        return np.array([self.changes[place].amount for place in of_kind(self.changes, kind)])

    def of(self, values: Array, kind: str) -> Array:
        """The columns of a kind."""
        return values[:, of_kind(self.changes, kind)]

    def changed(self, values: Array, kind: str) -> Array:
        """The columns of a kind, without what changes nothing."""
        return values[:, [place for place in of_kind(self.changes, kind) if not self.changes[place].same]]

    def reference(self, kind: str) -> Array:
        """The probability of the originals that changes of a kind start from, [pictures]."""
        return self.original[:, int(self.changes[of_kind(self.changes, kind)[0]].disc)]


def curves_of(
    records: Sequence[dict[str, Any]], changes: list[Change], layers: Sequence[str], between: dict[str, list[float]]
) -> Curves:
    """The records of :meth:`Responses.record` as arrays.

    between: of each layer the median distance between two pictures, and between the discs of two.
    """
    disc = np.array([int(change.disc) for change in changes])
    same = next(place for place, change in enumerate(changes) if change.same and not change.disc)
    disc_same = next(place for place, change in enumerate(changes) if change.same and change.disc)
    answers = np.array([record["answer"] for record in records])
    raw = {layer: np.array([record["distances"][layer] for record in records]) for layer in layers}
    norms = {layer: np.array([record["norms"][layer] for record in records]) for layer in layers}
    tiny = np.finfo(np.float64).tiny
    return Curves(
        changes,
        [record["picture"] for record in records],
        [record["label"] for record in records],
        np.array([record["probability"] for record in records]),
        np.array([record["original"] for record in records]),
        answers == answers[:, np.where(disc == 1, disc_same, same)],
        {layer: raw[layer] / np.maximum(np.array(between[layer])[disc], tiny) for layer in layers},
        {layer: raw[layer] / np.maximum(norms[layer][:, disc], tiny) for layer in layers},
    )


def resampled(statistic: Callable[..., float], *rows: Array) -> Estimate:
    """A figure of pictures, and the 95 % interval by the bootstrap over the pictures.

    Args:
        statistic: of arrays as the given ones.
        rows: arrays [pictures,...], of the same pictures.
    """
    count = len(rows[0])
    dice = np.random.default_rng(_SEED)
    found = []
    for _ in range(_RESAMPLES):
        chosen = dice.integers(0, count, count)
        found.append(statistic(*(each[chosen] for each in rows)))
    low, high = np.percentile(found, (2.5, 97.5))
    return Estimate(float(statistic(*rows)), float(low), float(high))


def mean(values: Array) -> Estimate:
    """The mean over pictures, and over all else."""
    return resampled(np.mean, values.reshape(len(values), -1).mean(axis=1))


def straightness(amounts: Array, kind: str) -> Callable[[Array], float]:
    """How well a line through no change and no distance fits the mean curve: a function of [pictures,changes] -> R^2.

    1 is a line; below 0 the mean distance fits better than any such line.
    """
    size = np.abs(amounts - 1) if kind == SCALE else np.abs(amounts)

    def fit(values: Array) -> float:
        curve = values.mean(axis=0)
        slope = float(size @ curve / (size @ size))
        spread = float(((curve - curve.mean()) ** 2).sum())
        return 1 - float(((curve - slope * size) ** 2).sum()) / spread if spread else 0.0

    return fit


def stepwise(amounts: Array, kind: str) -> Callable[[Array], float]:
    """The same of a step: no distance without a change, and one and the same with any.

    It has as many parameters as the line, one: what is nearer to a step than to a line has saturated.
    """
    moved = amounts != (1 if kind == SCALE else 0)

    def fit(values: Array) -> float:
        curve = values.mean(axis=0)
        spread = float(((curve - curve.mean()) ** 2).sum())
        step = np.where(moved, curve[moved].mean(), 0.0)
        return 1 - float(((curve - step) ** 2).sum()) / spread if spread else 0.0

    return fit


def harmonics(circle: Array) -> Array:
    """The share of a curve's variance over the circle that each number of periods has: [pictures,angles] -> [angles/2].

    The first column is no change, at which a distance is 0 whatever the curve does: the mean of its neighbours stands
    in its place. Of the mean curve; entry k - 1 is k periods, of 360/k degrees each.
    """
    curve = circle.mean(axis=0)
    curve[0] = (curve[1] + curve[-1]) / 2
    power = np.abs(np.fft.rfft(curve - curve.mean()))[1:] ** 2
    if not len(curve) % 2:
        power[-1] /= 2
    shares: Array = power / max(power.sum(), np.finfo(np.float64).tiny)
    return shares


def peak(circle: Array, angles: Array, at: Sequence[int]) -> float:
    """How much higher the mean curve is at some angles than 40 and 50 degrees to both sides of them."""
    curve = dict(zip(angles.astype(int).tolist(), circle.mean(axis=0).tolist(), strict=True))
    beside = [curve[(angle + by) % 360] for angle in at for by in (-50, -40, 40, 50)]
    return float(np.mean([curve[angle] for angle in at]) - np.mean(beside))
