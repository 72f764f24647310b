"""The deconvnet: from an activation of any layer back to the pixels (Zeiler & Fergus, section 2.1)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zfcuda.backward.rules import Rules
from zfcuda.backward.units import Strongest, UnitSelection, strongest_units
from zfcuda.backward.walk import BackwardPath, followed
from zfcuda.inputs import integer
from zfcuda.network import Network
from zfcuda.network.intact import deterministic
from zfcuda.shown import signals


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
    """Projects activations of a layer back to the pixels: what in the image made them (Zeiler & Fergus, section 2.1).

    All activations of the layer but the chosen one are set to zero. From there back to the pixels: max pooling is
    undone by the switches recorded forward, a ReLU rectifies the signal, and so does a ReLU6, whose upper end is taken
    no notice of; filters are applied transposed, and so is every other linear step: average pooling, batch norm,
    addition, scaling and shift by constants, padding, slices, permutations, resizing, casts. Nothing is rectified after
    the last filter. What gates or bends the signal smoothly (sigmoid, SiLU, attention, layer norm) has no rule.

    Args:
        model: a CNN in any mode (it is run as in eval), or its Network (zfcuda.network.trace) where many projections
            are asked of one structure. It is run once by itself, and the layer's value held against that.
        image: [C,H,W] or [1,C,H,W], of a floating dtype that the model takes, on its device; or a picture (PIL, a path,
            an array uint8 [H,W,C]), which the model's `.preprocess` makes one of. A model that branches on shapes is
            followed by torch.export with it, in seconds.
        layer: the dotted name of any submodule, leaf or not; its output as of its last call.
        unit: a channel, or an element of a vector layer. None: the `top` strongest units, by their largest activation.
        position: (y, x) on the map; None: the strongest place of the unit; "all": its whole map at once.
        top: how many projections; with a unit and no position, of that many of its strongest places.
        lrn: what happens to the signal at local response normalisation: "identity", as the paper's method implies, or
            "divide" by the forward scale (k + alpha / size * sum) ** beta.

    Returns:
        [top,C,H,W], the image's dtype and device, strongest first. The seed is the activation itself; where that is not
        positive the projection is zero, with a warning.

    Raises:
        TypeError: a model, image, layer or number of the wrong type.
        ValueError: naming the argument: an unknown layer (with the names that there are), a unit or position outside
            it, an image that does not fit the network, or, by name, something between the layer and the pixels that has
            no rule here; a model whose own value of the layer is not what its layers compute.
    """
    projected = projections(model, image, layer, unit=unit, position=position, top=top, lrn=lrn)
    warn_of_silence(projected.units, projected.values, layer)
    return shown_projections(projected, layer)


@dataclass(frozen=True)
class Projections:
    """Selected activations of a layer, strongest first, and their projections, all on the image's device.

    Attributes:
        images: [n,C,H,W].
        units: int64 [n].
        positions: int64 [n,2], (y, x) on the map, the strongest place where the whole map is projected; None for a
            vector.
        values: [n], the activations there.
    """

    images: Tensor
    units: Tensor
    positions: Tensor | None
    values: Tensor

    def __repr__(self) -> str:
        shape, units = list(self.images.shape), self.units.tolist()
        values = ", ".join(f"{unit}: {value:.4g}" for unit, value in zip(units[:8], self.values.tolist(), strict=False))
        return f"Projections {shape}, units and their activations {{{values}{', ...' if len(units) > 8 else ''}}}"


def shown_projections(projected: Projections, layer: str) -> Tensor:
    """The projections themselves, which say what they are of where they show themselves."""
    units, positions, values = projected.units, projected.positions, projected.values

    def captions() -> list[str]:
        places = [""] * len(units) if positions is None else [f" at row {y}, column {x}" for y, x in positions.tolist()]
        found = zip(units.tolist(), values.tolist(), places, strict=True)
        return [f"unit {unit}: {value:.3g}{place}" for unit, value, place in found]

    return signals(projected.images, f"Projections of {layer}", captions)


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
    own: Tensor | None = None,
    rules: Rules | None = None,
) -> Projections:
    """Projects as project() does, without its warning, and says what was projected, all from one forward pass.

    Args:
        positive: leave out the selected activations that are not positive; where none is, nothing is walked back.
        own: [1,K,h,w] or [1,K], what a run of the model itself gave for the layer; None: it is run.
        rules: those of another method, such as Rules("guided", "exact"), in place of the deconvnet's and `lrn`.

    Raises:
        As project; UnprojectableError where something between the layer and the pixels has no rule.
    """
    selection = UnitSelection.of(layer, unit, position, top)
    rules = deconvnet_rules(lrn) if rules is None else rules
    network, batch = followed(model, image)
    with torch.no_grad(), deterministic():
        forward = BackwardPath.of(network, layer, rules).checked_forward(batch, own)
        activation = forward.activation[0]
        selected = selection.chosen(activation)
        if positive:
            selected = selected.positive()
        images = forward.projections(selection.seeds(activation, selected)).to(batch.dtype)
        return Projections(images, selected.units, selected.positions(activation.shape[-1]), selected.values)


def strongest(model: nn.Module | Network, image: Tensor, layer: str, top: int = 9) -> list[Strongest]:
    """Lists the units of a layer with the largest activations, strongest first: those that project() takes.

    Arguments and errors are those of project; what lies between the layer and the pixels does not matter.
    """
    network, batch = followed(model, image)
    with torch.no_grad():
        activation = BackwardPath.of(network, layer, None).checked_forward(batch).activation
        return strongest_units(activation[0], layer, integer("top", top)).listed(activation.shape[-1])


def depends_on_image(network: Network, layer: str) -> bool:
    """Whether the projection of a given unit at a given place differs from image to image beyond its strength.

    It does where pooling switches lie between the layer and the pixels. All else there is a fixed filter or the
    rectification of the signal: without switches every image has the same projection.

    Raises:
        TypeError, ValueError: the layer is unknown, or does not depend on the image.
    """
    path = BackwardPath.of(network, layer, None)
    return any(node.kind == "max_pool" and node.index in path.sees for node in path.nodes)


def deconvnet_rules(lrn: str) -> Rules:
    """The rules of the deconvnet, with project()'s setting.

    Raises:
        ValueError: the setting is none of the deconvnet's.
    """
    if lrn not in ("identity", "divide"):
        raise ValueError(f"lrn: expected 'identity' or 'divide', got {lrn!r}")
    return Rules("deconvnet", lrn)


def warn_of_silence(units: Tensor, values: Tensor, layer: str) -> None:
    """Warns of the selected activations that are not positive."""
    silent = [f"{unit} ({v:.3g})" for unit, v in zip(units.tolist(), values.tolist(), strict=True) if v <= 0]
    if silent:
        warnings.warn(
            f"project: of layer {layer!r} the activation is not positive for unit {', '.join(silent[:9])}; its "
            "projection is zero",
            stacklevel=3,
        )
