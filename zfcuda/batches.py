"""What methods that take many images at once ask of their caller: the images, and a target for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from zfcuda.inputs import called_score, check_plain, checked_image, class_index

# What a caller may give: a class for all images or one for each, or what makes scores [N] of logits [N,K].
BatchTarget = int | str | Sequence[int | str] | Tensor | Callable[[Tensor], Tensor] | None
# What that comes to.
Targets = list[int] | Callable[[Tensor], Tensor]


def checked_images(image: Any, model: nn.Module) -> Tensor:
    """The images as [N,C,H,W], without their history; of pictures, what the model's own preprocess makes of them.

    Args:
        image: [C,H,W] or [N,C,H,W], where N may be 0; a picture (PIL, a path, an array uint8 [H,W,C]); or a list or
            tuple of such, of one size.
        model: a module, wrapped or not.

    Raises:
        TypeError, ValueError: as checked_image; a list is empty, or its images are not of one shape, dtype and device.
    """
    if not isinstance(image, list | tuple):
        return checked_image(image, model, many=True)
    if not image:
        raise ValueError(f"image: expected at least one image, got an empty {type(image).__name__}")
    parts = [checked_image(each, model, many=True) for each in image]
    first = parts[0]
    for place, part in enumerate(parts):
        if (part.shape[1:], part.dtype, part.device) != (first.shape[1:], first.dtype, first.device):
            one, other = (f"{x.dtype} {list(x.shape[1:])} on {x.device}" for x in (first, part))
            raise ValueError(f"image: expected all of one size and kind, {one}, got {other} at place {place}")
    return torch.cat(parts)


def class_targets(target: BatchTarget, logits: Tensor, classes: Any = None) -> Targets:
    """The class index of each image, or the callable, that a target means.

    Args:
        target: the index or name of a class, for all images; a list, tuple or integer tensor [N] of one for each; a
            callable on the logits, which gives a score [N]; or None: each image's most probable class.
        logits: [N,K].
        classes: the model's names, by index, as :func:`zfcuda.inputs.class_target` takes them.

    Raises:
        TypeError, ValueError: it is none of these, not one for each image, or no class of the model.
    """
    count, width = logits.shape
    if target is None:
        return [int(index) for index in logits.argmax(1).tolist()]
    if callable(target):
        return target
    if isinstance(target, Tensor):
        check_plain("target", target)
    if _is_one_each(target):
        check_count(target, count)
        return [class_index(each, width, classes) for each in target]
    return [class_index(target, width, classes)] * count


def check_count(target: Any, count: int) -> None:
    """Refuses a target for each of another number of images, which can be told before any image is run.

    Raises:
        ValueError: there are not `count`.
    """
    if _is_one_each(target) and len(target) != count:
        raise ValueError(f"target: expected {count}, one for each image, got {len(target)}")


def part_of(target: BatchTarget, images: slice) -> BatchTarget:
    """The target of some of the images."""
    return target[images] if _is_one_each(target) else target


def _is_one_each(target: Any) -> TypeGuard[Sequence[int | str] | Tensor]:
    return isinstance(target, list | tuple) or (isinstance(target, Tensor | np.ndarray) and target.ndim == 1)


def scores(target: Targets, logits: Tensor) -> Tensor:
    """What the targets say of logits [N,K]: a score for each image, [N], differentiable where the logits are.

    target: from class_targets.

    Raises:
        ValueError: a callable does not give one number for each image.
    """
    if callable(target):
        return called_score(target, logits)
    index = torch.tensor(target, dtype=torch.int64, device=logits.device)
    return logits.gather(1, index[:, None])[:, 0]
