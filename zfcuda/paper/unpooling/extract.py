"""The few neighbouring windows of one map that are shown with all their numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from zfcuda.paper.unpooling.attached import Attached

_WINDOWS = 3  # each way
_CELLS = 9  # of the map, each way, that are legible with their numbers
_TRIED = 400  # places, the strongest first


@dataclass(frozen=True)
class Extract:
    """A few windows of a unit.

    Attributes:
        unit: the map. windows: (first row, first column, rows, columns) of the windows on the pooled map.
        cells: (top, left, bottom, right) of all that they see on the map, beyond its border too.
    """

    unit: int
    windows: tuple[int, int, int, int]
    cells: tuple[int, int, int, int]

    @property
    def places(self) -> list[tuple[int, int]]:
        """(y, x) of the windows, row by row."""
        top, left, rows, columns = self.windows
        return [(y, x) for y in range(top, top + rows) for x in range(left, left + columns)]

    def cut(self, values: Tensor) -> Tensor:
        """The cells of a map [H,W]; NaN beyond its border."""
        top, left, bottom, right = self.cells
        high, wide = values.shape
        sides = (max(0, -left), max(0, right - wide), max(0, -top), max(0, bottom - high))
        whole = functional.pad(values, sides, value=float("nan"))
        y, x = max(0, top), max(0, left)
        return whole[y : y + bottom - top, x : x + right - left]


def extract(stage: Attached, unit: int | None = None, position: tuple[int, int] | None = None) -> Extract:
    """Chooses the windows; the more is going on in them, the better.

    Args:
        unit, position: the map, and (y, x) of the window in the middle on the pooled map; None: where strong maxima
            meet a strong signal from above, with a maximum that two windows share, and with a signal that the ReLU
            takes away, if there is such a place.

    Raises:
        ValueError: there is no such unit or window.
    """
    count, high, wide = stage.pooled.shape
    if unit is not None and not 0 <= unit < count:
        raise ValueError(f"unit: expected 0 to {count - 1}, the maps of {stage.layer}, got {unit}")
    if position is not None and not (0 <= position[0] < high and 0 <= position[1] < wide):
        raise ValueError(
            f"position: expected a window of {stage.layer}, (0, 0) to ({high - 1}, {wide - 1}), got {position}"
        )
    units = list(range(count)) if unit is None else [unit]
    ranked = [_extract(stage, *place) for place in _ranked(stage, units, position)]
    return max(ranked, key=lambda each: _shown(stage, each))  # of equals the first, which is the strongest


def _ranked(stage: Attached, units: list[int], position: tuple[int, int] | None) -> list[tuple[int, tuple[int, int]]]:
    """Places on the pooled maps of units, by how strong maxima and signal are around them."""
    rows, columns = _extent(stage)
    high, wide = stage.pooled.shape[1:]
    near = [
        functional.avg_pool2d(each[units][None].abs(), (rows, columns), 1, (rows // 2, columns // 2))[
            0, :, :high, :wide
        ]
        for each in (stage.signal, stage.pooled)
    ]
    strength = near[0] * near[1]
    if position is not None:
        order = strength[:, position[0], position[1]].argsort(descending=True, stable=True)
        return [(units[i], position) for i in order[:_TRIED].tolist()]
    order = strength.flatten().argsort(descending=True, stable=True)[:_TRIED]
    return [(units[i // (high * wide)], (i // wide % high, i % wide)) for i in order.tolist()]


def _shown(stage: Attached, place: Extract) -> int:
    """How much of what the figure is about happens in some windows."""
    top, left, bottom, right = place.cells
    high, wide = stage.pooled_maps.shape[1:]
    inside = top >= 0 and left >= 0 and bottom <= high and right <= wide
    y, x = torch.tensor(place.places).T
    winners = stage.winners(place.unit)[y, x]
    signal, strongest = stage.signal[place.unit][y, x], stage.pooled[place.unit][y, x]
    alike = (winners[:, None] == winners[None]).all(-1)
    shared = (alike.sum(1) > 1) & (signal != 0) & (strongest > 0)
    back = stage.unpooled[place.unit][winners[:, 0], winners[:, 1]]
    return 4 * bool(shared.any()) + 2 * inside + bool((back < 0).any() and (back > 0).sum() > 2)


def _extent(stage: Attached) -> tuple[int, int]:
    """How many windows are shown each way."""
    rows, columns = (
        max(n for n in range(1, min(_WINDOWS, there) + 1) if n == 1 or (n - 1) * stride + kernel <= _CELLS)
        for there, kernel, stride in zip(stage.pooled.shape[1:], stage.window.kernel, stage.window.stride, strict=True)
    )
    return rows, columns


def _extract(stage: Attached, unit: int, middle: tuple[int, int]) -> Extract:
    starts, ends, firsts, extent = [], [], [], _extent(stage)
    for i in (0, 1):
        first = min(max(0, middle[i] - extent[i] // 2), stage.pooled.shape[1 + i] - extent[i])
        start = first * stage.window.stride[i] - stage.window.padding[i]
        firsts.append(first)
        starts.append(start)
        ends.append(start + (extent[i] - 1) * stage.window.stride[i] + stage.window.kernel[i])
    return Extract(unit, (firsts[0], firsts[1], *extent), (starts[0], starts[1], ends[0], ends[1]))
