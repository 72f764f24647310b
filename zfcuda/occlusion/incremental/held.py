"""A plan with one image's base, kept ready: windows of any place and size, one or a few at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from zfcuda.occlusion.incremental.chunk import Base
from zfcuda.occlusion.incremental.engine import Plan
from zfcuda.occlusion.incremental.patches import Table


class HeldPlan:
    """A plan, and what an image's run has made of the model's tensors and the maps, kept from window to window."""

    def __init__(self, plan: Plan, values: dict[int, Any], dtype: torch.dtype) -> None:
        self.plan, self.base = plan, Base(values, dtype)

    @property
    def reason(self) -> str:
        """What is done, in a sentence."""
        return self.plan.reason

    def run(self, fill: Tensor, rectangles: Table, budget: int) -> Tensor:
        """The outputs while each of the rectangles [n,4] is covered, float32 [n,classes]. fill: [C,H,W]."""
        plan = self.plan.over(rectangles)
        return plan.run(fill, self.base, self.base.dtype, budget, tqdm(disable=True)).logits
