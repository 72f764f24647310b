"""The deconvnet: from an activation of any layer back to the pixels (Zeiler & Fergus, section 2.1)."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zfcuda.network import Network, Node, Ref, evaluating, trace
from zfcuda.network.hooks import watch
from zfcuda.transposes import RULES, Transpose, UnsupportedError, signal_slots

_CHUNK = 2**26  # elements of the largest map, over all seeds that walk back together


class Strongest(NamedTuple):
    """A unit of a layer, where on its map it is strongest (None for a vector), and how strong."""

    unit: int
    position: tuple[int, int] | None
    value: float


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
    top = _integer("top", top)
    if top < 1:
        raise ValueError(f"top: expected at least 1, got {top}")
    if lrn not in ("identity", "divide"):
        raise ValueError(f"lrn: expected 'identity' or 'divide', got {lrn!r}")
    with torch.no_grad(), _deterministic():
        there = _run(trace(model), image, layer, lrn)
        seeds = _seeds(there.activation[0], layer, unit, position, top)
        chunk = max(1, _CHUNK // there.largest)
        parts = [there.walk_back(seeds[i : i + chunk]) for i in range(0, top, chunk)]
        return torch.cat(parts).to(image.dtype).contiguous()


def strongest(model: nn.Module | Network, image: Tensor, layer: str, top: int = 9) -> list[Strongest]:
    """The units of a layer with the largest activations, strongest first: those that project() takes.

    Args and errors: as for project; what lies between the layer and the pixels does not matter.
    """
    with torch.no_grad():
        activation = _run(trace(model), image, layer, None).activation[0]
        return _strongest(activation, layer, _integer("top", top), None)


# ---------------------------------------------------------------- forward


@dataclass(frozen=True)
class _Step:
    """One node on the way: where its signal goes on to, and how."""

    index: int
    sources: list[int]
    transpose: Transpose


@dataclass(frozen=True)
class _Pass:
    """A forward pass up to a layer, with the way back."""

    activation: Tensor  # [1,K,h,w] or [1,K]
    output: int
    steps: list[_Step]
    largest: int  # elements of the largest map

    def walk_back(self, seed: Tensor) -> Tensor:
        """[n,*activation.shape[1:]] -> [n,C,H,W]."""
        signals = {self.output: seed}
        for step in reversed(self.steps):
            signal = signals.pop(step.index, None)
            if signal is None:
                continue
            for source, part in zip(step.sources, step.transpose(signal), strict=True):
                if part is None:
                    raise ValueError("layer: cannot be projected through an addition of different ranks")
                # A value with several readers gets the sum of what they send back.
                signals[source] = signals[source] + part if source in signals else part
        (picture,) = signals.values()
        return picture


def _run(network: Network, image: Tensor, layer: str, lrn: str | None) -> _Pass:
    """Runs the network up to the layer; with lrn also keeps the way back."""
    output = network.node(layer)
    batch = _checked(network, image)
    nodes = network.ancestors([output.index])
    sees = _dependents(nodes)
    if output.index not in sees:
        raise ValueError(f"layer: the output of {layer!r} does not depend on the picture")
    if lrn is not None:
        for node in nodes:
            if node.index in sees:
                _refuse_unless_known(node, sees, layer)
    check = watch(network, batch, layer)
    values: dict[int, Any] = {}
    steps: list[_Step] = []
    largest = batch.numel()
    with evaluating(network.model):
        for node in nodes:
            if node.kind == "input":
                values[node.index] = batch
                continue
            arguments = node.resolve(values)
            try:
                if lrn is None or node.index not in sees:
                    values[node.index] = node.run(arguments)
                    continue
                value, transpose = RULES[node.kind](arguments, lrn)
            except UnsupportedError as refusal:
                raise ValueError(_refusal(layer, node, str(refusal))) from None
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                raise ValueError(f"image: {_shape(batch)} does not fit {node.label}: {reason}") from error
            values[node.index] = value
            largest = max(largest, value.numel())
            steps.append(_Step(node.index, *_only(sees, node, transpose)))
    activation = values[output.index]
    if not isinstance(activation, Tensor) or activation.ndim not in (2, 4) or activation.shape[0] != 1:
        kind = _shape(activation) if isinstance(activation, Tensor) else type(activation).__name__
        raise ValueError(f"layer: {layer!r} gives {kind}, neither a map [1,K,h,w] nor a vector [1,K]")
    if not activation.isfinite().all():
        raise ValueError(f"layer: the output of {layer!r} contains NaN or infinite values")
    check(activation)
    return _Pass(activation, output.index, steps, largest)


def _dependents(nodes: Sequence[Node]) -> set[int]:
    """Those whose value depends on the pixels, not just on the picture's size."""
    found: set[int] = set()
    for node in nodes:
        if node.kind == "input" or (not node.is_shape_query and not found.isdisjoint(node.refs)):
            found.add(node.index)
    return found


def _refuse_unless_known(node: Node, sees: set[int], layer: str) -> None:
    if node.kind == "input":
        return
    if node.kind not in RULES:
        raise ValueError(_refusal(layer, node, ""))
    signals = {slot.index for slot in signal_slots(node) if isinstance(slot, Ref)}
    if not sees.isdisjoint(set(node.refs) - signals):
        raise ValueError(_refusal(layer, node, "its weights or settings depend on the picture"))


def _refusal(layer: str, node: Node, reason: str) -> str:
    because = f": {reason}" if reason else ""
    return f"layer: {layer!r} cannot be projected, because {node.label} lies between it and the pixels{because}"


