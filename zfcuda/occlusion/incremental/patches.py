"""Patches: what each window changes of a map, as rows of one tensor."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zfcuda.occlusion.incremental.regions import Lookup
from zfcuda.ops import patches as patch_ops

Table = npt.NDArray[np.int64]


def on_device(table: Table, device: torch.device) -> Tensor:
    """Copies a table to a device."""
    return torch.from_numpy(table).to(device)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the patches of n windows lie; as a key it stands for itself alone.

    table: int64 [n,5], of each window the rectangle (top, left, bottom, right) of the map, bottom and right exclusive,
        and its first row in the values. order: the windows by that first row. rows: in all.
    """

    table: Table
    order: Table
    rows: int
    _lines: dict[tuple[int, torch.device], tuple[Table, Tensor]] = field(default_factory=dict, repr=False)
    _segments: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    def lines(self, order: Table, device: torch.device) -> Tensor:
        """The table on a device, its windows in this order; copied there once."""
        key = (id(order), device)
        if key not in self._lines:
            # The order is kept with it, so that its id stays its own.
            self._lines[key] = order, on_device(self.table[order], device)
        return self._lines[key][1]

    def segments(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The windows whose patches are not empty, in the order in which they lie, and their areas; copied once."""
        if device not in self._segments:
            order = self.order[self.areas[self.order] > 0]
            self._segments[device] = on_device(order, device), on_device(self.areas[order], device)
        return self._segments[device]

    @cached_property
    def empty(self) -> Layout:
        """As many patches, all empty."""
        return Layout(np.zeros_like(self.table), self.order, 0)

    @staticmethod
    def of(rectangles: Table, group: bool) -> Layout:
        """Lays out the rectangles [n,4] one after the other.

        group: patches of one size stand together, so that a dense layer can take them at once.
        """
        sizes = (rectangles[:, 2:] - rectangles[:, :2]).clip(0)
        order = np.lexsort((sizes[:, 1], sizes[:, 0])) if group else np.arange(len(rectangles))
        areas = sizes.prod(1)[order]
        ends = areas.cumsum()
        table = np.empty((len(rectangles), 5), np.int64)
        table[:, :4] = rectangles
        table[order, 4] = ends - areas
        return Layout(table, order, int(ends[-1]) if len(ends) else 0)

    @property
    def areas(self) -> Table:
        return (self.table[:, 2:4] - self.table[:, :2]).clip(0).prod(1)

    def groups(self) -> list[tuple[int, int, int, int]]:
        """(first row, patches, height, width) of each run of patches of one size, empty ones left out."""
        sizes = (self.table[self.order, 2:4] - self.table[self.order, :2]).clip(0)
        if not len(sizes):
            return []
        first = np.flatnonzero(np.r_[True, (sizes[1:] != sizes[:-1]).any(1)])
        counts = np.diff(np.r_[first, len(sizes)])
        return [
            (int(self.table[self.order[f], 4]), int(n), int(sizes[f, 0]), int(sizes[f, 1]))
            for f, n in zip(first, counts, strict=True)
            if sizes[f].all()
        ]


@dataclass(frozen=True)
class Patches:
    """Patches of all windows. values: [rows,C], one map position each, as the layout says."""

    values: Tensor
    layout: Layout

    def as_map(self) -> Tensor:
        """The patches as [1,C,rows,1], channels_last: every layer that works position by position can take it."""
        return self.values[None].permute(0, 2, 1)[..., None]

    def like(self, values: Tensor) -> Patches:
        """Turns such a map [1,C,rows,1] back into patches, with this layout."""
        return Patches(values[0, :, :, 0].t(), self.layout)


def gather(base: Tensor, patches: Patches, wanted: Layout, fill: float = 0.0) -> Tensor:
    """Reads the rectangle of each window that `wanted` names: from its patch, else from the base map [1,C,H,W].

    Outside of the map is `fill`. Returns [rows,C].
    """
    have, want = tables(patches.layout, wanted, base.device)
    return patch_ops.gather_patches(base, patches.values, have, want, wanted.rows, fill)


def tables(have: Layout, want: Layout, device: torch.device) -> tuple[Tensor, Tensor]:
    """What the operators on patches take: int64 [n,5] each, in the order in which `want` lies."""
    return have.lines(want.order, device), want.lines(want.order, device)


def same(a: Layout, b: Layout) -> bool:
    """Whether patches lie alike."""
    return a is b or np.array_equal(a.table, b.table)


def positions(layout: Layout) -> tuple[Table, Table, Table]:
    """The window, y and x of every row."""
    areas = layout.areas[layout.order]
    window = np.repeat(layout.order, areas)
    place = np.arange(layout.rows) - np.repeat(areas.cumsum() - areas, areas)
    top, left, right = layout.table[window, 0], layout.table[window, 1], layout.table[window, 3]
    columns = (right - left).clip(1)
    return window, top + place // columns, left + place % columns


@dataclass(frozen=True)
class Moves:
    """Where the rows of one layout come from, on a device: int64 [rows] positions of a map, and int64 [m] rows that are
    in a patch, int64 [m] rows of the patches.
    """

    at: Tensor
    changed: Tensor
    place: Tensor

    @staticmethod
    def of(width: int, own: bool, have: Layout, lookup: Lookup, wanted: Layout, device: torch.device) -> Moves:
        """Makes the tables. width: of the map that stands in for what no patch holds. own: see look_up."""
        window, y, x = positions(wanted)
        rows, columns = lookup.rows[y], lookup.columns[x]
        top, left, bottom, right, start = have.table[window].T
        inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
        place = start + (rows - top) * (right - left) + columns - left
        at = y * width + x if own else rows * width + columns
        tables = (at, inside.nonzero()[0], place[inside])
        return Moves(*(on_device(table, device) for table in tables))


def table_bytes(value: Any) -> int:
    """The memory of layouts, moves and tables, however they are nested."""
    if isinstance(value, np.ndarray | Tensor):
        return value.nbytes
    if isinstance(value, Layout | Moves):
        return table_bytes(vars(value))
    if isinstance(value, dict):
        return table_bytes(list(value.values()))
    return sum(map(table_bytes, value)) if isinstance(value, list | tuple) else 0


def look_up(fallback: Tensor, patches: Patches, moves: Moves) -> Tensor:
    """Reads rectangles of the map that a lookup makes of another one: [rows,C].

    fallback: what no patch holds, [1,C,H,W]: the map before the lookup, or (own) the one that it makes.
    """
    values = fallback[0].permute(1, 2, 0).flatten(0, 1)[moves.at]
    values[moves.changed] = patches.values[moves.place]
    return values


def cut_positions(height: int, width: int, wanted: Layout, device: torch.device) -> Tensor:
    """The positions of each window's rectangle of its own map among those of all maps, int64 [rows]."""
    window, y, x = positions(wanted)
    return on_device((window * height + y) * width + x, device)


def cut(whole: Tensor, at: Tensor) -> Tensor:
    """Reads positions of the maps [n,C,H,W]: [rows,C]."""
    return whole.permute(0, 2, 3, 1).flatten(0, 2)[at]


def dense(values: Tensor, group: tuple[int, int, int, int]) -> Tensor:
    """One group of a layout as [patches,C,height,width], channels_last, without a copy."""
    start, count, height, width = group
    return values[start : start + count * height * width].view(count, height, width, -1).permute(0, 3, 1, 2)


def rectangles(rows: Table, columns: Table) -> Table:
    """Joins intervals [n,2] and [n,2] to rectangles [n,4]; where either is empty, (0, 0, 0, 0)."""
    both = np.stack([rows[:, 0], columns[:, 0], rows[:, 1], columns[:, 1]], 1)
    empty = (rows[:, 1] <= rows[:, 0]) | (columns[:, 1] <= columns[:, 0])
    return np.where(empty[:, None], 0, both)
