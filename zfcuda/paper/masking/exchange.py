"""A permutation test: would parts agree as much, were they random places?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating]


def mean_over_pairs(values: Numbers) -> float:
    """The mean over all pairs of different pictures of values [n,n]; NaN is left out, and given where all are."""
    of_pairs = values[np.triu_indices(len(values), 1)]
    known = of_pairs[np.isfinite(of_pairs)]
    return float(known.mean()) if len(known) else float("nan")


def exchange_test(groups: Sequence[Numbers], *, draws: int = 1999, seed: int = 0) -> float:
    """The p value that the first candidates agree more than the others, were all candidates of a picture exchangeable.

    In each picture the candidates trade places at random; what is compared is the mean distance between pictures of
    the first candidates, less that of the others, each with those of its own turn, added up over the groups. One-sided:
    small where the first ones are nearer to one another.

    Args:
        groups: for each group of n pictures with K candidates each the distances [n,K,n,K].
        draws: how many random exchanges; the smallest possible p is 1 / (draws + 1).

    Raises:
        ValueError: there is no group, or none has a second candidate and a second picture.
    """
    if not groups or any(each.shape[0] < 2 or each.shape[1] < 2 for each in groups):
        raise ValueError("groups: expected at least one, each of two pictures or more with two candidates or more")
    dice = np.random.default_rng(seed)
    observed, drawn = 0.0, np.zeros(draws)
    for distances in groups:
        count, candidates = distances.shape[:2]
        order = dice.permuted(np.tile(np.arange(candidates), (draws, count, 1)), axis=2)  # [draws,n,K]
        order = np.concatenate([np.tile(np.arange(candidates), (1, count, 1)), order])
        gaps = _gaps(distances, order)
        observed += float(gaps[0])
        drawn += gaps[1:]
    return float((1 + (drawn <= observed + 1e-9).sum()) / (draws + 1))


def _gaps(distances: Numbers, order: npt.NDArray[np.int64]) -> Numbers:
    """For each order [draws,n,K] of the candidates: the first ones' mean distance less the others'."""
    count, candidates = distances.shape[:2]
    means = np.zeros((len(order), candidates))
    for i in range(count):
        for j in range(i + 1, count):
            means += distances[i][order[:, i], j, order[:, j]]
    means /= count * (count - 1) / 2
    first: Numbers = means[:, 0] - means[:, 1:].mean(axis=1)
    return first
