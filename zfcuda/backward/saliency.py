"""Saliency: how much each pixel matters to the score, in whichever channel it matters most."""

from __future__ import annotations

from torch import Tensor, nn

from zfcuda.backward.gradient import gradient
from zfcuda.batches import BatchTarget


def saliency(model: nn.Module, image: Tensor, *, target: BatchTarget = None) -> Tensor:
    """The largest magnitude over the channels of the score's gradient, for each pixel (Simonyan et al. 2013, 3.1).

    Arguments and errors are those of :func:`zfcuda.gradient`.

    Returns:
        [N,H,W], nowhere negative, the image's dtype and device.
    """
    return gradient(model, image, target=target).abs().amax(1)
