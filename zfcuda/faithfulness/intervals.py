"""How sure a figure over some pictures is: 95 % intervals of shares and of means."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

_Z = 1.959963984540054  # of the normal distribution, 95 % lie within
_RESAMPLES, _SEED = 2000, 0
#: Of Student's t with 1, 2, ... degrees of freedom, 95 % lie within (plus or minus).
_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's score (1927): within 0 ... 1, and no point where all or none hit.

    Raises:
        ValueError: there are more hits than tries, less than none, or no tries.
    """
    if not 0 <= hits <= count or count < 1:
        raise ValueError(f"hits, count: expected 0 <= hits <= count and count >= 1, got {hits} and {count}")
    share, z2 = hits / count, _Z * _Z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of a mean, by the bootstrap (Efron 1979): percentiles of the means of 2,000 samples of them.

    The samples are the same each time. With a handful of values it is too narrow.

    Raises:
        ValueError: there are none.
    """
    if not len(values):
        raise ValueError("values: expected at least one, got none")
    given = np.asarray(values, dtype=np.float64)
    means = given[np.random.default_rng(_SEED).integers(0, len(given), (_RESAMPLES, len(given)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def student(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of a few values, by Student's t (1908): exact where they are normal.

    For what was repeated a handful of times, as trainings are, where the bootstrap is too narrow.

    Raises:
        ValueError: there are fewer than two.
    """
    if len(values) < 2:
        raise ValueError(f"values: expected at least two, got {len(values)}")
    middle, degrees = statistics.fmean(values), len(values) - 1
    half = _t(degrees) * statistics.stdev(values) / math.sqrt(len(values))
    return middle - half, middle + half


def student_of_two(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the second mean less the first, of a few values each, by Student's t with a common spread.

    Raises:
        ValueError: there are fewer than two of one.
    """
    for name, values in (("first", first), ("second", second)):
        if len(values) < 2:
            raise ValueError(f"{name}: expected at least two, got {len(values)}")
    degrees = len(first) + len(second) - 2
    squares = sum((len(each) - 1) * statistics.variance(each) for each in (first, second))
    half = _t(degrees) * math.sqrt(squares / degrees * (1 / len(first) + 1 / len(second)))
    middle = statistics.fmean(second) - statistics.fmean(first)
    return middle - half, middle + half


def _t(degrees: int) -> float:
    """The table, and beyond it the expansion around the normal distribution, right to four places there."""
    if degrees <= len(_T):
        return _T[degrees - 1]
    z = _Z
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
