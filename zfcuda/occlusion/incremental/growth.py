"""How the rectangle that a window changes of a map follows from those of the maps that it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce

from zfcuda.occlusion.incremental.regions import Intervals, union

Side = Callable[[Intervals], Intervals]


@dataclass(frozen=True)
class Growth:
    """The smallest rectangle that holds those of the sources, taken through a layer one side after the other.

    rows, columns: what becomes of the intervals [n,2] of each side, in turn. It is known once the network has been
    analysed, so that other windows need no analysis.
    """

    sources: tuple[int, ...]
    rows: tuple[Side, ...] = ()
    columns: tuple[Side, ...] = ()

    def of_rows(self, known: Mapping[int, Intervals]) -> Intervals:
        """The intervals of the rows, by those of the nodes before it."""
        return self._of(known, self.rows)

    def of_columns(self, known: Mapping[int, Intervals]) -> Intervals:
        """The same of the columns."""
        return self._of(known, self.columns)

    def _of(self, known: Mapping[int, Intervals], sides: tuple[Side, ...]) -> Intervals:
        return reduce(lambda x, side: side(x), sides, reduce(union, (known[i] for i in self.sources)))
