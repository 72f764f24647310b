"""The data gradient: how the score, or an activation, changes with each value of the image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.autograd import (
    check_finite,
    derivative,
    differentiating,
    leaf_of,
    logits_of,
    module_of,
    no_gradient,
    run,
)
from zfcuda.backward.together import together
from zfcuda.backward.units import Position, UnitSelection, check_start
from zfcuda.batches import BatchTarget, check_count, checked_images, class_targets, part_of, scores
from zfcuda.inputs import checked_layer
from zfcuda.memory.budget import ShrinkingBatches
from zfcuda.network.graph import spoken_shape, submodules, wrapper_of
from zfcuda.shown import signals


def gradient(
    model: nn.Module,
    image: Tensor,
    *,
    target: BatchTarget = None,
    layer: str | None = None,
    unit: int | None = None,
    position: Position = None,
) -> Tensor:
    """The derivative of each image's score, or of an activation of a layer, with respect to the image.

    The score is the logit of the class, before any softmax: what the network answers. Autograd computes it, with every
    layer as it is.

    Args:
        model: a network [N,C,H,W] -> [N,K] in any mode; it is run as in eval, and left as it was, its `.grad` and
            `requires_grad` too. With a layer its answer does not matter.
        image: [C,H,W] or [N,C,H,W], of a floating dtype that the model takes, on its device; a picture (PIL, a path, an
            array uint8 [H,W,C]), which the model's `.preprocess` makes one of; or a list of such, of one size.
        target: the index or name of a class, for all images; a list, tuple or integer tensor of one for each; a
            callable on logits [n,K] of any n, which gives a score [n]; or None: each image's most probable class.
        layer: the dotted name of a submodule, whose output as of its last call is started from instead of a score.
        unit: a channel of it, or an element of a vector. None: each image's strongest, at its strongest place.
        position: (y, x) on the map; None: the unit's strongest place; "all": its whole map, the sum of its gradients.

    Returns:
        [N,C,H,W], the image's dtype and device: each image's, as if it were alone. A model that is not proven to
        compute the images of a batch one by one gets them one by one.

    Raises:
        TypeError, ValueError: naming the argument and its value: an image, target, layer, unit or position that does
            not fit; a model whose answer is no scores, is not finite, or does not depend on the image by gradients,
            since it detaches something or runs under torch.no_grad.

    Source: Simonyan et al. 2013, section 3.
    """
    inner = module_of(model)
    images = checked_images(image, inner)
    check_start(target, layer, unit, position)
    if layer is None:
        return signals(score_gradients(inner, images, target), "Gradient of the score")
    selection = UnitSelection.of(checked_layer(layer, inner, wrapper_of(model)), unit, position, top=1)
    return signals(_layer_gradients(inner, images, selection), f"Gradient of {layer}")


def score_gradients(model: nn.Module, images: Tensor, target: BatchTarget) -> Tensor:
    """The gradients of the scores of images [N,C,H,W], checked and with an unwrapped model. Errors as gradient's."""
    check_count(target, len(images))
    batches = ShrinkingBatches(together(model, images, len(images), target=target if callable(target) else []))

    def work(part: slice) -> Tensor:
        leaf = leaf_of(images[part])
        logits = logits_of(model, leaf)
        targets = class_targets(part_of(target, part), logits.detach(), getattr(model, "classes", None))
        return gradients_at(model, leaf, scores(targets, logits))

    with differentiating(model):
        return _joined(batches.run(len(images), work), images)


def gradients_at(
    model: nn.Module, leaf: Tensor, values: Tensor, seeds: Tensor | None = None, what: str = "model: the score"
) -> Tensor:
    """The gradients of values [n,...], one or more for each image, weighted by seeds; None: all by 1.

    Args:
        leaf: the images that the values were computed from, [n,C,H,W].
        what: the values, for the errors.

    Raises:
        ValueError: there is no gradient, or the values are not finite.
    """
    found = derivative(values, torch.ones_like(values) if seeds is None else seeds, leaf)
    if found is None:
        raise no_gradient(model, leaf[:1], what)
    check_finite(values, what)
    return found


def _layer_gradients(model: nn.Module, images: Tensor, selection: UnitSelection) -> Tensor:
    batches = ShrinkingBatches(together(model, images, len(images), layer=selection.layer))
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        kept[:] = [output]
        return output.clone() if isinstance(output, Tensor) else None  # what follows may write to it

    def work(part: slice) -> Tensor:
        leaf = leaf_of(images[part])
        kept.clear()
        try:
            run(model, leaf)
        except Exception:  # what fails behind the layer does not matter: a head may not fit images of this size
            if not kept:
                raise
        if not kept:
            raise ValueError(f"layer: {selection.layer!r} is never called by the model's forward")
        value = kept.pop()
        _check_layer(value, len(leaf), selection.layer)
        chosen = [(each, selection.chosen(each)) for each in value.detach()]
        seeds = torch.cat([selection.seeds(each, selected, 1.0) for each, selected in chosen])
        return gradients_at(model, leaf, value, seeds, f"layer: {selection.layer!r}")

    with differentiating(model) as watching:
        watching.add(submodules(model)[selection.layer], keep)
        return _joined(batches.run(len(images), work), images)


def _check_layer(value: Any, count: int, layer: str) -> None:
    if not isinstance(value, Tensor) or value.ndim not in (2, 4) or len(value) != count:
        kind = spoken_shape(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"layer: expected a map [N,K,h,w] or a vector [N,K], got {kind} from {layer!r}")
    if not value.is_floating_point():
        raise ValueError(f"layer: expected floating values, got {value.dtype} from {layer!r}")


def _joined(parts: list[Tensor], images: Tensor) -> Tensor:
    if len(parts) == 1:
        return parts[0].contiguous()
    return torch.cat(parts).contiguous() if parts else torch.zeros_like(images)
