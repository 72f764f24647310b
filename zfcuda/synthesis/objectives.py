"""What an image is made for: numbers that a step makes larger. They add up, subtract and scale.

Adding an objective is adding a function here that returns an :class:`Objective`.

Example:
    from zfcuda.synthesis import layer, logit, total_variation, unit
    zfcuda.maximize(model, unit("conv4", 12) - 0.5 * unit("conv4", 7) - 0.01 * total_variation())
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zfcuda.inputs import class_index, integer, number
from zfcuda.synthesis.watched import Seen


@dataclass(frozen=True)
class Objective:
    """A number for each image of a batch.

    Attributes:
        value: what it says of what the model saw: [N], float32 at least, differentiable.
        layers: the layers that it reads.
        logits: whether it reads the model's answer.
        text: what it is, in words.
    """

    value: Callable[[Seen], Tensor]
    layers: tuple[str, ...] = ()
    logits: bool = False
    text: str = "objective"

    def __add__(self, other: Any) -> Objective:
        if not isinstance(other, Objective):
            return NotImplemented
        return Objective(
            lambda seen: self.value(seen) + other.value(seen),
            self.layers + other.layers,
            self.logits or other.logits,
            f"{self.text} + {other.text}",
        )

    def __mul__(self, factor: Any) -> Objective:
        if isinstance(factor, Objective | Tensor):
            return NotImplemented
        weight = number("factor", factor)
        return Objective(lambda seen: self.value(seen) * weight, self.layers, self.logits, f"{weight:g} * {self.text}")

    def __neg__(self) -> Objective:
        return self * -1.0

    def __sub__(self, other: Any) -> Objective:
        return self + -other if isinstance(other, Objective) else NotImplemented

    __rmul__ = __mul__


def unit(layer: str, index: int, position: tuple[int, int] | None = None) -> Objective:
    """A unit of a layer: the mean of its map, or its value at a place (y, x) of the map.

    Raises:
        TypeError, ValueError: (when it is first looked at) the layer, unit or place is none of the model's.
    """
    index = integer("unit", index)
    text = f"{layer}:{index}" + ("" if position is None else "@{},{}".format(*position))

    def value(seen: Seen) -> Tensor:
        found = seen.layers[layer]
        if not 0 <= index < found.shape[1]:
            raise ValueError(f"unit: layer {layer!r} has units 0 to {found.shape[1] - 1}, got {index}")
        of_unit = found[:, index].float()
        if position is None:
            return of_unit.flatten(1).mean(1) if of_unit.ndim > 1 else of_unit
        if of_unit.ndim == 1:
            raise ValueError(f"position: layer {layer!r} is a vector and has no places, got {position}")
        y, x = position
        if not (0 <= y < of_unit.shape[1] and 0 <= x < of_unit.shape[2]):
            high, wide = of_unit.shape[1:]
            raise ValueError(f"position: the map of {layer!r} is {high} x {wide}, got {position}")
        return of_unit[:, y, x]

    return Objective(value, (layer,), text=text)


def layer(name: str) -> Objective:
    """A whole layer: half the mean square of its values, whose gradient there is the layer itself (DeepDream)."""
    return Objective(lambda seen: seen.layers[name].float().square().flatten(1).mean(1) / 2, (name,), text=name)


def logit(target: int | str) -> Objective:
    """A class, by index or name: its logit, before any softmax (Simonyan et al. 2013, section 2)."""

    def value(seen: Seen) -> Tensor:
        scores = seen.scores()
        return scores[:, class_index(target, scores.shape[1], seen.classes)]

    return Objective(value, logits=True, text=str(target))


def total_variation(power: float = 1.0) -> Objective:
    """How much neighbouring pixels of an image differ: the mean of (dx^2 + dy^2)^(power / 2), power 1 or 2.

    Source: Mahendran & Vedaldi 2014, equation 3, with the mean in the place of the sum.
    """

    def value(seen: Seen) -> Tensor:
        images = seen.images.float()
        dx = (images[..., :-1, 1:] - images[..., :-1, :-1]).square()
        dy = (images[..., 1:, :-1] - images[..., :-1, :-1]).square()
        squares = dx + dy
        if power != 2:
            squares = (squares + 1e-12).pow(power / 2)  # its derivative at 0 is not infinite
        return squares.flatten(1).mean(1)

    return Objective(value, text=f"total variation {power:g}")


def l2() -> Objective:
    """The mean square of an image's values, in the network's input units."""
    return Objective(lambda seen: seen.images.float().square().flatten(1).mean(1), text="L2")


def content(layer: str, code: Tensor) -> Objective:
    """Minus the mean square difference of a layer from a code [1,K,h,w] or [1,K] (Gatys et al. 2016, equation 1)."""

    def value(seen: Seen) -> Tensor:
        return -(seen.layers[layer].float() - code.float()).square().flatten(1).mean(1)

    return Objective(value, (layer,), text=f"content of {layer}")


def direction(layer: str, vector: Tensor) -> Objective:
    """A direction among the units of a layer, such as the difference of two codes [K]: its mean dot product."""

    def value(seen: Seen) -> Tensor:
        found = seen.layers[layer].float()
        return torch.einsum("nk...,k->n...", found, vector.to(found)).flatten(1).mean(1)

    return Objective(value, (layer,), text=f"direction in {layer}")


def each(objectives: Sequence[Objective]) -> Objective:
    """For each image of a batch an objective of its own, such as nine units in one run.

    Raises:
        ValueError: there are none; (when it is first looked at) there are not as many as there are images.
    """
    if not objectives:
        raise ValueError("objectives: expected at least one, got none")
    ours = tuple(objectives)

    def value(seen: Seen) -> Tensor:
        if len(ours) != len(seen.images):
            raise ValueError(f"objectives: expected one for each of {len(seen.images)} images, got {len(ours)}")
        return torch.cat([one.value(seen.of(image)) for image, one in enumerate(ours)])

    return Objective(
        value,
        tuple(dict.fromkeys(layer for one in ours for layer in one.layers)),
        any(one.logits for one in ours),
        ", ".join(one.text for one in ours),
    )
