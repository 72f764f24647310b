"""Code of others that throws dice made repeatable: the generators of torch, NumPy and Python seeded for a while."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seeds the generators that a data set's transforms use by default, on the CPU, and puts them back.

    Generators that a data set holds itself are not reached.

    Args:
        key: non-negative integers, such as seed, epoch and index; equal keys give equal chance.
    """
    # Not torch.manual_seed: it seeds every GPU, and until there is one keeps a note of each call.
    generator = torch.default_generator
    before = generator.get_state(), np.random.get_state(), random.getstate()
    words = np.random.SeedSequence(list(key)).generate_state(3, np.uint32).tolist()
    generator.manual_seed(words[0])
    np.random.seed(words[1])
    random.seed(words[2])
    try:
        yield
    finally:
        generator.set_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])
