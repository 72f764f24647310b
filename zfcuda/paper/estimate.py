"""A figure of many pictures and how sure it is, as tables, sentences and verdicts have it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zfcuda.faithfulness.intervals import bootstrap
from zfcuda.paper.row import Row


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> Estimate:
        """The mean of values, with the bootstrap's interval.

        Raises:
            ValueError: there are none.
        """
        low, high = bootstrap(values)
        return Estimate(statistics.fmean(values), low, high)

    @property
    def positive(self) -> bool | None:
        """Whether it is above 0: None where the interval holds both answers."""
        return self.above(0.0)

    def above(self, bar: float) -> bool | None:
        """Whether it is above a bar: None where the interval holds both answers."""
        return True if self.low > bar else False if self.high < bar else None

    def columns(self, name: str) -> dict[str, float | list[float]]:
        """The figure and its interval, under two headings of a table."""
        return {name: self.value, interval(name): [self.low, self.high]}

    def __str__(self) -> str:
        return self.shown(".2f")

    def shown(self, form: str) -> str:
        """The figure and its interval in words, each number in a format of Python's."""
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"

    def points(self) -> str:
        """The same of a difference of shares."""
        return f"{100 * self.value:+.0f} ({100 * self.low:+.0f} to {100 * self.high:+.0f}) percentage points"

    def percent(self) -> str:
        """The same of a share."""
        return f"{100 * self.value:.0f} % ({100 * self.low:.0f} to {100 * self.high:.0f})"


def interval(name: str) -> str:
    """The heading of the 95 % interval [low, high] of what stands under a heading; it comes right behind."""
    return f"{name}, 95 %"


def of_row(row: Row, name: str) -> Estimate:
    """The figure that a row of a table has under a heading, of which :meth:`Estimate.columns` made two columns."""
    low, high = row[interval(name)]
    return Estimate(row[name], low, high)


def unknown(name: str) -> dict[str, None]:
    """The two columns where there is no figure."""
    return {name: None, interval(name): None}


def all_of(verdicts: Iterable[bool | None]) -> bool | None:
    """Whether all hold: False where one does not, None where that is not decided."""
    known = list(verdicts)
    return False if False in known else None if None in known else True
