"""Saliency: how much each pixel matters to the score, in whichever channel it matters most."""

from __future__ import annotations

from torch import Tensor, nn

from zfcuda.autograd import module_of
from zfcuda.backward.gradient import gradient
from zfcuda.batches import BatchTarget, checked_images
from zfcuda.shown import maps


def saliency(model: nn.Module, image: Tensor, *, target: BatchTarget = None) -> Tensor:
    """The largest magnitude over the channels of the score's gradient, for each pixel (Simonyan et al. 2013, 3.1).

    Args:
        model, image, target: as :func:`zfcuda.gradient` takes them.

    Returns:
        [N,H,W], nowhere negative, the image's dtype and device.

    Raises:
        TypeError, ValueError: as gradient.
    """
    inner = module_of(model)
    images = checked_images(image, inner)
    found = gradient(model, images, target=target).abs().amax(1)
    return maps(found, "Saliency", False, inner, images)
