"""How sure a figure over some pictures is: 95 % intervals of shares and of means."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_Z = 1.959963984540054  # of the normal distribution, 95 % lie within
_RESAMPLES, _SEED = 2000, 0


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
