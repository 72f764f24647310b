"""Grad-CAM: the maps of a layer, each weighted by how the score changes with it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.autograd import check_finite, derivative, differentiating, leaf_of, logits_of, module_of
from zfcuda.backward.maps import is_map, maps, no_map
from zfcuda.backward.together import together
from zfcuda.batches import BatchTarget, check_count, checked_images, class_targets, part_of, scores
from zfcuda.inputs import checked_layer
from zfcuda.memory.budget import ShrinkingBatches
from zfcuda.network.graph import submodules, unwrap, wrapper_of
from zfcuda.shown import maps as shown_maps

_FILTERS = (
    *(nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d, nn.FractionalMaxPool2d),
    *(nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.ConvTranspose2d, nn.Upsample),
)


def grad_cam(model: nn.Module, image: Tensor, *, layer: str | None = None, target: BatchTarget = None) -> Tensor:
    """Where on the image a layer sees what speaks for the class (Selvaraju et al. 2017).

    Each channel of the layer's map A_k is weighted by the mean over its places of the score's gradient; the sum over
    the channels is rectified, ReLU(sum_k w_k A_k), and resized to the image, bilinearly.

    Args:
        model, image, target: as :func:`zfcuda.gradient` takes them.
        layer: the dotted name of a submodule, leaf or not, that gives a map [N,K,h,w] of more than one place; its
            output as of its last call. None: the last such one that the score depends on.

    Returns:
        [N,H,W], nowhere negative, the image's dtype and device; all zero where nothing in the layer speaks for the
        class.

    Raises:
        TypeError, ValueError: as gradient; a layer that gives no map, with those that do, or that the score does not
            depend on.
    """
    inner = module_of(model)
    images = checked_images(image, inner)
    check_count(target, len(images))
    if layer is not None:
        layer = checked_layer(layer, inner, wrapper_of(model))
    if not len(images):
        return images.new_zeros(0, *images.shape[2:])
    for name in [layer] if layer is not None else _fitting(inner, images[:1]):
        found = _maps(inner, images, target, name)
        if found is not None:
            return shown_maps(found, "Grad-CAM", False, inner, images)
    if layer is not None:
        raise ValueError(f"layer: expected one that the score depends on by gradients, got {layer!r}")
    raise ValueError(
        f"layer: expected one that gives a map of more than one place, which the score depends on by gradients; "
        f"{type(inner).__name__} has none"
    )


def _fitting(model: nn.Module, image: Tensor) -> list[str]:
    """The layers whose map is taken where none is named, the last one first.

    Attention has outputs of as many dimensions, which are no maps of the image: so a map is as large as what a filter
    or pooling gives, or divides the image evenly.
    """
    found, layers = maps(model, image), submodules(model)
    sizes = {size for name, size in found.items() if isinstance(unwrap(layers[name]), _FILTERS)}
    height, width = image.shape[2:]
    even = {(h, w) for h, w in found.values() if (height % h, width % w, height // h) == (0, 0, width // w)}
    fitting = [name for name, size in found.items() if size in sizes | even]
    if not fitting:
        with differentiating(model, gradients=False):
            logits_of(model, image)  # a model that fails by itself says so
    return fitting[::-1]


def _maps(model: nn.Module, images: Tensor, target: BatchTarget, layer: str) -> Tensor | None:
    """The maps, [N,H,W]; None where the score does not depend on the layer by gradients."""
    at_once = together(model, images, len(images), target=target if callable(target) else [], layer=layer)
    classes, size = getattr(model, "classes", None), images.shape[2:]
    for recording, replaced in ((False, True), (True, True), (True, False)):
        parts: list[Tensor] = []

        def work(part: slice) -> bool:
            """Whether the score depends on the layer."""
            value, logits = _run(model, images[part], layer, recording, replaced)  # noqa: B023
            targets = class_targets(part_of(target, part), logits.detach(), classes)
            with torch.inference_mode(False), torch.enable_grad():
                values = scores(targets, logits)
                found = derivative(values, torch.ones_like(values), value)
            if found is not None:
                check_finite(values, "model: the score")
                parts.append(_map(value.detach(), found, size).to(images.dtype))  # noqa: B023
            return found is not None

        if all(ShrinkingBatches(at_once).run(len(images), work)):
            return torch.cat(parts)
    return None


def _run(model: nn.Module, images: Tensor, layer: str, recording: bool, replaced: bool) -> tuple[Tensor, Tensor]:
    """What the layer gives, [n,K,h,w], and the logits, [n,classes], which autograd follows back to it.

    Args:
        recording: whether autograd records from the image on; else from the layer on, which takes less memory and loses
            the way where the layer is within a part of the model that runs under torch.no_grad.
        replaced: whether a copy of the layer's value goes on in its place, to which what follows may write; that loses
            the way where nobody takes what the layer returns, as with a ReLU in place.
    """
    kept: list[Any] = []
    version = 0

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        nonlocal version
        kept[:] = [output]
        if not is_map(output, len(images)) or output.is_inference():
            return None
        version = output._version
        if not replaced:
            return None
        torch.set_grad_enabled(torch.is_grad_enabled() or not recording)
        with torch.enable_grad():
            kept[:] = [output.detach().requires_grad_()]
            return kept[0].clone()

    with differentiating(model, gradients=recording) as watching:
        watching.add(submodules(model)[layer], keep)
        logits = logits_of(model, leaf_of(images) if recording else images)
    if not kept:
        raise ValueError(f"layer: {layer!r} is never called by the model's forward")
    if not is_map(kept[0], len(images)):
        raise no_map(model, images[:1], layer, kept[0])
    if not replaced and not kept[0].is_inference() and kept[0]._version != version:
        raise ValueError(f"layer: what {layer!r} gives is overwritten by what follows, so that it cannot be looked at")
    return kept[0], logits


def _map(value: Tensor, gradient: Tensor, size: torch.Size) -> Tensor:
    """The map of each image, from what the layer gives and the score's gradient there, both [n,K,h,w]."""
    wide = torch.promote_types(value.dtype, torch.float32)
    weights = gradient.mean((2, 3), dtype=wide)
    small = torch.einsum("nk,nkhw->nhw", weights, value.to(wide)).relu()
    return F.interpolate(small[:, None], size, mode="bilinear", align_corners=False)[:, 0]
