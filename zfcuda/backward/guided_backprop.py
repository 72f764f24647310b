"""Guided backpropagation: the gradient of which only what excites is passed on, at each rectifier."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.backward.from_class import walk_from_class
from zfcuda.backward.many import walk_each
from zfcuda.backward.rules import Rules
from zfcuda.backward.units import Position, UnitSelection, check_start
from zfcuda.batches import BatchTarget
from zfcuda.network import Network
from zfcuda.shown import signals

RULES = Rules("guided", "exact")


def guided_backprop(
    model: nn.Module | Network,
    image: Any,
    *,
    target: BatchTarget = None,
    layer: str | None = None,
    unit: int | None = None,
    position: Position = None,
) -> Tensor:
    """Shows what in each image excites a class score or an activation, as guided backpropagation does.

    The gradient of the score (the logit, before any softmax) by the image, but for the rectifiers: a ReLU passes a
    signal only where its activation was positive, as the gradient does, and only where the signal is positive, as the
    deconvnet does. That holds for a ReLU in every form: a module, reused or in place, a function or method, one with an
    upper end (ReLU6), where nothing passes either, clamp(min=0), maximum with zeros, a threshold of zero. What else
    bends or gates the signal (SiLU, GELU, sigmoid, leaky ReLUs, attention) has no such rule: it is refused by name, and
    never passed by its plain gradient. Local response normalisation and max pooling have their exact derivatives.

    Args:
        model: a CNN in any mode, run as in eval and left as it was, or its Network (zfcuda.network.trace).
        image: [C,H,W] or [N,C,H,W], of a floating dtype that the model takes, on its device; a picture (PIL, a path, an
            array uint8 [H,W,C]), which the model's `.preprocess` makes one of; or a list of such, of one size.
        target: the index or name of a class, for all images; a list, tuple or integer tensor of one for each; a
            callable on logits [n,K] of any n, which gives a score [n]; or None: each image's most probable class.
        layer: the dotted name of a submodule, whose output as of its last call is started from instead of a score.
        unit: a channel of it, or an element of a vector. None: each image's strongest, at its strongest place.
        position: (y, x) on the map; None: the unit's strongest place; "all": its whole map.

    Returns:
        [N,C,H,W], the image's dtype and device: each image's, as if it were alone. A model that is not proven to
        compute the images of a batch one by one gets them one by one.

    Raises:
        TypeError, ValueError: naming the argument and its value: an image, target, layer, unit or position that does
            not fit; a model that cannot be followed, or whose own value is not what its layers compute.
        UnprojectableError: a ValueError that names what between the score and the pixels has no rule.

    Source: Springenberg et al. 2014, section 3.4.
    """
    check_start(target, layer, unit, position)
    if layer is None:
        return signals(walk_from_class(model, image, target, RULES), "Guided backpropagation from the score")
    selection = UnitSelection.of(layer, unit, position, 1)

    def seeds(activation: Tensor, images: slice) -> Tensor:
        return torch.cat([selection.seeds(each, selection.chosen(each), 1) for each in activation])

    return signals(walk_each(model, image, layer, seeds, RULES), f"Guided backpropagation from {layer}")
