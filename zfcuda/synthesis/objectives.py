"""What an image is made for: numbers that a step makes larger. They add up, subtract and scale.

Adding an objective is adding a function here that returns an :class:`Objective`.

Example:
    from zfcuda.synthesis import layer, logit, total_variation, unit
    zfcuda.maximize(model, unit("conv4", 12) - 0.5 * unit("conv4", 7) - 0.01 * total_variation())
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda.inputs import above, class_index, integer, number
from zfcuda.network.graph import spoken_shape
from zfcuda.synthesis.precision import as_it_is
from zfcuda.synthesis.watched import Seen

_BELOW = 0.1  # what negative values count in the mean of a map


@dataclass(frozen=True)
class Objective:
    """A number for each image of a batch.

    Attributes:
        value: what it says of what the model saw: [N], float32 at least, differentiable.
        layers: the layers that it reads.
        logits: whether it reads the model's answer.
        text: what it is, in words.
        together: whether what it says of an image depends on the others.
    """

    value: Callable[[Seen], Tensor]
    layers: tuple[str, ...] = ()
    logits: bool = False
    text: str = "objective"
    together: bool = False

    def __add__(self, other: Any) -> Objective:
        if not isinstance(other, Objective):
            return NotImplemented
        return Objective(
            lambda seen: self.value(seen) + other.value(seen),
            self.layers + other.layers,
            self.logits or other.logits,
            f"{self.text} + {other.text}",
            self.together or other.together,
        )

    def __radd__(self, other: Any) -> Objective:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # which sum() begins with

    def __mul__(self, factor: Any) -> Objective:
        if isinstance(factor, Objective | Tensor):
            return NotImplemented
        weight = number("factor", factor)
        if not math.isfinite(weight):
            raise ValueError(f"factor: expected a finite number, got {factor!r}")
        inner = f"({self.text})" if " + " in self.text else self.text
        return replace(self, value=lambda seen: self.value(seen) * weight, text=f"{weight:g} * {inner}")

    def __neg__(self) -> Objective:
        return self * -1.0

    def __sub__(self, other: Any) -> Objective:
        return self + -other if isinstance(other, Objective) else NotImplemented

    __rmul__ = __mul__


def unit(layer: str, index: int, position: tuple[int, int] | None = None) -> Objective:
    """A unit of a layer: the mean of its map, or its value at a place (y, x) of the map.

    In the mean, what is below 0 counts a tenth: the rectifier behind most layers leaves nothing of it, and the unit's
    image would otherwise be one that nowhere has what it is against.

    Raises:
        TypeError: index or position are no integers.
        ValueError: one is below 0; and, when it is first looked at, the layer, unit or place is none of the model's.
    """
    index = integer("unit", index, 0)
    place = None if position is None else _place(position)
    text = f"{layer}:{index}" + ("" if place is None else f"@{place[0]},{place[1]}")

    def value(seen: Seen) -> Tensor:
        found = seen.layers[layer]
        if index >= found.shape[1]:
            raise ValueError(f"unit: layer {layer!r} has units 0 to {found.shape[1] - 1}, got {index}")
        of_unit = found[:, index].float()
        if place is None:
            return F.leaky_relu(of_unit, _BELOW).flatten(1).mean(1) if of_unit.ndim > 1 else of_unit
        if of_unit.ndim == 1:
            raise ValueError(f"position: layer {layer!r} is a vector and has no places, got {place}")
        high, wide = of_unit.shape[1:]
        if place[0] >= high or place[1] >= wide:
            raise ValueError(f"position: the map of {layer!r} is {high} x {wide}, got {place}")
        return of_unit[:, place[0], place[1]]

    return Objective(value, (layer,), text=text)


def layer(name: str) -> Objective:
    """A whole layer: half the mean square of its values, whose gradient there is the layer itself (DeepDream)."""
    return Objective(lambda seen: seen.layers[name].float().square().flatten(1).mean(1) / 2, (name,), text=str(name))


def logit(target: int | str) -> Objective:
    """A class, by index or name: its logit, before any softmax (Simonyan et al. 2013, section 2).

    Raises:
        TypeError, ValueError: (when it is first looked at) it is no class of the model.
    """

    def value(seen: Seen) -> Tensor:
        scores = seen.scores()
        return scores[:, class_index(target, scores.shape[1], seen.classes)]

    return Objective(value, logits=True, text=f"class {target}")


def diversity(layer: str) -> Objective:
    """How much an image differs in a layer from the others of its batch: minus the mean cosine of their Gram matrices.

    0 of an image alone. The sum over a batch has each pair twice. Source: Olah, Mordvintsev & Schubert, "Feature
    Visualization", Distill 2017, appendix.
    """

    def value(seen: Seen) -> Tensor:
        found = seen.layers[layer].float().flatten(2) if seen.layers[layer].ndim > 2 else seen.layers[layer][..., None]
        with as_it_is(found):
            styles = F.normalize((found.float() @ found.float().mT).flatten(1), dim=1)
            alike = styles @ styles.mT
        count = len(styles)
        alike = alike.masked_fill(torch.eye(count, dtype=torch.bool, device=styles.device), 0.0)
        return -alike.sum(1) / max(count - 1, 1)

    return Objective(value, (layer,), text=f"diversity in {layer}", together=True)


def total_variation(power: float = 1.0) -> Objective:
    """How much neighbouring pixels of an image differ: the mean of (dx^2 + dy^2)^(power / 2), power 1 or 2.

    Source: Mahendran & Vedaldi 2014, equation 3, with the mean in the place of the sum.

    Raises:
        TypeError, ValueError: power is no number above 0.
    """
    power = above("power", power)

    def value(seen: Seen) -> Tensor:
        images = seen.images.float()
        dx = (images[..., :-1, 1:] - images[..., :-1, :-1]).square()
        dy = (images[..., 1:, :-1] - images[..., :-1, :-1]).square()
        squares = dx + dy
        if power != 2:
            squares = (squares + 1e-12).pow(power / 2)  # its derivative at 0 is not infinite
        return squares.flatten(1).sum(1) / max(squares[0].numel(), 1)

    return Objective(value, text="total variation" if power == 1 else f"total variation {power:g}")


def l2() -> Objective:
    """The mean square of an image's values, in the network's input units."""
    return Objective(lambda seen: seen.images.float().square().flatten(1).mean(1), text="L2")


def content(layer: str, code: Tensor) -> Objective:
    """Minus the mean square difference of a layer from a code [1,K,h,w] or [1,K] (Gatys et al. 2016, equation 1).

    Raises:
        ValueError: (when it is first looked at) the layer has another shape.
    """

    def value(seen: Seen) -> Tensor:
        found = seen.layers[layer].float()
        if code.shape[1:] != found.shape[1:] or len(code) not in (1, len(found)):
            expected = spoken_shape((1, *found.shape[1:]))
            raise ValueError(f"code: expected {expected}, as layer {layer!r} is, got {spoken_shape(code.shape)}")
        return -(found - code.to(found)).square().flatten(1).mean(1)

    return Objective(value, (layer,), text=f"content of {layer}")


def direction(layer: str, vector: Tensor) -> Objective:
    """A direction among the units of a layer, such as the difference of two codes [K]: its mean dot product.

    Raises:
        ValueError: (when it is first looked at) the layer has another number of units.
    """

    def value(seen: Seen) -> Tensor:
        found = seen.layers[layer].float()
        if vector.shape != found.shape[1:2]:
            expected = f"[{found.shape[1]}], as layer {layer!r} has units"
            raise ValueError(f"vector: expected {expected}, got {spoken_shape(vector.shape)}")
        ours = vector.detach().to(found, copy=True)  # one that was made in inference mode takes part in no gradient
        with as_it_is(found):
            return torch.einsum("nk...,k->n...", found, ours).flatten(1).mean(1)

    return Objective(value, (layer,), text=f"direction in {layer}")


def each(objectives: Sequence[Objective]) -> Objective:
    """For each image of a batch an objective of its own, such as nine units in one run.

    Raises:
        TypeError: one of them is no Objective.
        ValueError: there are none; (when it is first looked at) there are not as many as there are images.
    """
    if not objectives:
        raise ValueError("objectives: expected at least one, got none")
    ours = tuple(objectives)
    for one in ours:
        if not isinstance(one, Objective):
            raise TypeError(f"objectives: expected unit(...) and the like, got {one!r}")

    def value(seen: Seen) -> Tensor:
        if len(ours) != seen.total:
            raise ValueError(f"objectives: expected one for each of {seen.total} images, got {len(ours)}")
        return torch.cat([ours[seen.first + image].value(seen.of(image)) for image in range(len(seen.images))])

    return Objective(
        value,
        tuple(dict.fromkeys(layer for one in ours for layer in one.layers)),
        any(one.logits for one in ours),
        ", ".join(dict.fromkeys(one.text for one in ours)),
        any(one.together for one in ours),
    )


def _place(position: Any) -> tuple[int, int]:
    try:
        y, x = position
    except (TypeError, ValueError):
        raise TypeError(f"position: expected a place (y, x), got {position!r}") from None
    return integer("position", y, 0), integer("position", x, 0)
