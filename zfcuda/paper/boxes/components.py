"""The largest component of a mask, without SciPy."""

from __future__ import annotations

import numpy as np

Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels; bottom and right are exclusive


def box_of(mask: np.ndarray) -> Box | None:
    """The box around all of a mask, bool [H,W]; None where nothing is in it."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1) if len(rows) else None


def largest_component(mask: np.ndarray) -> Box | None:
    """The box around the largest component of a mask, bool [H,W]; None where nothing is in it.

    Pixels that share a side belong together. Of components of one size the first counts, by rows.
    """
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)  # stretches of a row, in order
    ends = np.nonzero(edges == -1)[1]
    if not len(rows):
        return None
    # The stretches of the next row that touch a stretch are neighbours in the order of their places.
    width = mask.shape[1] + 1
    below = (rows + 1) * width
    first = np.searchsorted(rows * width + ends, below + starts, side="right")
    last = np.searchsorted(rows * width + starts, below + ends, side="left")
    parent = list(range(len(rows)))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for one in np.flatnonzero(first < last).tolist():
        for other in range(first[one], last[one]):
            a, b = root(one), root(other)
            parent[max(a, b)] = min(a, b)
    roots = np.array([root(one) for one in range(len(rows))])
    chosen = roots == np.bincount(roots, weights=ends - starts).argmax()
    return (
        int(rows[chosen].min()),
        int(starts[chosen].min()),
        int(rows[chosen].max()) + 1,
        int(ends[chosen].max()),
    )