def _only(sees: set[int], node: Node, transpose: Transpose) -> tuple[list[int], Transpose]:
    """The sources of a node that depend on the picture, and the transpose for them alone."""
    slots = signal_slots(node)
    kept = [i for i, slot in enumerate(slots) if isinstance(slot, Ref) and slot.index in sees]
    sources = [slots[i].index for i in kept]
    return sources, transpose if len(kept) == len(slots) else lambda signal: [transpose(signal)[i] for i in kept]


def _checked(network: Network, image: Tensor) -> Tensor:
    """The picture as [1,C,H,W]."""
    if not isinstance(image, Tensor):
        raise TypeError(f"image: expected a torch.Tensor, got {type(image).__name__}")
    if not image.is_floating_point():
        raise TypeError(f"image: expected a floating dtype, got {image.dtype}")
    if image.ndim not in (3, 4) or (image.ndim == 4 and image.shape[0] != 1) or image.numel() == 0:
        raise ValueError(f"image: expected [C,H,W] or [1,C,H,W], got {_shape(image)}")
    weights = [x for x in network.model.parameters() if x.is_floating_point()]
    if weights and image.device not in {x.device for x in weights}:
        raise ValueError(f"image: is on {image.device}, the model on {weights[0].device}")
    if weights and image.dtype not in {x.dtype for x in weights} and not torch.is_autocast_enabled(image.device.type):
        raise TypeError(f"image: is {image.dtype}, the model's weights are {weights[0].dtype}")
    if not image.isfinite().all():
        raise ValueError("image: contains NaN or infinite values")
    batch = image.detach() if image.ndim == 4 else image.detach()[None]
    return batch


def _shape(x: Tensor) -> str:
    return f"[{','.join(map(str, x.shape))}]"


@contextmanager
def _deterministic() -> Iterator[None]:
    """cuDNN's transposed convolutions add in an order that changes from run to run, unless told otherwise."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


# ---------------------------------------------------------------- seeds


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {value!r}") from None


def _strongest(activation: Tensor, layer: str, top: int, position: tuple[int, int] | None) -> list[Strongest]:
    """The strongest units of [K,h,w] or [K], at their strongest place or at a given one."""
    units = activation.shape[0]
    if not 1 <= top <= units:
        raise ValueError(f"top: expected 1 to {units}, the units of layer {layer!r}, got {top}")
    if activation.ndim == 1:
        value, place = activation, None
    elif position is None:
        value, place = activation.flatten(1).max(dim=1)  # of equals, the first
    else:
        value, place = activation[:, position[0], position[1]], None
    order = value.sort(descending=True, stable=True).indices[:top].tolist()
    if place is not None:
        positions: list[tuple[int, int] | None] = [divmod(p, activation.shape[2]) for p in place[order].tolist()]
    else:
        positions = [position] * top
    return [Strongest(*found) for found in zip(order, positions, value[order].tolist(), strict=True)]


def _seeds(
    activation: Tensor, layer: str, unit: int | None, position: tuple[int, int] | str | None, top: int
) -> Tensor:
    """[top,*activation.shape]: the layer with everything but the chosen activations set to zero."""
    whole = position == "all" if isinstance(position, str) else False
    place = None if whole or position is None else _position(activation, layer, position)
    if unit is None:
        chosen = _strongest(activation, layer, top, place)
    else:
        chosen = _of_unit(activation, layer, _integer("unit", unit), place, top, whole)
    seeds = activation.new_zeros(top, *activation.shape)
    for seed, found in zip(seeds, chosen, strict=True):
        at = (found.unit,) if whole or found.position is None else (found.unit, *found.position)
        seed[at] = activation[at].clamp(min=0)
    silent = [found for found in chosen if found.value <= 0]
    if silent:
        names = ", ".join(f"{found.unit} ({found.value:.3g})" for found in silent[:9])
        warnings.warn(
            f"project: of layer {layer!r} the activation is not positive for unit {names}; its projection is zero",
            stacklevel=3,
        )
    return seeds


def _position(activation: Tensor, layer: str, position: Any) -> tuple[int, int]:
    if activation.ndim == 1:
        raise ValueError(f"position: layer {layer!r} is a vector, it has no map, got {position!r}")
    if isinstance(position, str) or not isinstance(position, Sequence | Tensor) or len(position) != 2:
        raise ValueError(f"position: expected (y, x), 'all' or None, got {position!r}")
    y, x = (_integer("position", value) for value in position)
    height, width = activation.shape[1:]
    if not (0 <= y < height and 0 <= x < width):
        raise ValueError(f"position: ({y}, {x}) is outside the map of layer {layer!r}, {height} x {width}")
    return y, x


def _of_unit(
    activation: Tensor, layer: str, unit: int, place: tuple[int, int] | None, top: int, whole: bool
) -> list[Strongest]:
    units = activation.shape[0]
    if not 0 <= unit < units:
        raise ValueError(f"unit: expected 0 to {units - 1}, the units of layer {layer!r}, got {unit}")
    places = 1 if whole or place is not None else activation[unit].numel()
    if top > places:
        raise ValueError(f"top: unit {unit} of layer {layer!r} has {places} such place(s), got {top}")
    own = activation[unit].flatten()
    if place is not None:
        return [Strongest(unit, place, float(activation[unit, place[0], place[1]]))]
    order = own.sort(descending=True, stable=True).indices[:top].tolist()
    return [
        Strongest(unit, None if activation.ndim == 1 else divmod(i, activation.shape[2]), float(own[i])) for i in order
    ]
