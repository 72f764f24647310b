"""A network whose soft answers another one learns: Hinton, Vinyals & Dean 2015."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.complaint import one_line, out_of_memory, reason
from zfcuda.data.preprocess_facts import as_ours
from zfcuda.models.checkpoints.load import find
from zfcuda.train.evaluate import autocast
from zfcuda.train.views.normalised import Normalised


class Teacher:
    """Sees the very pixels that the student sees (Beyer et al. 2022), in its own colours.

    Raises:
        ValueError: it has other classes, or what it reads is not known.
    """

    def __init__(self, name: str, classes: list[str], device: torch.device, precision: torch.dtype) -> None:
        self.name = name
        loaded = find(name)
        self.network: nn.Module = loaded.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = precision
        preprocess: Any = as_ours(getattr(loaded.model, "preprocess", None))
        if preprocess is None:
            raise ValueError(f"teacher: {name}: it is not known what it reads; its file has no preprocess")
        self.preprocess = preprocess
        if list(getattr(loaded.model, "classes", None) or []) != classes:
            raise ValueError(f"teacher: {name}: expected the classes {', '.join(classes[:10])}, got others")
        self.network.eval().requires_grad_(False)
        self.normalised = Normalised()
        self.classes = len(classes)
        self.kept: Tensor | None = None

    def check(self, sides: tuple[int, int]) -> None:
        """Asks it about nothing, before any work is done.

        Raises:
            ValueError: it cannot read what the student sees, pixels of these sides, or its answers are no logits.
        """
        device = next(self.network.parameters()).device
        try:
            answers = self._asked(torch.zeros(2, 3, *sides, dtype=torch.uint8, device=device))
        except Exception as error:
            if out_of_memory(error):
                raise
            said = f"{sides[0]} x {sides[1]} pixels, which are what the student sees ({reason(error)})"
            raise ValueError(f"teacher: {one_line(self.name)}: cannot read {said}") from error
        if answers.shape != (2, self.classes) or not answers.isfinite().all():
            raise ValueError(
                f"teacher: {one_line(self.name)}: expected finite logits [2, {self.classes}] of two pictures, got "
                f"{list(answers.shape)}"
            )

    def keep(self, views: int, pictures: int) -> None:
        """Keeps the answers for so many views of so many pictures: a view that comes again costs nothing."""
        self.kept = torch.full((views, pictures, self.classes), math.nan)

    def answers(self, pixels: Tensor, keys: Sequence[tuple[int, int]]) -> Tensor:
        """Logits [N,K] for pixels uint8 [N,C,H,W]. keys: which view of which picture each is."""
        if self.kept is None:
            return self._asked(pixels)
        views, indices = zip(*keys, strict=True) if keys else ((), ())
        known = self.kept[list(views), list(indices)]
        new = known[:, 0].isnan().nonzero().flatten()
        if len(new):
            known[new] = self._asked(pixels[new.to(pixels.device)]).cpu()
            self.kept[list(views), list(indices)] = known
        return known.to(pixels.device)

    def _asked(self, pixels: Tensor) -> Tensor:
        images = self.normalised(self.preprocess, pixels)
        with torch.no_grad(), autocast(pixels.device, self.precision):
            return self.network(images).float()

    @staticmethod
    def loss(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
        """Kullback-Leibler divergence from the teacher's answers, [N], times the temperature squared."""
        wanted = F.log_softmax(answers / temperature, 1)
        given = F.log_softmax(logits / temperature, 1)
        return F.kl_div(given, wanted, reduction="none", log_target=True).sum(1) * temperature**2
