"""The strongest units of a layer, projected back to the pixels, or the reason why they cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Set

import torch
from torch import Tensor

from zfcuda.backward.deconvnet import Projections, depends_on_image, projections
from zfcuda.backward.rules import Rules
from zfcuda.backward.units import SelectedUnits, strongest_units
from zfcuda.network import Network, receptive_field, trace
from zfcuda.report.attempt import attempted
from zfcuda.report.explanation import Form, Layer, Unit
from zfcuda.report.layers import ConvLayer
from zfcuda.report.prepare import Prepared


def projected(p: Prepared, layers: Iterable[ConvLayer], top: int) -> tuple[Layer, ...]:
    """The `top` strongest units of each of the layers."""
    network, unfollowed = attempted(lambda: trace(p.subject.model, p.image))
    found: list[Layer] = []
    guided: set[int] = set()  # the nodes of the layers that were
    for layer in layers:
        found.append(_layer(p, network, unfollowed, guided, layer, top))
        if network is not None and found[-1].form is Form.GUIDED:
            guided.add(network.node(layer.output).index)
    return tuple(found)


def _layer(
    p: Prepared, network: Network | None, unfollowed: str, guided: set[int], layer: ConvLayer, top: int
) -> Layer:
    maps, high, wide = layer.activity.shape
    # What is not positive is left out: to project silence shows nothing.
    strongest = strongest_units(layer.activity, layer.name, min(top, maps)).positive()
    field, form, found, refusal = None, Form.DECONVNET, None, unfollowed
    if network is not None:
        field, _ = attempted(lambda: receptive_field(network, layer.output, tuple(p.image.shape[-3:])))
        if len(strongest.units):
            found, refusal = attempted(
                lambda: projections_of(network, p.image, layer, top=len(strongest.units), guided=guided)
            )
    signals: list[Tensor | None] = [None] * len(strongest.units)
    if found is not None:
        form, there = found
        assert there.positions is not None  # a convolution gives maps
        places = there.positions[:, 0] * wide + there.positions[:, 1]
        strongest = SelectedUnits(there.units, places, there.values)
        signals = list(p.subject.in_colour(there.images.float().cpu()))
    units = tuple(
        Unit(
            number,
            value,
            position or (0, 0),
            layer.activity[number].clone(),
            signal,
            None if field is None else field.rectangle(*(position or (0, 0))),
        )
        for (number, position, value), signal in zip(strongest.listed(wide), signals, strict=True)
    )
    size = None if field is None else field.size
    return Layer(layer.name, maps, (high, wide), size, units, form, refusal)


def projections_of(
    network: Network,
    image: Tensor,
    layer: ConvLayer,
    *,
    unit: int | None = None,
    top: int = 1,
    guided: Set[int] = frozenset(),
) -> tuple[Form, Projections]:
    """The strongest units of a layer, or a unit's strongest places, projected: by the deconvnet where its switches make
    that differ from picture to picture, else by guided backpropagation.

    Args:
        image: [1,C,H,W]. guided: nodes of layers that are known to be projected by guided backpropagation.

    Raises:
        ValueError: the layer cannot be projected, with the reason.
    """

    def by(rules: Rules | None) -> Projections:
        own = layer.activity[None]
        return projections(network, image, layer.output, unit=unit, top=top, positive=True, own=own, rules=rules)

    if depends_on_image(network, layer.output):
        return Form.DECONVNET, by(None)
    found = by(Rules("guided", "exact"))
    if not guided.isdisjoint(node.index for node in network.ancestors([network.node(layer.output).index])):
        return Form.GUIDED, found  # something that rectifies lies before a layer before this one
    plain, _ = attempted(lambda: by(None))
    limit = 1e-4 * float(found.images.abs().max()) if len(found.images) else 0.0
    same = plain is not None and torch.allclose(found.images, plain.images, rtol=0, atol=limit)
    return Form.FILTER if same else Form.GUIDED, found
