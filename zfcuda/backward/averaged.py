"""Sums of gradients at many points for each image: the path of integrated gradients, the noise of SmoothGrad."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from zfcuda.autograd import check_finite, derivative, differentiating, leaf_of, logits_of
from zfcuda.backward.entry import Entry, entry_of
from zfcuda.backward.gradient import gradients_at
from zfcuda.backward.together import together
from zfcuda.batches import BatchTarget, class_targets, part_of, scores
from zfcuda.memory.budget import ShrinkingBatches

# Images of some of the places, and which point -> what each is there, [n,C,H,W].
Points = Callable[[slice, int], Tensor]


def logits_of_images(model: nn.Module, images: Tensor, target: BatchTarget) -> Tensor:
    """What the model answers, [N,K], of 32 bits at least, without gradients; N at least 1.

    target: what is to be made of it.

    Raises:
        TypeError, ValueError: as :func:`zfcuda.gradient`.
    """
    batches = ShrinkingBatches(together(model, images, len(images), target=target if callable(target) else []))
    with differentiating(model, gradients=False):
        return torch.cat(batches.run(len(images), lambda part: logits_of(model, images[part])))


def weighted_gradients(
    model: nn.Module, images: Tensor, target: BatchTarget, points: Points, weights: Sequence[float]
) -> Tensor:
    """The sum over all points, each with its weight, of the gradients of the scores there.

    Args:
        images: [N,C,H,W].
        target: a class for all images, one for each, or the callable.
        points: what the images are at each of len(weights) points.

    Returns:
        [N,C,H,W], of 32 bits at least.
    """
    wide = torch.promote_types(images.dtype, torch.float32)
    classes = getattr(model, "classes", None)
    at_once = together(model, images, len(images) * len(weights), target=target if callable(target) else [])
    of_images = ShrinkingBatches(min(at_once, max(1, len(images))))

    def for_images(part: slice) -> None:
        count = part.stop - part.start
        mine = total[part].zero_()
        entry: Entry | None = None
        behind: Tensor | None = None  # the sum of what comes back to the convolution that reads the image

        def at_points(run: slice) -> None:
            nonlocal entry, behind
            leaf = leaf_of(torch.cat([points(part, k) for k in range(run.start, run.stop)]))
            image = leaf.clone()
            end = image.grad_fn
            logits = logits_of(model, image, copy=False)
            chosen = class_targets(part_of(target, part), logits[:count].detach(), classes)
            values = scores(chosen if callable(chosen) else chosen * (run.stop - run.start), logits)
            weight = torch.tensor(weights[run], dtype=wide, device=values.device)
            found = entry_of(model, image, end, values)
            if found is not None and (entry is None or found.same(entry)):
                signal = derivative(values, torch.ones_like(values), found.edge)
                check_finite(values, "model: the score")
                assert signal is not None  # the edge lies on the way
                sum = torch.einsum("s,snchw->nchw", weight, signal.view(-1, count, *signal.shape[1:]).to(wide))
                entry, behind = found, sum if behind is None else behind.add_(sum)
            else:
                at_pixels = gradients_at(model, leaf, values)
                mine.add_(torch.einsum("s,snchw->nchw", weight, at_pixels.view(-1, count, *mine.shape[1:]).to(wide)))

        runs = -(-len(weights) // max(1, at_once // count))
        ShrinkingBatches(-(-len(weights) // runs)).run(len(weights), at_points)
        if entry is not None and behind is not None:
            mine.add_(entry.back(behind, images[part]))

    with differentiating(model):
        total = torch.zeros_like(images, dtype=wide, memory_format=torch.contiguous_format)
        of_images.run(len(images), for_images)
    return total
