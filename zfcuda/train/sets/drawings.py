"""Parts: drawn pictures, as many as wanted, and others of held-out seeds to measure on."""

from __future__ import annotations

from typing import Any

from zfcuda.data import HELD_OUT_SEED, Parts
from zfcuda.data.sources import PartsSource
from zfcuda.train.sets.sets import Sets, as_sets

SEED = 1  # of the pictures trained on, where nobody says
COUNT = 12_000
VALIDATION_SEED = HELD_OUT_SEED + 1  # the figures of the network in the package are of HELD_OUT_SEED itself
_TEST = 2000  # pictures at most


def sets_of_parts(parts: Parts, count: Any, split: float) -> Sets:
    """The first `count` pictures of a seed to train on, a share of that to validate on, and twice that to test on.

    Raises:
        ValueError: a count below one of each class, or a seed whose pictures are held out.
    """
    least = len(parts.classes)
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise ValueError(f"data: expected (Parts, count) with a count of at least {least}, got {count!r}")
    held_out = (HELD_OUT_SEED, VALIDATION_SEED)
    if parts.seed in held_out:
        raise ValueError(
            f"data: expected Parts of any seed but {held_out[0]} and {held_out[1]}, whose pictures are held out, got "
            f"{parts.seed}"
        )
    validation = max(least, round(split * count))
    return as_sets(
        "parts",
        [
            PartsSource(parts, count),
            PartsSource(Parts(VALIDATION_SEED, parts.size), validation),
            PartsSource(Parts(HELD_OUT_SEED, parts.size), min(_TEST, 2 * validation)),
        ],
        list(parts.classes),
    )
