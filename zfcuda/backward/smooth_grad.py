"""SmoothGrad: the gradient, averaged over noisy copies of the image."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from zfcuda.autograd import module_of
from zfcuda.backward.averaged import logits_of_images, weighted_gradients
from zfcuda.batches import BatchTarget, check_count, checked_images, class_targets
from zfcuda.inputs import integer, number
from zfcuda.shown import signals

_STEP = 1_000_003  # further apart than any number of samples


def smooth_grad(
    model: nn.Module,
    image: Tensor,
    *,
    target: BatchTarget = None,
    samples: int = 50,
    noise: float = 0.15,
    seed: int = 0,
) -> Tensor:
    """The mean of the gradients of noisy copies of each image (Smilkov et al. 2017).

    Args:
        model, image, target: as :func:`zfcuda.gradient` takes them; the most probable class is that without noise.
        samples: how many copies.
        noise: the standard deviation, as a share of the image's own largest value less its smallest. 0: the gradient.
        seed: of the noise, which is the same for all images of a size, so that each gets what it gets alone. The
            state of torch's own generators stays.

    Returns:
        [N,C,H,W], signed, the image's dtype and device.

    Raises:
        TypeError, ValueError: as gradient; samples below 1, a noise that is negative or not finite.
    """
    samples, seed, noise = integer("samples", samples), integer("seed", seed), number("noise", noise)
    if samples < 1:
        raise ValueError(f"samples: expected at least 1, got {samples}")
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise: expected at least 0, and finite, got {noise}")
    inner = module_of(model)
    images = checked_images(image, inner)
    check_count(target, len(images))
    if not len(images):
        return torch.zeros_like(images)
    if target is None:
        target = class_targets(None, logits_of_images(inner, images, None))
    deviation = noise * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    drawn = _noise(images, seed)

    def points(part: slice, k: int) -> Tensor:
        return images[part] + deviation[part] * drawn(k)

    count = samples if noise else 1
    found = weighted_gradients(inner, images, target, points, [1 / count] * count).to(images.dtype)
    return signals(found, "SmoothGrad")


def _noise(images: Tensor, seed: int) -> Callable[[int], Tensor]:
    """Draws the noise of one sample, [C,H,W], by its number."""
    device = images.device
    generator = torch.Generator(device)

    def drawn(k: int) -> Tensor:
        generator.manual_seed((seed * _STEP + k) % 2**63)
        return torch.randn(images.shape[1:], generator=generator, device=device).to(images.dtype)

    return drawn
