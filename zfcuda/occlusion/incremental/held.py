"""A plan with one image's base, kept ready: windows of any place and size, one or a few at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from zfcuda.memory.budget import budget_of
from zfcuda.occlusion.incremental.chunk import Base
from zfcuda.occlusion.incremental.engine import Plan
from zfcuda.occlusion.incremental.outliers import within
from zfcuda.occlusion.incremental.patches import Table
from zfcuda.occlusion.incremental.single import SingleWindows

# Windows that run together in less time than one after the other.
_TOGETHER = 8


class HeldPlan:
    """A plan, and what an image's run has made of the model's tensors and the maps, kept from window to window."""

    def __init__(self, plan: Plan, values: dict[int, Any], dtype: torch.dtype) -> None:
        self.plan, self.base = plan, Base(values, dtype)
        self._single = SingleWindows(plan, self.base) if self.base.device.type == "cpu" else None
        self._fill: Tensor | None = None

    @property
    def reason(self) -> str:
        """What is done, in a sentence."""
        return self.plan.reason

    def calls_modules(self, windows: int) -> bool:
        """Whether a run of so many windows may call a module of the model, which then has to be in eval mode."""
        return self._single is None or windows >= _TOGETHER or self._single.calls_modules

    def run(self, fill: Tensor, rectangles: Table) -> Tensor:
        """The outputs while each of the rectangles [n,4] is covered, float32 [n,classes].

        fill: [C,H,W]; what is made of it is kept while it is the same tensor.
        """
        if self._single is None or len(rectangles) >= _TOGETHER:
            plan, budget = self.plan.over(rectangles), budget_of(None, self.base.device)
            return plan.run(fill, self.base, self.base.dtype, budget, tqdm(disable=True)).logits
        if self._fill is not fill:
            self._fill = fill
            self._covering = fill[None].to(self.base.dtype).contiguous(memory_format=torch.channels_last)
            self._outlying = not within(self._covering, self.base.limit(self.plan.input))
        self.base.outlying_fill = self._outlying
        answers = [self._single.run(self._covering, rectangle) for rectangle in rectangles.tolist()]
        return answers[0] if len(answers) == 1 else torch.cat(answers)
