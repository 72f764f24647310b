"""The place on a grid of each point of a plane, near ones near: linear assignment, in halves where there are many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from zfcuda.features.embed import require_sklearn
from zfcuda.features.values import values_of
from zfcuda.inputs import integer

Array = npt.NDArray[Any]

_WHOLE = 2000  # cells that are assigned at once, in a second or two; the time grows with the cube of them
_PART = 500  # cells of a part, where there are more


def places(points: Any, *, columns: int = 32) -> list[tuple[int, int]]:
    """The (row, column) of each point on a grid of ceil(N / columns) rows, full but for the end of the last row.

    The points are stretched to fill the grid; then the sum of the squared distances from them to their cells is made as
    small as can be (linear assignment, by SciPy). More than 2,000 points are divided first: half go to one half of the
    grid, by their order along its longer side, and so on, until 500 at most are left to assign. Needs the extra:
    ``pip install zfcuda[features]``.

    Args:
        points: Tensor [N,2] of a floating dtype, x and y, as :func:`zfcuda.embed` gives them.
        columns: how many cells a row has; of fewer points than that, one row is made, of so many cells.

    Returns:
        A list of N different (row, column).

    Raises:
        TypeError: points is no such Tensor; columns is no integer.
        ValueError: points is not [N,2], or not finite; columns is less than 1.
        ImportError: SciPy is not installed.
    """
    columns = integer("columns", columns)
    if columns < 1:
        raise ValueError(f"columns: expected at least 1, got {columns}")
    if not isinstance(points, Tensor):
        raise TypeError(f"points: expected a Tensor [N,2], as zfcuda.embed gives it, got {type(points).__name__}")
    values = values_of(points, "points")
    if values.shape[1] != 2:
        raise ValueError(f"points: expected [N,2], x and y of each, got shape {list(values.shape)}")
    require_sklearn("mosaic")
    at = values.cpu().double().numpy()
    count = len(at)
    cells = np.stack(np.divmod(np.arange(count), min(columns, count)), 1)
    found = np.empty_like(cells)
    most = _WHOLE if count <= _WHOLE else _PART
    waiting = [(np.arange(count), np.arange(count))]
    while waiting:
        names, free = waiting.pop()
        if len(names) > most:
            waiting += _halves(at, names, cells, free)
        else:
            found[names] = cells[free][_assigned(at[names], cells[free])]
    return [(int(row), int(column)) for row, column in found]


def _halves(at: Array, names: Array, cells: Array, free: Array) -> list[tuple[Array, Array]]:
    """Points and as many cells, both divided in two across the longer side of the cells."""
    sides = np.ptp(cells[free], axis=0)
    axis = int(sides[1] > sides[0])  # 0: rows, 1: columns
    along = cells[free, axis]
    first = along < math.ceil((along.min() + along.max() + 1) / 2)
    order = names[np.lexsort((at[names, axis], at[names, 1 - axis]))]  # rows go with y, columns with x
    split = int(first.sum())
    return [(np.sort(order[:split]), free[first]), (np.sort(order[split:]), free[~first])]


def _assigned(at: Array, cells: Array) -> Array:
    """[n,2] (x, y) and as many cells (row, column) -> which cell each gets."""
    from scipy.optimize import linear_sum_assignment

    low, side = at.min(0), np.ptp(at, axis=0)
    share = np.where(side > 0, (at - low) / np.where(side > 0, side, 1), 0.5)
    wanted = share[:, ::-1] * np.ptp(cells, axis=0) + cells.min(0)
    cost = ((wanted[:, None] - cells[None]) ** 2).sum(-1)
    order: Array = linear_sum_assignment(cost)[1]
    return order
