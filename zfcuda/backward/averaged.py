"""Sums of gradients at many points for each image: the path of integrated gradients, the noise of SmoothGrad."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from zfcuda.backward.autograd import differentiating, leaf_of, logits_of
from zfcuda.backward.gradient import gradients_at
from zfcuda.backward.together import together
from zfcuda.batches import BatchTarget, Targets, check_count, class_targets, part_of, scores
from zfcuda.memory.budget import ShrinkingBatches

# Images of some of the places, and which point -> what each is there, [n,C,H,W].
Points = Callable[[slice, int], Tensor]


def scores_of_images(model: nn.Module, images: Tensor, target: BatchTarget) -> tuple[Targets, Tensor]:
    """What the target means for each image, and its score: a class index for each, or the callable; [N].

    Raises:
        TypeError, ValueError: as :func:`zfcuda.gradient`.
    """
    check_count(target, len(images))
    chosen: list[int] = []

    def work(part: slice) -> Tensor:
        logits = logits_of(model, images[part])
        targets = class_targets(part_of(target, part), logits, getattr(model, "classes", None))
        if not callable(targets):
            chosen[part] = targets
        return scores(targets, logits)

    batches = ShrinkingBatches(together(model, images, len(images), target=target if callable(target) else []))
    with differentiating(model, gradients=False):
        parts = batches.run(len(images), work)
    return target if callable(target) else chosen, torch.cat(parts) if parts else images.new_zeros(0)


def weighted_gradients(
    model: nn.Module, images: Tensor, targets: Targets, points: Points, weights: Sequence[float]
) -> Tensor:
    """The sum over all points, each with its weight, of the gradients of the scores there.

    Args:
        images: [N,C,H,W].
        targets: a class for each image, or the callable.
        points: what the images are at each of len(weights) points.

    Returns:
        [N,C,H,W], of 32 bits at least.
    """
    wide = torch.promote_types(images.dtype, torch.float32)
    at_once = together(model, images, len(images) * len(weights), target=targets)
    of_images = ShrinkingBatches(min(at_once, max(1, len(images))))

    def for_images(part: slice) -> None:
        count = part.stop - part.start
        mine = total[part].zero_()

        def at_points(run: slice) -> None:
            leaf = leaf_of(torch.cat([points(part, k) for k in range(run.start, run.stop)]))
            of_part = targets if callable(targets) else targets[part] * (run.stop - run.start)
            found = gradients_at(model, leaf, scores(of_part, logits_of(model, leaf)))
            weight = torch.tensor(weights[run], dtype=wide, device=found.device)
            mine.add_(torch.einsum("s,snchw->nchw", weight, found.view(-1, count, *found.shape[1:]).to(wide)))

        ShrinkingBatches(max(1, at_once // count)).run(len(weights), at_points)

    with differentiating(model):
        total = torch.zeros_like(images, dtype=wide, memory_format=torch.contiguous_format)
        of_images.run(len(images), for_images)
    return total
