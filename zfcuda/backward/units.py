"""Which activations of a layer a method starts from: selected on the layer's own device, without waiting for it."""

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


def check_start(target: Any, layer: str | None, unit: int | None, position: Any) -> None:
    """Refuses a class together with a layer, and a unit or position without one.

    Raises:
        ValueError: naming what is too much.
    """
    if layer is None:
        for name, value in (("unit", unit), ("position", position)):
            if value is not None:
                raise ValueError(f"{name}: expected None without layer=, got {value!r}")
    elif target is not None:
        raise ValueError(f"target: expected None with layer={layer!r}, whose activations have no class, got {target!r}")


@dataclass(frozen=True)
class SelectedUnits:
    """Activations of one layer, strongest first.

    Attributes:
        units: int64 [n].
        places: int64 [n], y * width + x on their maps; None for a vector.
        values: [n].
    """

    units: Tensor
    places: Tensor | None
    values: Tensor

    def positions(self, width: int) -> Tensor | None:
        """The places as int64 [n,2], (y, x) on maps of this width; None for a vector."""
        if self.places is None:
            return None
        return torch.stack([self.places.div(width, rounding_mode="floor"), self.places % width], dim=1)

    def positive(self) -> SelectedUnits:
        """Keeps those whose activation is positive. Waits for the GPU."""
        kept = self.values > 0
        return SelectedUnits(self.units[kept], None if self.places is None else self.places[kept], self.values[kept])

    def listed(self, width: int) -> list[Strongest]:
        """Lists the units one by one; width: of their maps."""
        places = [None] * len(self.units) if self.places is None else self.places.tolist()
        positions = [None if place is None else divmod(place, width) for place in places]
        return [Strongest(*x) for x in zip(self.units.tolist(), positions, self.values.tolist(), strict=True)]


@dataclass(frozen=True)
class UnitSelection:
    """What project() is asked to start from; unit and position are checked against the layer when there is one."""

    layer: str
    unit: int | None
    position: Position
    top: int

    @staticmethod
    def of(layer: str, unit: int | None, position: Any, top: int) -> UnitSelection:
        """The arguments of project().

        Raises:
            TypeError, ValueError: top is not a positive integer.
        """
        top = integer("top", top)
        if top < 1:
            raise ValueError(f"top: expected at least 1, got {top}")
        return UnitSelection(layer, unit, position, top)

    def chosen(self, activation: Tensor) -> SelectedUnits:
        """Selects from the layer's activation, [K,h,w] or [K].

        Raises:
            TypeError, ValueError: naming the argument that does not fit the layer.
        """
        place = None if self.whole or self.position is None else _position(activation, self.layer, self.position)
        if self.unit is None:
            return strongest_units(activation, self.layer, self.top, place)
        return self._of_unit(activation, integer("unit", self.unit), place)

    @property
    def whole(self) -> bool:
        """Whether whole maps are asked for."""
        return isinstance(self.position, str) and self.position == "all"

    def seeds(self, activation: Tensor, selected: SelectedUnits, value: float | None = None) -> Tensor:
        """What the walk back starts from, a seed for each selected activation: the layer, zero everywhere else.

        Args:
            activation: [K,h,w] or [K].
            selected: n of its activations.
            value: what a selected activation becomes, 1 for a gradient; None: itself, or zero where it is negative.

        Returns:
            [n,K,h,w] or [n,K].
        """
        values = activation.clamp(min=0) if value is None else torch.full_like(activation, value)
        if self.whole or selected.places is None:
            mask = torch.arange(len(activation), device=activation.device) == selected.units[:, None]
            mask = mask.view(*mask.shape, *[1] * (activation.ndim - 1))
            return torch.where(mask, values, 0)
        seeds = activation.new_zeros(len(selected.units), activation.numel())
        at = selected.units * activation[0].numel() + selected.places
        seeds.scatter_(1, at[:, None], values.flatten()[at][:, None])
        return seeds.view(-1, *activation.shape)

    def _of_unit(self, activation: Tensor, unit: int, place: tuple[int, int] | None) -> SelectedUnits:
        units = len(activation)
        if not 0 <= unit < units:
            raise ValueError(f"unit: expected 0 to {units - 1}, the units of layer {self.layer!r}, got {unit}")
        own = activation[unit].flatten()
        count = 1 if self.whole or place is not None else own.numel()
        if self.top > count:
            raise ValueError(f"top: expected at most {count} for unit {unit} of layer {self.layer!r}, got {self.top}")
        if place is None:
            places = own.sort(descending=True, stable=True).indices[: self.top]
        else:
            places = torch.full((1,), place[0] * activation.shape[2] + place[1], device=activation.device)
        same = torch.full_like(places, unit)
        return SelectedUnits(same, None if activation.ndim == 1 else places, own[places])


def strongest_units(activation: Tensor, layer: str, top: int, position: tuple[int, int] | None = None) -> SelectedUnits:
    """Selects the strongest units of [K,h,w] or [K], at their strongest place or at a given one."""
    units = len(activation)
    if not 1 <= top <= units:
        raise ValueError(f"top: expected 1 to {units}, the units of layer {layer!r}, got {top}")
    if activation.ndim == 1:
        order = activation.sort(descending=True, stable=True).indices[:top]
        return SelectedUnits(order, None, activation[order])
    if position is None:
        values, places = activation.flatten(1).max(dim=1)  # of equals, the first
    else:
        values = activation[:, position[0], position[1]]
        places = torch.full_like(values, position[0] * activation.shape[2] + position[1], dtype=torch.int64)
    order = values.sort(descending=True, stable=True).indices[:top]
    return SelectedUnits(order, places[order], values[order])


def _position(activation: Tensor, layer: str, position: Any) -> tuple[int, int]:
    if activation.ndim == 1:
        raise ValueError(f"position: expected None, as layer {layer!r} is a vector, got {position!r}")
    if isinstance(position, str) or not isinstance(position, Sequence | Tensor) or len(position) != 2:
        raise ValueError(f"position: expected (y, x), 'all' or None, got {position!r}")
    y, x = (integer("position", value) for value in position)
    height, width = activation.shape[1:]
    if not (0 <= y < height and 0 <= x < width):
        raise ValueError(f"position: expected a place on the {height} x {width} map of layer {layer!r}, got ({y}, {x})")
    return y, x
