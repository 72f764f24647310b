"""What the units of a map see along one side of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
_NOTHING = np.iinfo(np.int64).max


@dataclass(frozen=True)
class FieldAxis:
    """What each of n units sees of the pixels 0 ... length-1.

    Attributes:
        first, last: [n] both inclusive; first is greater than last where a unit sees nothing, in the padding.
        low, high: [n] the same for an image that goes on beyond its border.
        period: (units, pixels): so many units further, all is so many pixels further.
        bounded: what they see does not go on beyond the border: a fixed part of the image.
    """

    first: Ints
    last: Ints
    low: Ints
    high: Ints
    period: tuple[int, int]
    bounded: bool = False

    def __len__(self) -> int:
        return len(self.first)

    @property
    def size(self) -> int:
        """How many pixels a unit away from the border sees."""
        return max(0, int((self.high - self.low).max()) + 1)

    @property
    def stride(self) -> float:
        """Pixels from one unit to the next; the size where all see the same part."""
        stride = Fraction(self.size) if self.bounded else Fraction(self.period[1], self.period[0])
        return int(stride) if stride.denominator == 1 else float(stride)

    def together(self) -> FieldAxis:
        """One unit that sees what all of them see."""
        first, last = self.first.min(keepdims=True), self.last.max(keepdims=True)
        return FieldAxis(first, last, first, last, self.period, bounded=True)

    def spread(self, units: int) -> FieldAxis:
        """As many units, of which each sees what the only one here sees."""
        if len(self) == units:
            return self
        one = self.together()
        first, last = np.repeat(one.first, units), np.repeat(one.last, units)
        return FieldAxis(first, last, first, last, one.period, bounded=True)

    def taken(self, taps: Ints, ratio: Fraction, used: Any = True, mirrored: Ints | None = None) -> FieldAxis:
        """Units that each see what some of these see.

        Args:
            taps: [units,k] which ones, also beyond the border of the map, where zeros are.
            ratio: units per unit here.
            used: bool, [units,k] or less: which of the taps count.
            mirrored: [units,k] which ones are really read where the border is not zeros.
        """
        real = taps if mirrored is None else mirrored
        inside = (real >= 0) & (real < len(self)) & used
        clipped = real.clip(0, len(self) - 1)
        first = np.where(inside, self.first[clipped], _NOTHING).min(axis=1)
        last = np.where(inside, self.last[clipped], -1).max(axis=1)
        if self.bounded:
            return FieldAxis(first, last, first, last, self.period, bounded=True)
        used = np.broadcast_to(used, taps.shape)
        used = used | ~used.any(axis=1, keepdims=True)
        low, high = self._beyond(taps)
        low = np.where(used, low, _NOTHING).min(axis=1)
        high = np.where(used, high, -_NOTHING).max(axis=1)
        return FieldAxis(first, last, low, high, _scaled(self.period, ratio))

    def _beyond(self, taps: Ints) -> tuple[Ints, Ints]:
        """low and high of units that may lie beyond the border."""
        n, (units, pixels) = len(self), self.period
        if n < units:  # less than a period is there to go on with
            near = taps.clip(0, n - 1)
            shift = (taps - near) * pixels // units
        else:
            times = np.where(taps < 0, -(taps // units), np.minimum(0, -((taps - n) // units + 1)))
            near, shift = taps + times * units, -times * pixels
        return self.low[near] + shift, self.high[near] + shift


def pixels(length: int) -> FieldAxis:
    """The pixels themselves."""
    each = np.arange(length)
    return FieldAxis(each, each, each, each, (1, 1))


def union(axes: Sequence[FieldAxis]) -> FieldAxis:
    """Units that see what each of several sees; one unit stands for all."""
    units = max(map(len, axes))
    axes = [axis.spread(units) for axis in axes]
    first, last = (side([getattr(axis, name) for axis in axes], axis=0) for side, name in _SIDES)
    if any(axis.bounded for axis in axes):
        return FieldAxis(first, last, first, last, axes[0].period, bounded=True)
    low = np.min([axis.low for axis in axes], axis=0)
    high = np.max([axis.high for axis in axes], axis=0)
    return FieldAxis(first, last, low, high, _common([axis.period for axis in axes]))


_SIDES = ((np.min, "first"), (np.max, "last"))


def _scaled(period: tuple[int, int], ratio: Fraction) -> tuple[int, int]:
    units = lcm(period[0], ratio.denominator)
    return units * ratio.numerator // ratio.denominator, period[1] * units // period[0]


def _common(periods: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """A period of all; of the widest stride alone where they differ."""
    widest = max(periods, key=lambda period: Fraction(period[1], period[0]))
    units = lcm(*(u for u, p in periods if p * widest[0] == widest[1] * u))
    return units, widest[1] * units // widest[0]
