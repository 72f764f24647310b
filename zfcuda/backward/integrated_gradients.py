"""Integrated gradients: the score's gain over a baseline, shared out among the pixels."""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from zfcuda.autograd import module_of
from zfcuda.backward.averaged import logits_of_images, weighted_gradients
from zfcuda.batches import BatchTarget, Targets, check_count, checked_images, class_targets, scores
from zfcuda.inputs import check_plain, integer, number
from zfcuda.shown import maps

RULES = ("gausslegendre", "trapezoid")
_LARGE_GAP = 0.05  # of the gain, which is what the method promises to share out
_ROUNDING = 1e-3  # of all shares, whatever their signs
_nodes = lru_cache(np.polynomial.legendre.leggauss)


def integrated_gradients(
    model: nn.Module,
    image: Tensor,
    *,
    target: BatchTarget = None,
    baseline: float | Tensor = 0.0,
    steps: int = 50,
    rule: str = "gausslegendre",
) -> Tensor:
    """Integrates the gradient along the straight line from a baseline to each image, times what lies between.

    In the limit of many steps the shares of an image add up to f(image) - f(baseline), exactly (Sundararajan et al.
    2017, proposition 1). How far they are off is what :func:`zfcuda.completeness_gap` gives; there is a warning where
    it is more than 5 % of f(image) - f(baseline).

    Args:
        model, image, target: as :func:`zfcuda.gradient` takes them. The most probable class is that of the image.
        baseline: what counts as an image without content, in the values that the network gets: a number, or a Tensor
            that broadcasts to the images: [C,1,1], [C,H,W], [N,C,H,W]. 0 is the mean colour after a usual preprocess.
        steps: at how many points the gradient is taken.
        rule: of the integral: "gausslegendre", or "trapezoid" with both ends, of 2 steps at least.

    Returns:
        [N,C,H,W], signed, the image's dtype and device.

    Raises:
        TypeError, ValueError: as gradient; a baseline that does not broadcast or is not finite, too few steps.
    """
    weights, shares = _quadrature(integer("steps", steps), rule)
    inner = module_of(model)
    images = checked_images(image, inner)
    start = _baseline(baseline, images)
    check_count(target, len(images))
    if not len(images):
        return torch.zeros_like(images)
    targets, gain = _gain(inner, images, start, target)

    def points(part: slice, k: int) -> Tensor:
        return torch.lerp(start[part] if len(start) > 1 else start, images[part], shares[k])

    slopes = weighted_gradients(inner, images, targets, points, weights)
    found = ((images - start) * slopes).to(images.dtype).contiguous()
    _warn_of_gaps(found, gain, steps)
    return maps(found, "Integrated gradients", True, inner, images)


def completeness_gap(
    model: nn.Module,
    image: Tensor,
    attributions: Tensor,
    *,
    target: BatchTarget = None,
    baseline: float | Tensor = 0.0,
) -> Tensor:
    """How far the shares of each image are from adding up to f(image) - f(baseline): sum less difference, [N].

    Args:
        model, image, target, baseline: as :func:`integrated_gradients` got them.
        attributions: [N,C,H,W], what it gave.

    Raises:
        TypeError, ValueError: as integrated_gradients; attributions of another shape than the images.
    """
    inner = module_of(model)
    images = checked_images(image, inner)
    if not isinstance(attributions, Tensor) or attributions.shape != images.shape:
        got = list(attributions.shape) if isinstance(attributions, Tensor) else type(attributions).__name__
        raise ValueError(f"attributions: expected {list(images.shape)}, as the images, got {got}")
    start = _baseline(baseline, images)
    check_count(target, len(images))
    if not len(images):
        return _total(attributions)
    return _total(attributions) - _gain(inner, images, start, target)[1]


def _quadrature(steps: int, rule: str) -> tuple[list[float], list[float]]:
    """The weights of the points, which add up to 1, and where they are between the baseline, 0, and the image, 1."""
    if rule not in RULES:
        raise ValueError(f"rule: expected one of {', '.join(map(repr, RULES))}, got {rule!r}")
    least = 1 if rule == "gausslegendre" else 2
    if steps < least:
        raise ValueError(f"steps: expected at least {least} with rule={rule!r}, got {steps}")
    if rule == "gausslegendre":
        nodes, weights = _nodes(steps)  # of -1 ... 1
        return (weights / 2).tolist(), ((nodes + 1) / 2).tolist()
    inside = 1 / (steps - 1)
    return [inside / 2, *[inside] * (steps - 2), inside / 2], np.linspace(0, 1, steps).tolist()


def _baseline(baseline: float | Tensor, images: Tensor) -> Tensor:
    """The baseline, [1,C,H,W], or that of each image, [N,C,H,W]."""
    if not isinstance(baseline, Tensor):
        value = number("baseline", baseline)
        if not np.isfinite(value):
            raise ValueError(f"baseline: expected a finite number, got {value}")
        return images.new_full((1, *images.shape[1:]), value)
    check_plain("baseline", baseline)
    if baseline.is_complex() or not baseline.isfinite().all():
        raise ValueError("baseline: expected finite real values, got others")
    try:
        found = baseline.detach().to(images).expand_as(images)
    except RuntimeError:
        raise ValueError(
            f"baseline: expected a number or a Tensor that broadcasts to {list(images.shape)}, got shape "
            f"{list(baseline.shape)}"
        ) from None
    return found[:1] if baseline.dim() < 4 or len(baseline) == 1 else found


def _gain(model: nn.Module, images: Tensor, start: Tensor, target: BatchTarget) -> tuple[Targets, Tensor]:
    """A class for each image, or the callable, and f(image) - f(baseline), [N]. All ends run together."""
    logits = logits_of_images(model, torch.cat([images, start]), target)
    there, before = logits[: len(images)], logits[len(images) :]
    targets = class_targets(target, there, getattr(model, "classes", None))
    return targets, scores(targets, there) - scores(targets, before.expand_as(there))


def _total(attributions: Tensor) -> Tensor:
    return attributions.sum((1, 2, 3), dtype=torch.promote_types(attributions.dtype, torch.float32))


def _warn_of_gaps(found: Tensor, gain: Tensor, steps: int) -> None:
    total = _total(found)
    far = (total - gain).abs() > _LARGE_GAP * gain.abs() + _ROUNDING * _total(found.abs())
    if not far.any():
        return
    worst = int((far * (total - gain).abs()).argmax())
    warnings.warn(
        f"integrated_gradients: the shares of image {worst} add up to {total[worst]:.4g}, where f(image) - f(baseline) "
        f"is {gain[worst]:.4g}; more steps than {steps} (steps=) come nearer",
        stacklevel=3,
    )
