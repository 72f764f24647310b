"""The curve of a class's probability while pixels are removed or put in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zfcuda.shown import Display, Displayed, View
from zfcuda.shown.chart import line
from zfcuda.shown.plot import axes


@dataclass(frozen=True, eq=False, repr=False)
class Curve(Displayed):
    """What a network says of a class while more and more pixels are removed, or put in.

    Attributes:
        kind: "deletion" or "insertion".
        shares: float64 [steps + 1], the share of the pixels removed or put in, from 0 to 1.
        scores: float64 [steps + 1], the probability of the class then (or what a callable target says).
    """

    kind: str
    shares: Tensor
    scores: Tensor

    @property
    def auc(self) -> float:
        """The area under the curve, by trapezoids: the mean score. Low is good for deletion, high for insertion."""
        return float(torch.trapezoid(self.scores, self.shares))

    def __repr__(self) -> str:
        first, last = float(self.scores[0]), float(self.scores[-1])
        return (
            f"Curve of {self.kind}: area {self.auc:.4g}, from {first:.4g} to {last:.4g} in {len(self.shares) - 1} steps"
        )

    def display(self) -> Display:
        """The area, and the curve."""
        what = "removed" if self.kind == "deletion" else "put in"
        caption = f"the probability of the class over the share of the pixels {what}"
        picture = line(self.shares.tolist(), self.scores.tolist())
        return Display(f"Curve of {self.kind}", [("area", f"{self.auc:.4g}")], [View(picture, caption)], 1)

    def plot(self, ax: Any = None) -> Any:
        """Draws the curve with matplotlib, and returns the axes.

        ax: matplotlib's axes; None: new ones.

        Raises:
            ImportError: matplotlib is not installed.
        """
        ax = axes(ax)
        ax.plot(self.shares.numpy(), self.scores.numpy(), label=f"{self.kind}, area {self.auc:.3f}")
        ax.fill_between(self.shares.numpy(), self.scores.numpy(), alpha=0.2)
        ax.set_xlabel("share of the pixels removed" if self.kind == "deletion" else "share of the pixels put in")
        ax.set_ylabel("probability of the class")
        ax.legend()
        return ax
