"""Chance that is a function of (seed, epoch, index), never of what was drawn before."""

from __future__ import annotations

import numpy as np

from zfcuda.data.dice import Dice

# What a stream is for: streams of different purposes are independent.
_ORDER, _VIEW, _STEP = 1, 2, 3


def view_dice(seed: int, epoch: int, index: int) -> Dice:
    """What decides how a picture is seen in an epoch."""
    return Dice(seed, _VIEW, epoch, index)


def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """int64 [count]: the order of an epoch's pictures."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _ORDER, epoch])))
    return np.argsort(generator.random(count), kind="stable")


def step_seed(seed: int, step: int, rank: int) -> int:
    """What the generators are seeded with before a step, so that dropout does not depend on what came before."""
    words = np.random.SeedSequence([seed, _STEP, step, rank]).generate_state(2, np.uint32)
    return int(words[0]) << 31 | int(words[1]) >> 1
