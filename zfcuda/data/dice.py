"""Reproducible chance: everything random in a drawn picture comes from here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Dice:
    """A stream of random choices that depends on nothing but its key.

    Only the raw doubles of PCG64 are used, which NumPy guarantees from version to version; the distributions of
    ``numpy.random.Generator`` carry no such promise.

    Args:
        key: non-negative integers; equal keys give equal streams, different keys independent ones.
    """

    def __init__(self, *key: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(key))))
        self._buffer: list[float] = []

    def unit(self) -> float:
        """A number in [0, 1)."""
        if not self._buffer:
            self._buffer = self._generator.random(256).tolist()
        return self._buffer.pop()

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.unit()

    def below(self, count: int) -> int:
        """An integer in 0 .. count - 1."""
        return int(self.unit() * count)

    def chance(self, probability: float) -> bool:
        return self.unit() < probability

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def shuffled(self, count: int) -> list[int]:
        """0 .. count - 1 in random order."""
        keys = [self.unit() for _ in range(count)]
        return sorted(range(count), key=keys.__getitem__)

    def grid(self, rows: int, columns: int) -> np.ndarray:
        """float64 [rows, columns] in [0, 1)."""
        return self._generator.random((rows, columns))
