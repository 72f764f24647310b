"""What the network gives for the windows of one image, however they were run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WindowOutputs:
    """What the network gives for one image with each window covered, in row-major order of the grid.

    Attributes:
        logits: float32 [windows,classes].
        activity: float32 [windows,units], total activation of a layer's units; None where none is watched.
    """

    logits: Tensor
    activity: Tensor | None

    @staticmethod
    def joined(parts: Sequence[WindowOutputs]) -> WindowOutputs:
        """The outputs of some windows after those of others."""
        activity = [part.activity for part in parts if part.activity is not None]
        return WindowOutputs(torch.cat([part.logits for part in parts]), torch.cat(activity) if activity else None)

    def at(self, places: Tensor) -> WindowOutputs:
        """Those of the windows at these places, int64 [n]."""
        return WindowOutputs(self.logits[places], None if self.activity is None else self.activity[places])
