"""The strongest units of a layer, projected back to the pixels, or the reason why they cannot be."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from zfcuda.backward.deconvnet import Projections, projections
from zfcuda.backward.units import SelectedUnits, strongest_units
from zfcuda.network import Network, receptive_field, trace
from zfcuda.report.attempt import attempted
from zfcuda.report.explanation import Layer, Unit
from zfcuda.report.layers import ConvLayer
from zfcuda.report.prepare import Prepared


def projected(p: Prepared, layers: Iterable[ConvLayer], top: int) -> tuple[Layer, ...]:
    """The `top` strongest units of each of the layers."""
    network, unfollowed = attempted(lambda: trace(p.subject.model, p.image))
    return tuple(_layer(p, network, unfollowed, layer, top) for layer in layers)


def _layer(p: Prepared, network: Network | None, unfollowed: str, layer: ConvLayer, top: int) -> Layer:
    maps, high, wide = layer.activity.shape
    # What is not positive is left out: to project silence shows nothing.
    strongest = strongest_units(layer.activity, layer.name, min(top, maps)).positive()
    field, there, refusal = None, None, unfollowed
    if network is not None:
        field, _ = attempted(lambda: receptive_field(network, layer.output, tuple(p.image.shape[-3:])))
        if len(strongest.units):
            there, refusal = attempted(lambda: _projections(p, network, layer, len(strongest.units)))
    signals: list[Tensor | None] = [None] * len(strongest.units)
    if there is not None:
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
    return Layer(layer.name, maps, (high, wide), None if field is None else field.size, units, refusal=refusal)


def _projections(p: Prepared, network: Network, layer: ConvLayer, top: int) -> Projections:
    return projections(network, p.image, layer.output, top=top, positive=True, own=layer.activity[None])
