"""Where one window changes every map, in plain numbers: what an array of one interval would take too long for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zfcuda.occlusion.incremental.change_analysis import Changes, Local
from zfcuda.occlusion.incremental.growth import Side
from zfcuda.occlusion.incremental.regions import WindowAxis

Interval = tuple[int, int]
_KEPT = 1024  # intervals of a side whose results are kept
_NOTHING: Interval = (0, 0)


class OneWindow:
    """The rectangles that a window changes of all local maps, side by side; maps of one rectangle share a place.

    place: of each local map in what `rows` and `columns` give.
    """

    def __init__(self, changes: Changes, input: int) -> None:
        self.place = {input: 0}
        rows: list[_Step] = []
        columns: list[_Step] = []
        for index, growth in changes.growth.items():
            sources = tuple(dict.fromkeys(self.place[i] for i in growth.sources))
            if len(sources) == 1 and not growth.rows and not growth.columns:
                self.place[index] = sources[0]
                continue
            self.place[index] = 1 + len(rows)
            rows.append(_Step(sources, tuple(map(_plain, growth.rows))))
            columns.append(_Step(sources, tuple(map(_plain, growth.columns))))
        self.place = {i: place for i, place in self.place.items() if isinstance(changes.of.get(i), Local)}
        self.rows, self.columns = _Lines(rows), _Lines(columns)


@dataclass(frozen=True)
class _Step:
    sources: tuple[int, ...]
    sides: tuple[Callable[[Interval], Interval], ...]


class _Lines:
    """The intervals of one side, from that of the window."""

    def __init__(self, steps: Sequence[_Step]) -> None:
        self._steps = steps
        self._kept: dict[Interval, list[Interval]] = {}

    def __call__(self, low: int, high: int) -> list[Interval]:
        found = self._kept.get((low, high))
        if found is None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            found = self._kept[low, high] = [(low, high)]
            for step in self._steps:
                interval = _union(found[i] for i in step.sources)
                for side in step.sides:
                    interval = side(interval)
                found.append(interval)
        return found


def _union(intervals: Iterable[Interval]) -> Interval:
    filled = [interval for interval in intervals if interval[1] > interval[0]]
    if len(filled) == 1:
        return filled[0]
    return (min(low for low, _ in filled), max(high for _, high in filled)) if filled else _NOTHING


def _plain(side: Side) -> Callable[[Interval], Interval]:
    """The same for one interval of two numbers."""
    axis: Any = getattr(side, "__self__", None)
    if isinstance(axis, WindowAxis):
        return axis.changed_one

    def one(interval: Interval) -> Interval:
        low, high = side(np.array([interval], np.int64))[0].tolist()
        return (low, high) if high > low else _NOTHING

    return one
