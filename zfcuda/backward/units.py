"""Which activations of a layer a projection starts from. Chosen on the layer's own device, without waiting for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zfcuda.inputs import integer

Position = tuple[int, int] | str | None


class Strongest(NamedTuple):
    """A unit of a layer, where on its map it is strongest (None for a vector), and how strong."""

    unit: int
    position: tuple[int, int] | None
    value: float


@dataclass(frozen=True)
class Chosen:
    """Activations of one layer: units int64 [top], values [top], strongest first; places int64 [top], y * width + x on
    their maps, None for a vector.
    """

    units: Tensor
    places: Tensor | None
    values: Tensor

    def positions(self, width: int) -> Tensor | None:
        """int64 [top,2], (y, x) on maps of this width; None for a vector."""
        if self.places is None:
            return None
        return torch.stack([self.places.div(width, rounding_mode="floor"), self.places % width], dim=1)

    def positive(self) -> Chosen:
        """Those whose activation is positive. Waits for the GPU."""
        kept = self.values > 0
        return Chosen(self.units[kept], None if self.places is None else self.places[kept], self.values[kept])

    def listed(self, width: int) -> list[Strongest]:
        """width: of the map."""
        places = [None] * len(self.units) if self.places is None else self.places.tolist()
        positions = [None if place is None else divmod(place, width) for place in places]
        return [Strongest(*x) for x in zip(self.units.tolist(), positions, self.values.tolist(), strict=True)]


@dataclass(frozen=True)
class Question:
    """What project() is asked for; the numbers are checked against the layer's shape, [K,h,w] or [K]."""

    layer: str
    unit: int | None
    position: Position
    top: int

    def chosen(self, activation: Tensor) -> Chosen:
        """The activations of [K,h,w] or [K].

        Raises:
            TypeError, ValueError: naming the argument that does not fit the layer.
        """
        place = None if self.whole or self.position is None else _position(activation, self.layer, self.position)
        if self.unit is None:
            return strongest_units(activation, self.layer, self.top, place)
        return self._of_unit(activation, integer("unit", self.unit), place)

    @property
    def whole(self) -> bool:
        """Whether it is about whole maps."""
        return isinstance(self.position, str) and self.position == "all"

    def seeds(self, activation: Tensor, chosen: Chosen, value: float | None = None) -> Tensor:
        """[n,*activation.shape], n as many as are chosen: zero but at the chosen activations.

        value: what is there, 1 for a gradient; None: the activation itself, where it is positive.
        """
        values = activation.clamp(min=0) if value is None else torch.full_like(activation, value)
        if self.whole or chosen.places is None:
            mask = torch.arange(len(activation), device=activation.device) == chosen.units[:, None]
            mask = mask.view(*mask.shape, *[1] * (activation.ndim - 1))
            return torch.where(mask, values, 0)
        seeds = activation.new_zeros(len(chosen.units), activation.numel())
        at = chosen.units * activation[0].numel() + chosen.places
        seeds.scatter_(1, at[:, None], values.flatten()[at][:, None])
        return seeds.view(-1, *activation.shape)

    def _of_unit(self, activation: Tensor, unit: int, place: tuple[int, int] | None) -> Chosen:
        units = len(activation)
        if not 0 <= unit < units:
            raise ValueError(f"unit: expected 0 to {units - 1}, the units of layer {self.layer!r}, got {unit}")
        own = activation[unit].flatten()
        count = 1 if self.whole or place is not None else own.numel()
        if self.top > count:
            raise ValueError(f"top: unit {unit} of layer {self.layer!r} has {count} such place(s), got {self.top}")
        if place is None:
            places = own.sort(descending=True, stable=True).indices[: self.top]
        else:
            places = torch.full((1,), place[0] * activation.shape[2] + place[1], device=activation.device)
        same = torch.full_like(places, unit)
        return Chosen(same, None if activation.ndim == 1 else places, own[places])


def strongest_units(activation: Tensor, layer: str, top: int, position: tuple[int, int] | None = None) -> Chosen:
    """The strongest units of [K,h,w] or [K], at their strongest place or at a given one."""
    units = len(activation)
    if not 1 <= top <= units:
        raise ValueError(f"top: expected 1 to {units}, the units of layer {layer!r}, got {top}")
    if activation.ndim == 1:
        order = activation.sort(descending=True, stable=True).indices[:top]
        return Chosen(order, None, activation[order])
    if position is None:
        values, places = activation.flatten(1).max(dim=1)  # of equals, the first
    else:
        values = activation[:, position[0], position[1]]
        places = torch.full_like(values, position[0] * activation.shape[2] + position[1], dtype=torch.int64)
    order = values.sort(descending=True, stable=True).indices[:top]
    return Chosen(order, places[order], values[order])


def _position(activation: Tensor, layer: str, position: Any) -> tuple[int, int]:
    if activation.ndim == 1:
        raise ValueError(f"position: layer {layer!r} is a vector, it has no map, got {position!r}")
    if isinstance(position, str) or not isinstance(position, Sequence | Tensor) or len(position) != 2:
        raise ValueError(f"position: expected (y, x), 'all' or None, got {position!r}")
    y, x = (integer("position", value) for value in position)
    height, width = activation.shape[1:]
    if not (0 <= y < height and 0 <= x < width):
        raise ValueError(f"position: ({y}, {x}) is outside the map of layer {layer!r}, {height} x {width}")
    return y, x
