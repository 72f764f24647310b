"""Which part of a map changes when part of another does: intervals, one side of the map at a time.

An interval [low, high) of one side is a row of an int64 array [n,2]; n intervals are treated at once. An empty one has
high <= low. Rows and columns are independent of each other in all layers that are local, so a changed rectangle is the
product of two intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from zfcuda.network.kinds import both_sides, window_of

Intervals = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WindowAxis:
    """One side of a layer of windows: output i reads inputs i * stride - padding + dilation * (0 ... kernel - 1)."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def reach(self) -> int:
        """Inputs from a window's first to its last, inclusive."""
        return self.dilation * (self.kernel - 1) + 1

    def changed(self, intervals: Intervals) -> Intervals:
        """The outputs that read any of the inputs [low, high), clipped to the map; never too few."""
        low = -((self.reach - 1 - self.padding - intervals[:, 0]) // self.stride)
        high = (intervals[:, 1] - 1 + self.padding) // self.stride + 1
        return tidy(np.stack([low.clip(0), high.clip(max=self.outputs)], 1), intervals)

    def changed_one(self, interval: tuple[int, int]) -> tuple[int, int]:
        """The same of one interval."""
        low, high = interval
        if high <= low:
            return 0, 0
        first = max(0, -((self.reach - 1 - self.padding - low) // self.stride))
        past = min(self.outputs, (high - 1 + self.padding) // self.stride + 1)
        return (first, past) if past > first else (0, 0)

    def read(self, intervals: Intervals) -> Intervals:
        """The inputs that the outputs [low, high) read, those in the padding included."""
        low = intervals[:, 0] * self.stride - self.padding
        high = (intervals[:, 1] - 1) * self.stride - self.padding + self.reach
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


@dataclass(frozen=True)
class Lookup:
    """A layer that moves values and computes none: output (y, x) is input (rows[y], columns[x]); -1: a constant.

    weighted: it adds its neighbours times nothing, which makes NaN of infinity. zeros: how many lines and columns of
        zeros it puts before the input, and any number behind; None: it does more than that.
    """

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    weighted: bool = False
    zeros: tuple[int, int] | None = None


def looked_up(source: npt.NDArray[np.int64], intervals: Intervals) -> Intervals:
    """The smallest intervals of the outputs that show an input of [low, high); source: of each output its input."""
    shows = np.logical_and.reduce([source >= intervals[:, :1], source < intervals[:, 1:]])  # [n,outputs]
    high = shows.shape[1] - shows[:, ::-1].argmax(1)
    return np.where(shows.any(1)[:, None], np.stack([shows.argmax(1), high], 1), 0)


def adaptive(inputs: int, outputs: int, intervals: Intervals) -> Intervals:
    """The same for adaptive pooling, whose windows are not all alike."""
    units = np.arange(outputs)
    first, last = units * inputs // outputs, -(-(units + 1) * inputs // outputs)
    filled = intervals[:, 1:] > intervals[:, :1]
    reads = np.logical_and.reduce([first < intervals[:, 1:], last > intervals[:, :1], filled & (last > 0)])
    high = outputs - reads[:, ::-1].argmax(1)
    return np.where(reads.any(1)[:, None], np.stack([reads.argmax(1), high], 1), 0)


def filled(length: int, intervals: Intervals) -> Intervals:
    """All of a side of this length, whatever a window changes before."""
    return np.tile(np.array([0, length], np.int64), (len(intervals), 1))


_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def padded(arguments: Mapping[str, Any], inputs: tuple[int, int]) -> Lookup | None:
    """The padding of a convolution that pads with the map itself; None where it pads with zeros, or not at all."""
    sides = both_sides(arguments["padding"], arguments["weight"], arguments["dilation"])
    if arguments["padding_mode"] == "zeros" or not any(map(any, sides)):
        return None
    mode: Any = _MODES[arguments["padding_mode"]]
    rows, columns = (np.pad(np.arange(n), side, mode=mode) for n, side in zip(inputs, sides, strict=True))
    return Lookup(rows, columns)


def axes(
    kind: str, arguments: Mapping[str, Any], inputs: tuple[int, int], outputs: tuple[int, int]
) -> tuple[WindowAxis, WindowAxis] | None:
    """The two sides of a layer of windows (convolution or pooling); None where its windows are not all alike.

    inputs: with the padding, where `padded` says that the map itself pads.
    """
    if kind == "adaptive_avg_pool":
        if any(n % m for n, m in zip(inputs, outputs, strict=True)):
            return None
        rows, columns = (WindowAxis(n, m, n // m, n // m, 0, 1) for n, m in zip(inputs, outputs, strict=True))
        return rows, columns
    rows, columns = (WindowAxis(inputs[i], outputs[i], *window_of(kind, arguments, i)) for i in (0, 1))
    if kind == "conv" and arguments["padding_mode"] != "zeros":
        rows, columns = replace(rows, padding=0), replace(columns, padding=0)
    return rows, columns
