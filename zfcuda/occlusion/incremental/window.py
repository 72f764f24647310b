"""One window by itself: where it changes each map, and what it has made of them so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from zfcuda.occlusion.incremental.change_analysis import Changes
from zfcuda.occlusion.incremental.chunk import Places
from zfcuda.occlusion.incremental.patches import Layout
from zfcuda.occlusion.incremental.regions import Intervals
from zfcuda.occlusion.incremental.sides import OneWindow

_ORDER = np.zeros(1, np.int64)


class Window(Places):
    """One window: its rectangle of each map, and the values that it changes, [rows,C] of a local map.

    Attributes:
        numbers: of each place (see OneWindow) the rectangle and first row, as in a layout.
        tables: the same, int64 [1,5] each, as the operators on patches take them.
        areas: positions of each rectangle.
        values: node -> rows [positions,C] of a local map, else the value itself with one row.
    """

    def __init__(self, changes: Changes, where: OneWindow, rectangle: Sequence[int]) -> None:
        super().__init__(changes, _ORDER, None)
        top, left, bottom, right = rectangle
        self.where = where
        self._rows, self._columns = where.rows(top, bottom), where.columns(left, right)
        self.areas: list[int] = []
        numbers: list[tuple[int, int, int, int, int]] = []
        for (low, high), (first, past) in zip(self._rows, self._columns, strict=True):
            area = (high - low) * (past - first)
            numbers.append((low, first, high, past, 0) if area else (0, 0, 0, 0, 0))
            self.areas.append(area)
        self.numbers = numbers
        self.tables = torch.from_numpy(np.array(numbers, np.int64)[:, None]).unbind()
        self.values: dict[int, Any] = {}

    def intervals(self, index: int) -> tuple[Intervals, Intervals]:
        place = self.where.place[index]
        return np.array([self._rows[place]], np.int64), np.array([self._columns[place]], np.int64)

    def layout(self, index: int) -> Layout:
        if index not in self._layouts:
            place = self.where.place[index]
            self._layouts[index] = Layout(np.array([self.numbers[place]], np.int64), _ORDER, self.areas[place])
        return self._layouts[index]
