"""Which part of a map changes when part of another does: intervals, one side of the map at a time.

An interval [low, high) of one side is a row of an int64 array [n,2]; n intervals are treated at once. An empty one has
high <= low. Rows and columns are independent of each other in all layers that are local, so a changed rectangle is the
product of two intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zfcuda.network.receptive import _window

Intervals = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """One side of a layer of windows: output i reads the inputs i * step - before + dilation * (0 ... taps - 1)."""

    inputs: int
    outputs: int
    taps: int = 1
    dilation: int = 1
    step: int = 1
    before: int = 0

    @property
    def reach(self) -> int:
        """Inputs from a window's first to its last, inclusive."""
        return self.dilation * (self.taps - 1) + 1

    def changed(self, intervals: Intervals) -> Intervals:
        """The outputs that read any of the inputs [low, high), clipped to the map; never too few."""
        low = -((self.reach - 1 - self.before - intervals[:, 0]) // self.step)
        high = (intervals[:, 1] - 1 + self.before) // self.step + 1
        return tidy(np.stack([low.clip(0), high.clip(max=self.outputs)], 1), intervals)

    def read(self, intervals: Intervals) -> Intervals:
        """The inputs that the outputs [low, high) read, those in the padding included."""
        low = intervals[:, 0] * self.step - self.before
        high = (intervals[:, 1] - 1) * self.step - self.before + self.reach
        return tidy(np.stack([low, high], 1), intervals)


def tidy(result: Intervals, source: Intervals) -> Intervals:
    """Empty intervals, and those of an empty source, as [0, 0)."""
    empty = (result[:, 1] <= result[:, 0]) | (source[:, 1] <= source[:, 0])
    return np.where(empty[:, None], 0, result)


def union(a: Intervals, b: Intervals) -> Intervals:
    """The smallest intervals that hold both."""
    both = np.stack([np.minimum(a[:, 0], b[:, 0]), np.maximum(a[:, 1], b[:, 1])], 1)
    a_empty, b_empty = (x[:, 1:] <= x[:, :1] for x in (a, b))
    return np.where(a_empty, b, np.where(b_empty, a, both))


def axes(
    kind: str, arguments: Mapping[str, Any], inputs: tuple[int, int], outputs: tuple[int, int]
) -> tuple[Axis, Axis] | None:
    """The two sides of a layer of windows (convolution or pooling); None where its windows are not all alike."""
    if kind == "adaptive_avg_pool":
        if any(n % m for n, m in zip(inputs, outputs, strict=True)):
            return None
        steps = [n // m for n, m in zip(inputs, outputs, strict=True)]
        rows, columns = (Axis(n, m, s, 1, s) for n, m, s in zip(inputs, outputs, steps, strict=True))
        return rows, columns
    if kind == "conv" and arguments["padding_mode"] != "zeros" and arguments["padding"] not in (0, (0, 0), "valid"):
        return None
    rows, columns = (Axis(inputs[i], outputs[i], *_window(kind, arguments, i)) for i in (0, 1))
    return rows, columns
