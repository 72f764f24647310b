"""A share of pictures, with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """How many pictures of how many were answered rightly."""

    right: int
    of: int

    @property
    def accuracy(self) -> float:
        """The share, 0 to 1."""
        return self.right / self.of

    @property
    def standard_error(self) -> float:
        """That of the share, sqrt(p (1 - p) / n); with all or none right as if half a picture were not."""
        p = min(max(self.right, 0.5), self.of - 0.5) / self.of
        return math.sqrt(p * (1 - p) / self.of)

    def __str__(self) -> str:
        return f"{self.accuracy:.1%} +- {self.standard_error:.1%}"

    def facts(self) -> dict[str, float | int]:
        """What a JSON file says of it."""
        return {
            "accuracy": round(self.accuracy, 6),
            "standard_error": round(self.standard_error, 6),
            "right": self.right,
            "of": self.of,
        }
