"""One signal for each of many images, walked back together where the model leaves the images of a batch alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.backward.held import Key, keep, key_of, recalled
from zfcuda.backward.rules import Rules
from zfcuda.backward.walk import BackwardPath, ForwardPass, check_finite, followed
from zfcuda.batches import BatchTarget, check_count
from zfcuda.independence import coupling
from zfcuda.network import Network
from zfcuda.network.intact import deterministic
from zfcuda.network.trace import RECORDING

# The activations [n,K,h,w] or [n,K] of some of the images, and which they are -> a seed for each.
Seeds = Callable[[Tensor, slice], Tensor]

_PIXELS = 2**20  # of the images that are walked together: 20 of 224 x 224


def walk_each(
    model: nn.Module | Network, image: Any, layer: str, seeds: Seeds, rules: Rules, *, target: BatchTarget = None
) -> Tensor:
    """Walks from a layer back to the pixels, for each image by itself.

    Args:
        model: as in project; it is run once by itself, and the layer's value held against that (zfcuda.backward.held).
        image: what zfcuda.batches.checked_images takes.
        layer: as in project; "" is the model's output.
        seeds: makes the signals to start from.
        rules: those of the method.
        target: what a caller gave, where that has to be of as many images.

    Returns:
        [N,C,H,W], the images' dtype and device.

    Raises:
        As project.
    """
    with torch.no_grad(), deterministic():
        network, images = followed(model, image, many=True)
        check_count(target, len(images))
        path = BackwardPath.of(network, layer, rules)
        if not len(images):
            return torch.zeros_like(images)
        fresh = network is not model
        apart = len(images) > 1 and _coupling(path, images, fresh) is not None
        together = 1 if apart else max(1, _PIXELS // images[0, 0].numel())
        found = []
        for first in range(0, len(images), together):
            part = slice(first, first + together)
            forward = _forward(path, images[part], fresh)
            found.append(forward.of_each(seeds(forward.activation, part)))
        return (found[0] if len(found) == 1 else torch.cat(found)).to(images.dtype)


def _forward(path: BackwardPath, batch: Tensor, fresh: bool) -> ForwardPass:
    """Runs forward; refuses a layer that is not the model's own, unless that is known to be."""
    key = _key(path, batch, fresh)
    if not recalled(path.network.model, key, "held"):
        forward = path.checked_forward(batch)
        keep(path.network.model, key, "held", True)
        return forward
    forward = path.forward(batch)
    check_finite(forward.finite(batch), path.layer)
    return forward


def _key(path: BackwardPath, batch: Tensor, fresh: bool) -> Key | None:
    """A network that the caller has followed may be older than its model: nothing is remembered of that."""
    return key_of(path.network, path.output, batch) if fresh else None


def _coupling(path: BackwardPath, images: Tensor, fresh: bool) -> str | None:
    """What couples the images of a batch up to the layer; None: nothing does."""
    network, example = path.network, images[:1]
    key = _key(path, example, fresh)
    known = recalled(network.model, key, "coupling")
    if known is None:
        with RECORDING:
            known = coupling(lambda batch: network.run(batch, [path.output])[path.output], [example]) or ""
        keep(network.model, key, "coupling", known)
    return known or None
