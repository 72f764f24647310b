"""What an occlusion experiment gives: WindowOutputs of the network, and the OcclusionMap made of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from zfcuda.files.drafts import whole
from zfcuda.inputs import probabilities
from zfcuda.occlusion.any_function import Grid
from zfcuda.occlusion.log_odds import log_odds

#: What a heat map can be of.
QUANTITIES = ("score", "log_odds", "probability")


@dataclass(frozen=True)
class WindowOutputs:
    """What the network gives for one image with each window covered, in row-major order of the grid.

    Attributes:
        logits: float32 [windows,classes].
        activity: float32 [windows,units], total activation of a layer's units; None where none is watched.
    """

    logits: Tensor
    activity: Tensor | None


@dataclass(frozen=True)
class OcclusionMap:
    """The network's outputs for one image with an occluder at each place of a grid (Zeiler & Fergus, 4.2, Fig. 7).

    Tensors are on the image's device.

    Attributes:
        logits: float32 [rows,cols,classes], the network's output at each position of the occluder.
        score: float32 [rows,cols], the target's output.
        probability: float32 [rows,cols], of the target (Fig. 7d); of the most probable class of the whole image
            where the target is a callable.
        label: int64 [rows,cols], the most probable class (Fig. 7e); for a network of one output, whether it is more
            probable than not.
        activity: float32 [rows,cols], total activation of the layer's unit (Fig. 7b); None without layer.
        unit: the unit that activity is of; None without layer.
        target: a class index, or the callable that was given.
        base_logits: float32 [classes], of the whole image. base_score: the target's output there.
        origins: int64 [rows,cols,2], (y, x) of each window's first pixel.
        window, stride: (rows, columns) in pixels. size: (H, W) of the image.
        method: "batched" or "incremental". reason: why that one, in a sentence.
        normalization: how outputs become probabilities: "softmax", "sigmoid" or "none".
        log_odds: float32 [rows,cols], log(p / (1 - p)) of the class that `probability` is of, from the logits, so that
            no digits are lost where p is near 0 or 1; finite where outputs are probabilities of 0 or 1: as -87.3 and
            16.6, the log-odds of the smallest normal float32 and of the largest below 1.
        base_probability, base_log_odds: float32 without dimensions like base_score, of the whole image.
        target_class: the class that `probability` and `log_odds` are of.
        fill: what covered the image: "mean", "blur" or "noise" as in occlusion_map; a number, or one per channel;
            "tensor" for one that differs from place to place.
    """

    logits: Tensor
    score: Tensor
    probability: Tensor
    label: Tensor
    activity: Tensor | None
    unit: int | None
    target: int | Callable[[Tensor], Tensor]
    base_logits: Tensor
    base_score: Tensor
    origins: Tensor
    window: tuple[int, int]
    stride: tuple[int, int]
    size: tuple[int, int]
    method: str
    reason: str
    normalization: str = "softmax"
    fill: str | float | tuple[float, ...] = 0.0

    @property
    def target_class(self) -> int:
        return int(self.base_logits.argmax()) if callable(self.target) else self.target

    @cached_property
    def log_odds(self) -> Tensor:
        return log_odds(self.logits, self.target_class, self.normalization)

    @cached_property
    def base_log_odds(self) -> Tensor:
        return log_odds(self.base_logits, self.target_class, self.normalization)

    @cached_property
    def base_probability(self) -> Tensor:
        return probabilities(self.base_logits[None], self.normalization)[0, self.target_class]

    def heatmap(self, size: tuple[int, int] | None = None, *, of: str = "score") -> Tensor:
        """The mean of base - occluded over the windows that cover each pixel, float32 [H,W].

        Positive: covering the pixel costs the target. NaN where no window covers a pixel (a stride larger than the
            window), and where the value of one that does is NaN.

        Args:
            size: (rows, columns) to resize to; None: the image's.
            of: "score", "log_odds" or "probability": what is compared. Log-odds tell most evenly: a probability hardly
                moves near 0 and 1, and a logit may move with those of all other classes.

        Raises:
            ValueError: another name.
        """
        if of not in QUANTITIES:
            raise ValueError(f"of: expected one of {QUANTITIES}, got {of!r}")
        drop: Tensor = getattr(self, f"base_{of}") - getattr(self, of)
        mean = Grid(self.size, self.window, self.stride).mean(drop[None])[0]
        if size is None:
            return mean
        return F.interpolate(mean[None, None], size, mode="bilinear", align_corners=False)[0, 0]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything but a callable target to a NumPy .npz file, whole or not at all."""
        path = Path(path)
        arrays = {
            name: getattr(self, name).cpu().numpy()
            for name in ("logits", "score", "probability", "label", "base_logits", "base_score", "origins")
        }
        if self.activity is not None:
            arrays["activity"] = self.activity.cpu().numpy()
            arrays["unit"] = np.array(self.unit)
        if isinstance(self.target, int):
            arrays["target"] = np.array(self.target)
        arrays |= {
            name: np.array(getattr(self, name)) for name in ("window", "stride", "size", "method", "reason", "fill")
        }
        with whole(path) as [draft], draft.open("wb") as file:
            np.savez_compressed(file, **arrays)
