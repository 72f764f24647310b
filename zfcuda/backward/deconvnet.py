"""The deconvnet: from an activation of any layer back to the pixels (Zeiler & Fergus, section 2.1)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.backward.rules import Rules
from zfcuda.backward.units import Question, Strongest, strongest_units
from zfcuda.backward.walk import BackwardPath, deterministic
from zfcuda.inputs import integer
from zfcuda.network import Network, trace


def project(
    model: nn.Module | Network,
    image: Tensor,
    layer: str,
    *,
    unit: int | None = None,
    position: tuple[int, int] | str | None = None,
    top: int = 1,
    lrn: str = "identity",
) -> Tensor:
    """Projects activations of a layer back to the pixels: what in the picture made them (Zeiler & Fergus, section 2.1).

    All activations of the layer but the chosen one are set to zero. From there back to the picture: max pooling is
    undone by the switches recorded forward, a ReLU rectifies the signal, filters are applied transposed, and so are
    average pooling, batch norm, concatenation and addition. Nothing is rectified after the last filter.

    Args:
        model: a CNN in any mode (it is run as in eval), or its Network (zfcuda.network.trace) where many projections
            are asked of one structure.
        image: [C,H,W] or [1,C,H,W], floating, of the model's dtype and device.
        layer: the dotted name of any submodule, leaf or not; its output as of its last call.
        unit: a channel, or an element of a vector layer. None: the `top` strongest units, by their largest activation.
        position: (y, x) on the map; None: the strongest place of the unit; "all": its whole map at once.
        top: how many projections; with a unit and no position, of that many of its strongest places.
        lrn: what happens at local response normalisation: "identity", as the paper's method implies, or "divide" by the
            forward scale (k + alpha / size * sum) ** beta.

    Returns:
        [top,C,H,W], image's dtype and device, strongest first. The seed is the activation itself; where that is not
        positive the projection is zero, with a warning.

    Raises:
        TypeError: a model, image, layer or number of the wrong type.
        ValueError: naming the argument: an unknown layer (those there are are listed), a unit or position outside it, a
            picture that does not fit the network, or, by name, something between the layer and the pixels that has no
            transpose here.
    """
    projected = projections(model, image, layer, unit=unit, position=position, top=top, lrn=lrn)
    warn_of_silence(projected.units, projected.values, layer)
    return projected.images


@dataclass(frozen=True)
class Projections:
    """The chosen activations of a layer, strongest first, and their projections, all on the image's device.

    Attributes:
        images: [n,C,H,W].
        units: int64 [n].
        positions: int64 [n,2], (y, x) on the map, where a whole map is projected that of its strongest place; None for
            a vector.
        values: [n], the activations.
    """

    images: Tensor
    units: Tensor
    positions: Tensor | None
    values: Tensor


def projections(
    model: nn.Module | Network,
    image: Tensor,
    layer: str,
    *,
    unit: int | None = None,
    position: tuple[int, int] | str | None = None,
    top: int = 1,
    lrn: str = "identity",
    positive: bool = False,
) -> Projections:
    """Projects as project() does, and says what was projected, all from one forward pass; without the warning.

    positive: leave out the chosen activations that are not positive; without any, nothing is walked back.
    """
    question = asked(layer, unit, position, top, lrn)
    network = trace(model)
    with torch.no_grad(), deterministic():
        there = BackwardPath.of(network, layer, Rules(lrn=lrn)).checked_forward(image)
        activation = there.activation[0]
        chosen = question.chosen(activation)
        if positive:
            chosen = chosen.positive()
        images = there.projections(question.seeds(activation, chosen)).to(image.dtype)
        return Projections(images, chosen.units, chosen.positions(activation.shape[-1]), chosen.values)


def strongest(model: nn.Module | Network, image: Tensor, layer: str, top: int = 9) -> list[Strongest]:
    """The units of a layer with the largest activations, strongest first: those that project() takes.

    Args and errors: as for project; what lies between the layer and the pixels does not matter.
    """
    network = trace(model)
    with torch.no_grad():
        activation = BackwardPath.of(network, layer, None).checked_forward(image).activation
        return strongest_units(activation[0], layer, integer("top", top)).listed(activation.shape[-1])


def asked(layer: str, unit: int | None, position: Any, top: int, lrn: str) -> Question:
    """The arguments of project(), as far as they can be checked without the network."""
    top = integer("top", top)
    if top < 1:
        raise ValueError(f"top: expected at least 1, got {top}")
    if lrn not in ("identity", "divide"):
        raise ValueError(f"lrn: expected 'identity' or 'divide', got {lrn!r}")
    return Question(layer, unit, position, top)


def warn_of_silence(units: Tensor, values: Tensor, layer: str) -> None:
    """Says which of the chosen activations are not positive."""
    silent = [f"{unit} ({v:.3g})" for unit, v in zip(units.tolist(), values.tolist(), strict=True) if v <= 0]
    if silent:
        warnings.warn(
            f"project: of layer {layer!r} the activation is not positive for unit {', '.join(silent[:9])}; its "
            "projection is zero",
            stacklevel=3,
        )
