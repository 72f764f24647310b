"""What an objective says of images as they are now, and which change makes it more: whole, or in parts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from zfcuda.autograd import derivatives
from zfcuda.memory.budget import budget_of
from zfcuda.synthesis.objectives import Objective
from zfcuda.synthesis.redirected import Redirected
from zfcuda.synthesis.watched import Seen, Watched

_FEW = 8  # images that are never divided
_FAINT = 1e-6  # the mean size of a gradient that only wakes: the first true one is to outweigh it in Adam's averages


class Evaluation:
    """An objective of a watched model, with its derivatives by the model's images and by the images themselves.

    Args:
        in_parts: whether many images are run so many at a time as memory holds, and one at a time where the model does
            not keep the images of a batch apart; the objective then takes each image by itself, or says that it looks
            at them together.
    """

    def __init__(self, watched: Watched, objective: Objective, dtype: torch.dtype, in_parts: bool) -> None:
        self._watched, self._objective, self._dtype = watched, objective, dtype
        self._in_parts, self._at_once = in_parts, 0

    def __call__(
        self, images: Tensor, shown: Tensor, step: int, redirected: bool = False
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """What is said [N], and its derivatives by `shown` and by `images`; None where it does not depend on them.

        Args:
            images: [N,C,H,W].
            shown: what the model sees of them.
            redirected: whether gradients pass through what is rectified to 0.
        """
        images, shown = images.detach(), shown.detach()
        if not self._at_once:
            self._at_once = self._so_many(images, shown, step)
        parts = [slice(i, i + self._at_once) for i in range(0, len(images), self._at_once)]
        with Redirected() if redirected else nullcontext():
            if len(parts) > 1 and self._objective.together:
                return self._together(images, shown, step, parts)
            each = [self._part(images[part], shown[part], step, part.start, len(images)) for part in parts]
        said, by_shown, by_images = zip(*each, strict=True)
        return torch.cat(said), _joined(by_shown), _joined(by_images)

    def value(self, images: Tensor) -> Tensor:
        """What is said of images as they are, [N], without any gradient."""
        at_once = self._at_once or len(images)
        with torch.no_grad():
            each = [self._watched(self._as_shown(part), of=part) for part in images.split(at_once)]
            logits = None if each[0].logits is None else torch.cat([seen.scores() for seen in each])
            layers = {name: torch.cat([seen.layers[name] for seen in each]) for name in each[0].layers}
            return self._value(replace(each[0], images=images, layers=layers, logits=logits, total=len(images)))

    def _part(
        self, images: Tensor, shown: Tensor, step: int, first: int, total: int
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        images, shown = images.detach().requires_grad_(), self._as_shown(shown).requires_grad_()
        said = self._value(replace(self._watched(shown, of=images, step=step), first=first, total=total))
        by_shown, by_images = derivatives([said], [torch.ones_like(said)], [shown, images])
        return said.detach(), by_shown, by_images

    def _together(
        self, images: Tensor, shown: Tensor, step: int, parts: Sequence[slice]
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The same of an objective that compares images: first what the model says of all of them, without a history;
        then each part again, with the derivatives by what it said.
        """
        with torch.no_grad():
            each = [self._watched(self._as_shown(shown[part]), of=images[part], step=step) for part in parts]
        names = list(each[0].layers)
        leaves = {name: torch.cat([seen.layers[name] for seen in each]).requires_grad_() for name in names}
        logits = None if each[0].logits is None else torch.cat([seen.scores() for seen in each]).requires_grad_()
        of = images.detach().requires_grad_()
        said = self._value(replace(each[0], images=of, layers=leaves, logits=logits, total=len(of)))
        inner = [*leaves.values(), *([] if logits is None else [logits])]
        *seeds, by_images = derivatives([said], [torch.ones_like(said)], [*inner, of])
        by_shown = []
        for part in parts:
            leaf = self._as_shown(shown[part]).requires_grad_()
            seen = self._watched(leaf, of=images[part], step=step)
            outputs = [*(seen.layers[name] for name in names), *([] if logits is None else [seen.scores()])]
            used = [(value, seed[part]) for value, seed in zip(outputs, seeds, strict=True) if seed is not None]
            by_shown.append(derivatives([v for v, _ in used], [s for _, s in used], [leaf])[0] if used else None)
        return said.detach(), _joined(by_shown), by_images

    def _as_shown(self, shown: Tensor) -> Tensor:
        return shown.detach().to(self._dtype, copy=True).contiguous(memory_format=torch.channels_last)

    def _value(self, seen: Seen) -> Tensor:
        said = self._objective.value(seen)
        count = len(seen.images)
        if not isinstance(said, Tensor) or said.shape != (count,):
            got = list(said.shape) if isinstance(said, Tensor) else type(said).__name__
            raise ValueError(f"objective: expected a number for each image, [{count}], got {got}")
        return said

    def _so_many(self, images: Tensor, shown: Tensor, step: int) -> int:
        """How many images run at a time."""
        if not self._in_parts or len(images) < 2:
            return max(len(images), 1)
        if self._watched.coupling(self._as_shown(shown[:1])) is not None:
            return 1
        if len(images) <= _FEW:
            return len(images)
        kept: dict[int, int] = {}

        def keep(value: Tensor) -> Tensor:
            if not isinstance(value, torch.nn.Parameter):
                kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
            return value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            self._watched(self._as_shown(shown[:1]).requires_grad_(), of=images[:1], step=step)
        return max(1, budget_of(None, images.device) // max(2 * sum(kept.values()), 1))


def faint(gradients: Tensor) -> Tensor:
    """Gradients [N,...] of images, each scaled to one small size."""
    size = gradients.flatten(1).square().mean(1).sqrt().clamp_min(1e-30)
    return gradients * (_FAINT / size).view(-1, *[1] * (gradients.ndim - 1))


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there) if len(there) == len(parts) else None
