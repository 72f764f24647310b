"""Accuracy by layer (the paper's Table 7), and over the pictures of each class (its Fig. 9)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from zfcuda.train.transfer.grid import Layer
from zfcuda.train.transfer.linear import Coded, Fitted, fit, fits
from zfcuda.train.transfer.sampling import draw
from zfcuda.train.transfer.shares import Share


@dataclass(frozen=True)
class Codes:
    """The codes of a layer for the three parts. layer: which. training, validation, test: each with its labels."""

    layer: Layer
    training: Coded
    validation: Coded
    test: Coded


@dataclass(frozen=True)
class Row:
    """A line of the table: a classifier on a layer, with its seconds; the first of a layer standardises the codes."""

    layer: Layer
    fitted: Fitted
    seconds: float


@dataclass(frozen=True)
class Point:
    """A point of a learning curve.

    Attributes:
        layer, classifier: what was fitted.
        per_class: training pictures of each class.
        shares: on the test pictures, one for each fold.
    """

    layer: str
    classifier: str
    per_class: int
    shares: tuple[Share, ...]

    @property
    def mean(self) -> float:
        """The mean accuracy over the folds."""
        return statistics.fmean(share.accuracy for share in self.shares)

    @property
    def spread(self) -> float | None:
        """The standard deviation over the folds; None of one fold."""
        return statistics.stdev(share.accuracy for share in self.shares) if len(self.shares) > 1 else None

    @property
    def standard_error(self) -> float:
        """That of the mean: of the draws, and of the test pictures, which are the same in all folds."""
        middle = Share(round(self.mean * self.shares[0].of), self.shares[0].of).standard_error
        draws = (self.spread or 0.0) / len(self.shares) ** 0.5
        return (middle**2 + draws**2) ** 0.5


def rows(codes: Codes, classifiers: Sequence[str], *, seed: int = 0) -> Iterator[Row]:
    """Fits each classifier on a layer's codes."""
    began = time.perf_counter()
    for fitted in fits(classifiers, codes.training, codes.validation, codes.test, seed=seed):
        yield Row(codes.layer, fitted, time.perf_counter() - began)
        began = time.perf_counter()


def check_counts(labels: Tensor, classes: Sequence[str], counts: Sequence[int], folds: int) -> None:
    """Refuses what a learning curve cannot be drawn of, before the work.

    Raises:
        ValueError: fewer than one fold or picture; a class with fewer training pictures than a draw takes.
    """
    if folds < 1:
        raise ValueError(f"folds: expected at least 1, got {folds}")
    for count in counts:
        if count < 1:
            raise ValueError(f"per_class: expected at least 1, got {count}")
    amounts = labels.bincount(minlength=len(classes))
    here = [label for label in range(len(amounts)) if amounts[label]]
    least = min(here, key=lambda label: int(amounts[label]))
    if counts and max(counts) > int(amounts[least]):
        raise ValueError(
            f"per_class: expected at most {int(amounts[least])}, the training pictures of {classes[least]!r}, "
            f"got {max(counts)}"
        )


def curve(
    codes: Codes, classifier: str, counts: Sequence[int], *, folds: int = 5, seed: int = 0
) -> Iterator[tuple[int, int, Point | None]]:
    """Fits a classifier on draws of so many pictures of each class: in each fold the same, for all layers.

    C is chosen on the whole validation part, also of a draw of one picture a class.

    Yields:
        (per_class, fold, the Point when this was the last fold, else None), after each fit.
    """
    for per_class in counts:
        shares: list[Share] = []
        for fold in range(folds):
            some = codes.training.subset(draw(codes.training.labels, per_class, fold=fold, seed=seed))
            shares.append(fit(classifier, some, codes.validation, codes.test, seed=seed).test)
            last = fold + 1 == folds
            point = Point(codes.layer.name, classifier, per_class, tuple(shares)) if last else None
            yield per_class, fold, point
