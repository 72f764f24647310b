"""The deconvnet: from an activation of any layer back to the pixels (Zeiler & Fergus, section 2.1)."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.backward.rules import Rules
from zfcuda.backward.units import Chosen, Question, Strongest, strongest_units
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
    question = asked(layer, unit, position, top, lrn)
    network = trace(model)
    with torch.no_grad(), deterministic():
        there = BackwardPath.of(network, layer, Rules(lrn=lrn)).checked_forward(image)
        chosen = question.chosen(there.activation[0])
        warn_of_silence(chosen, layer)
        return there.projections(question.seeds(there.activation[0], chosen)).to(image.dtype)


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


def warn_of_silence(chosen: Chosen, layer: str) -> None:
    """Says which of the chosen activations are not positive."""
    values = chosen.values.tolist()
    silent = [f"{unit} ({v:.3g})" for unit, v in zip(chosen.units.tolist(), values, strict=True) if v <= 0]
    if silent:
        warnings.warn(
            f"project: of layer {layer!r} the activation is not positive for unit {', '.join(silent[:9])}; its "
            "projection is zero",
            stacklevel=3,
        )
