"""What the network gives for the windows of one image, however they were run."""

from __future__ import annotations

from dataclasses import dataclass

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
