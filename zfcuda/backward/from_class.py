"""Walks back from class scores, whatever the rules: those of the deconvnet, of guided backpropagation, the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.answers import scores_of
from zfcuda.autograd import check_finite
from zfcuda.backward.many import walk_each
from zfcuda.backward.rules import Rules
from zfcuda.batches import BatchTarget, class_targets, part_of, scores
from zfcuda.network import Network
from zfcuda.network.graph import unwrap


def walk_from_class(model: nn.Module | Network, image: Any, target: BatchTarget, rules: Rules) -> Tensor:
    """Walks from each image's class score, its logit, back to the pixels; the seed is the score's derivative.

    That is 1 at the class and 0 at all others: what comes back depends neither on the logit's size nor on its sign.

    Args:
        model: as in project, giving logits [N,K].
        image: [C,H,W], [N,C,H,W], or what zfcuda.batches.checked_images takes besides.
        target: a class for all images, a list of one for each, a callable on logits [n,K] of any n, which gives a score
            [n], or None: each image's most probable class.
        rules: those of the method.

    Returns:
        [N,C,H,W], the images' dtype and device.

    Raises:
        As project, where the layer is the model's output; TypeError, ValueError: the target is no class of the model,
        not one for each image, or gives no score that can be differentiated.
    """
    inner: Any = unwrap(model.model) if isinstance(model, Network) else model
    names = getattr(unwrap(inner) if isinstance(inner, nn.Module) else inner, "classes", None)

    def seeds(logits: Tensor, images: slice) -> Tensor:
        logits = scores_of(logits, len(logits))
        chosen = class_targets(part_of(target, images), logits, names)
        return _derivative(chosen, logits) if callable(chosen) else _one_hot(chosen, logits)

    return walk_each(model, image, "", seeds, rules, target=target)


def _one_hot(classes: list[int], logits: Tensor) -> Tensor:
    index = torch.tensor(classes, dtype=torch.int64, device=logits.device)
    return torch.zeros_like(logits).scatter_(1, index[:, None], 1)


def _derivative(target: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """Of each image's score by its logits; the target may look at all that it gets, so that it gets them one by one."""
    # What was made in inference mode cannot take part in autograd, but a copy can.
    with torch.inference_mode(False), torch.enable_grad():
        leaf = logits.clone().requires_grad_()
        score = torch.cat([scores(target, each.clone()) for each in leaf.split(1)])  # which it may overwrite
        if not score.requires_grad:
            raise ValueError("target: expected a score that can be differentiated by the logits, got one that cannot")
        check_finite(score, "model: the score")
        (seed,) = torch.autograd.grad(score.sum(), leaf)
    return seed
