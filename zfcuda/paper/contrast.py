"""A difference of error rates, and how sure it is: other trainings, other pictures."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zfcuda.faithfulness.intervals import bootstrap, student
from zfcuda.paper.result import Row


@dataclass(frozen=True)
class Contrast:
    """A mean over trainings and pictures, in points of a hundred.

    Attributes:
        value: the mean.
        each: that of each training.
        over_trainings: the 95 % interval for other trainings on the same pictures, by Student's t; None of one.
        over_pictures: the 95 % interval for other pictures with the same trainings, by the bootstrap.
    """

    value: float
    each: tuple[float, ...]
    over_trainings: tuple[float, float] | None
    over_pictures: tuple[float, float]

    @property
    def row(self) -> Row:
        """As columns of a table."""
        trainings = self.over_trainings
        return {
            "points": round(self.value, 2),
            "over trainings, 95 %": None if trainings is None else [round(end, 2) for end in trainings],
            "over pictures, 95 %": [round(end, 2) for end in self.over_pictures],
        }

    @property
    def positive(self) -> bool | None:
        """Whether it is above 0: None where an interval holds 0, and of one training, which says nothing of others."""
        if self.over_trainings is None:
            return None
        above = {_above(self.over_trainings), _above(self.over_pictures)}
        return above.pop() if len(above) == 1 else None

    @property
    def positive_for_these(self) -> bool | None:
        """Whether it is above 0 for just these networks: None where the interval over pictures holds 0."""
        return _above(self.over_pictures)

    def __str__(self) -> str:
        spans = [f"{_span(self.over_pictures)} over the pictures"]
        if self.over_trainings is not None:
            spans.insert(0, f"{_span(self.over_trainings)} over {len(self.each)} trainings")
        return f"{self.value:+.1f} points (95 %: {', '.join(spans)})"


def contrast(values: Tensor) -> Contrast:
    """The mean of values, in points.

    Args:
        values: [trainings, pictures], such as whether one network errs, 1 or 0, less the same of another: paired, so
            that what is common to both falls out.
    """
    points = 100 * values.double()
    each = tuple(points.mean(1).tolist())
    over_trainings = student(each) if len(each) > 1 else None
    return Contrast(float(points.mean()), each, over_trainings, bootstrap(points.mean(0).tolist()))


def _above(interval: tuple[float, float]) -> bool | None:
    return True if interval[0] > 0 else False if interval[1] < 0 else None


def _span(interval: tuple[float, float]) -> str:
    return f"{interval[0]:+.1f} to {interval[1]:+.1f}"
