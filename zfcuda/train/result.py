"""What a run ends in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        epoch: of the weights that were kept, those best on validation.
        validation: top-1 accuracy of them.
        test: top-1 accuracy of them on test; None where there is no such part.
        weights: the file.
        facts: all that result.json holds: top-5, by class, the confusion matrix of the test, seconds.
    """

    epoch: int
    validation: float
    test: float | None
    weights: Path
    facts: Mapping[str, Any] = field(repr=False)

    @staticmethod
    def of(facts: Mapping[str, Any], weights: Path) -> Result:
        """The result that the facts of result.json tell of."""
        return Result(facts["epoch"], facts["validation"], facts["test"], weights, facts)
