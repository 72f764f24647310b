"""The deconvnet: from an activation of any layer back to the pixels (Zeiler & Fergus, section 2.1)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.backward.rules import RULES, Transpose, UnsupportedError, signal_slots
from zfcuda.backward.units import Chosen, Question, Strongest, strongest_units
from zfcuda.inputs import checked_image, integer
from zfcuda.network import Network, Node, Ref, evaluating, trace
from zfcuda.network.hooks import watch

_CHUNK = 2**26  # elements of the largest map, over all seeds that walk back together


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
        route = Route.of(network, layer, lrn)
        batch = route.checked(image)
        check = watch(network, batch, layer)
        there = route.forward(batch)
        check_finite(there.finite(batch), layer)
        check(there.activation)
        chosen = question.chosen(there.activation[0])
        warn_of_silence(chosen, layer)
        return there.projections(question.seeds(there.activation[0], chosen)).to(image.dtype)


def strongest(model: nn.Module | Network, image: Tensor, layer: str, top: int = 9) -> list[Strongest]:
    """The units of a layer with the largest activations, strongest first: those that project() takes.

    Args and errors: as for project; what lies between the layer and the pixels does not matter.
    """
    network = trace(model)
    with torch.no_grad():
        route = Route.of(network, layer, None)
        batch = route.checked(image)
        check = watch(network, batch, layer)
        there = route.forward(batch)
        activation = there.activation
        check_finite(there.finite(batch), layer)
        check(activation)
        return strongest_units(activation[0], layer, integer("top", top)).listed(activation.shape[-1])


def asked(layer: str, unit: int | None, position: Any, top: int, lrn: str) -> Question:
    """The arguments of project(), as far as they can be checked without the network."""
    top = integer("top", top)
    if top < 1:
        raise ValueError(f"top: expected at least 1, got {top}")
    if lrn not in ("identity", "divide"):
        raise ValueError(f"lrn: expected 'identity' or 'divide', got {lrn!r}")
    return Question(layer, unit, position, top)


def check_finite(finite: Tensor, layer: str) -> None:
    """finite: bool [2], of the picture and of the layer."""
    picture, activation = finite.tolist()
    if not picture:
        raise ValueError("image: expected finite values, got NaN or infinity")
    if not activation:
        raise ValueError(f"layer: the output of {layer!r} contains NaN or infinite values")


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

    def finite(self, batch: Tensor) -> Tensor:
        """bool [2]: whether the picture is, and the layer."""
        return torch.stack([batch.isfinite().all(), self.activation.isfinite().all()])

    def projections(self, seeds: Tensor) -> Tensor:
        """[n,*activation.shape[1:]] -> [n,C,H,W]."""
        chunk = max(1, _CHUNK // self.largest)
        return torch.cat([self._walk_back(part) for part in seeds.split(chunk)]).contiguous()

    def _walk_back(self, seed: Tensor) -> Tensor:
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


@dataclass(frozen=True)
class Route:
    """The nodes from the picture to a layer. lrn: as in project(); None: no way back is needed."""

    network: Network
    layer: str
    lrn: str | None
    nodes: Sequence[Node]
    sees: set[int]  # those whose value depends on the pixels
    output: int

    @staticmethod
    def of(network: Network, layer: str, lrn: str | None) -> Route:
        """Raises:
        TypeError, ValueError: the layer is unknown, or something before it has no transpose.
        """
        output = network.node(layer).index
        nodes = network.ancestors([output])
        sees = _dependents(nodes)
        if output not in sees:
            raise ValueError(f"layer: the output of {layer!r} does not depend on the picture")
        if lrn is not None:
            for node in nodes:
                if node.index in sees:
                    _refuse_unless_known(node, sees, layer)
        return Route(network, layer, lrn, nodes, sees, output)

    def checked(self, image: Tensor) -> Tensor:
        """The picture as [1,C,H,W]."""
        return checked_image(image, self.network.model)

    def forward(self, batch: Tensor) -> _Pass:
        """Runs the network up to the layer; with lrn also keeps the way back. Waits for no GPU. batch: [1,C,H,W]."""
        values: dict[int, Any] = {}
        steps: list[_Step] = []
        largest = batch.numel()
        with evaluating(self.network.model):
            for node in self.nodes:
                if node.kind == "input":
                    values[node.index] = batch
                    continue
                arguments = node.resolve(values)
                try:
                    if self.lrn is None or node.index not in self.sees:
                        values[node.index] = node.run(arguments)
                        continue
                    value, transpose = RULES[node.kind](arguments, self.lrn)
                except UnsupportedError as refusal:
                    raise ValueError(_refusal(self.layer, node, str(refusal))) from None
                except torch.OutOfMemoryError:
                    raise
                except RuntimeError as error:
                    reason = str(error).splitlines()[0]
                    raise ValueError(f"image: {_shape(batch)} does not fit {node.label}: {reason}") from error
                values[node.index] = value
                largest = max(largest, value.numel())
                steps.append(_Step(node.index, *_only(self.sees, node, transpose)))
        activation = values[self.output]
        if not isinstance(activation, Tensor) or activation.ndim not in (2, 4) or activation.shape[0] != 1:
            kind = _shape(activation) if isinstance(activation, Tensor) else type(activation).__name__
            raise ValueError(f"layer: {self.layer!r} gives {kind}, neither a map [1,K,h,w] nor a vector [1,K]")
        return _Pass(activation, self.output, steps, largest)


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


def _shape(x: Tensor) -> str:
    return f"[{','.join(map(str, x.shape))}]"


@contextmanager
def deterministic() -> Iterator[None]:
    """cuDNN's transposed convolutions add in an order that changes from run to run, unless told otherwise."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
