"""How far the nine pictures that excite a unit most are of one class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_DRAWS = 4000

Floats = npt.NDArray[np.float64]


def purity(labels: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The share of the most frequent class, and the entropy in bits, of each row of labels [N,k]."""
    counts = np.stack([(labels == label).sum(1) for label in np.unique(labels)], 1)
    shares = counts / labels.shape[1]
    entropy = -np.where(shares > 0, shares * np.log2(np.where(shares > 0, shares, 1)), 0).sum(1)
    return shares.max(1), entropy + 0.0


def chance(labels: Sequence[int], count: int, seed: int = 0) -> tuple[float, float]:
    """Both of so many pictures at random, on average over 4,000 draws."""
    dice = np.random.default_rng(seed)
    given = np.asarray(labels, dtype=np.int64)
    drawn = np.stack([dice.choice(given, min(count, len(given)), replace=False) for _ in range(_DRAWS)])
    most, entropy = purity(drawn)
    return float(most.mean()), float(entropy.mean())
