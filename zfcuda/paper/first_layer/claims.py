"""What the paper says of first layers, held against two kinds of networks of several trainings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from zfcuda.faithfulness.intervals import student_of_two
from zfcuda.paper.estimate import Estimate
from zfcuda.paper.first_layer.aliasing import FREQUENCIES
from zfcuda.paper.first_layer.network import FirstLayer
from zfcuda.paper.result import Claim

_RESAMPLES, _SEED = 2000, 0
Values = Sequence[Sequence[float]]


def difference(first: Values, second: Values) -> Estimate:
    """By how much the second mean is above the first: values of units, of several trainings.

    All trainings count the same. The interval is for other trainings: Student's t over their means. Where a side has
    one training alone it is over units, by the bootstrap, and says nothing of others.

    Raises:
        ValueError: there are none.
    """
    sides = [[np.asarray(each, dtype=np.float64) for each in side if len(each)] for side in (first, second)]
    if not all(sides):
        raise ValueError("values: expected at least one, got none")
    one, other = ([float(each.mean()) for each in side] for side in sides)
    by = float(np.mean(other) - np.mean(one))
    if min(map(len, sides)) > 1:
        return Estimate(by, *student_of_two(one, other))
    dice = np.random.default_rng(_SEED)
    some, others = (
        np.mean([each[dice.integers(0, len(each), (_RESAMPLES, len(each)))].mean(1) for each in side], axis=0)
        for side in sides
    )
    low, high = np.percentile(others - some, (2.5, 97.5))
    return Estimate(by, float(low), float(high))


def claims(ours: Sequence[FirstLayer], theirs: Sequence[FirstLayer]) -> list[Claim]:
    """What Fig. 6 (b) to (e) says of smaller filters and strides: fewer dead features, more distinct ones, more middle
    frequencies, less aliasing. With one training of a kind nothing is decided.
    """
    us, them = ours[0].kind, theirs[0].kind

    def compared(says: str, of: str, what: Callable[[FirstLayer], Tensor], *, fewer: bool, shown: str) -> Claim:
        a, b = ([_known(what(each)) for each in networks] for networks in (ours, theirs))
        more = difference(a, b)
        means = [np.mean([np.mean(each) for each in side]) for side in (a, b)]
        found = (
            f"{of}: {means[0]:{shown}} with {us}, {means[1]:{shown}} with {them}; difference "
            f"{more.shown('+' + shown)}, over {len(ours)} and {len(theirs)} trainings."
        )
        if min(len(ours), len(theirs)) < 2:
            return Claim(says, f"{found} The interval is over units of one training: others may differ.", None)
        return Claim(says, found, more.positive if fewer or more.positive is None else not more.positive)

    return [
        compared(
            f"Filters of {us} leave fewer dead features than {them}.",
            "Filters that are above zero nowhere in the pictures",
            lambda each: each.by_filter["dead"],
            fewer=True,
            shown=".1%",
        ),
        compared(
            f"Filters of {us} are more distinctive.",
            "Mean absolute correlation of the answers of two filters",
            lambda each: each.by_filter["correlation of answers"],
            fewer=True,
            shown=".3f",
        ),
        compared(
            f"Filters of {them} are of low and high frequencies, with few between.",
            "A filter's energy from 1/8 to 1/4 cycle per pixel, as a part of what white noise of its size has there",
            lambda each: each.by_filter["energy of mid frequencies"],
            fewer=False,
            shown=".2f",
        ),
        compared(
            f"Projections of the second layer show less aliasing with {us}.",
            f"Energy that stands out at {', '.join(map(fraction, FREQUENCIES))} cycle per pixel",
            lambda each: each.excess.sum(1),
            fewer=True,
            shown=".2%",
        ),
    ]


def fraction(frequency: float) -> str:
    """0.375 -> "3/8"."""
    top, bottom = frequency.as_integer_ratio()
    return f"{top}/{bottom}"


def _known(values: Tensor) -> list[float]:
    return [value for value in values.tolist() if value == value]
