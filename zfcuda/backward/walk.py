"""The walk: forward through a network to one layer, and back from there to the pixels, a rule per kind of layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.backward.linear import values_read
from zfcuda.backward.rules import Rules
from zfcuda.backward.stages import node_of, stages
from zfcuda.backward.way import UnsupportedError, Way, WayBack
from zfcuda.batches import checked_images
from zfcuda.inputs import checked_image
from zfcuda.misfit import misfit
from zfcuda.network import Network, Node, evaluating, trace
from zfcuda.network.graph import first_line, spoken_shape
from zfcuda.network.intact import deterministic
from zfcuda.network.own import off, own_value, refuse_if_off


class UnprojectableError(ValueError):
    """Raised where a layer cannot be projected because of what lies between it and the pixels; the message names it."""


_CHUNK = 2**26  # elements of the largest map, over all seeds that walk back together


@dataclass(frozen=True)
class _Step:
    """One node on the way: where its signal goes on to, and how."""

    index: int
    sources: list[int]
    back: WayBack


@dataclass(frozen=True)
class ForwardPass:
    """A forward pass of N images up to a layer, with the way back."""

    activation: Tensor  # [N,K,h,w] or [N,K]
    image_shape: torch.Size  # [N,C,H,W]
    input: int  # the image's node
    output: int  # the layer's node
    steps: list[_Step]
    largest: int  # elements of the largest map

    def finite(self, batch: Tensor) -> Tensor:
        """Whether the images are finite, and whether the layer is: bool [2], which waits for no GPU."""
        return torch.stack([torch.stack(batch.aminmax()).isfinite().all(), self.activation.isfinite().all()])

    def projections(self, seeds: Tensor) -> Tensor:
        """Walks seeds of one image, [n,K,h,w] or [n,K], back to the pixels, [n,C,H,W]."""
        if not len(seeds):
            return seeds.new_empty(0, *self.image_shape[1:])
        chunk = max(1, _CHUNK // self.largest)
        return torch.cat([self._walk_back(part[:, None])[:, 0] for part in seeds.split(chunk)]).contiguous()

    def of_each(self, seeds: Tensor) -> Tensor:
        """Walks one seed for each image, [N,K,h,w] or [N,K], back to the pixels, [N,C,H,W]."""
        return self._walk_back(seeds[None])[0].contiguous()

    def _walk_back(self, seed: Tensor) -> Tensor:
        """[n,N,K,h,w] or [n,N,K] -> [n,N,C,H,W]."""
        signals: dict[int, Any] = {self.output: seed}
        for step in reversed(self.steps):
            signal = signals.pop(step.index, None)
            if signal is None:
                continue
            for source, part in zip(step.sources, step.back(signal), strict=True):
                # A value with several readers gets the sum of what they send back.
                signals[source] = _sum(signals.get(source), part)
        pixels: Tensor | None = signals.get(self.input)
        return seed.new_zeros(len(seed), *self.image_shape) if pixels is None else pixels


def _sum(a: Any, b: Any) -> Any:
    """The sum of two signals of one value, a list of them for several tensors; None is nothing."""
    if a is None or b is None:
        return b if a is None else a
    return a + b if isinstance(a, Tensor) else list(map(_sum, a, b))


@dataclass(frozen=True)
class BackwardPath:
    """The nodes from the image to a layer."""

    network: Network
    layer: str
    nodes: Sequence[Node]  # of several that are computed in one go the last
    sees: set[int]  # those whose value depends on the pixels
    ways: Mapping[int, Way]  # through those, but the image itself; none where no way back is needed
    output: int  # the layer's node

    @staticmethod
    def of(network: Network, layer: str, rules: Rules | None) -> BackwardPath:
        """Finds the path.

        Raises:
            TypeError, ValueError: the layer is unknown.
            UnprojectableError: something before it has no rule.
        """
        output = network.node(layer).index
        nodes = network.ancestors([output])
        sees = _dependents(nodes)
        if output not in sees:
            raise ValueError(f"layer: expected one that depends on the image, got {layer!r}")
        ways = {}
        if rules is not None:
            for stage in stages(nodes, sees, output):
                gone = {stage.relu.index, stage.pool.index}
                nodes = [
                    node_of(stage) if x is stage.last else x for x in nodes if x.index not in gone - {stage.last.index}
                ]
                ways[stage.last.index] = rules.fused(stage)
            for node in nodes:
                if node.index in sees and node.index not in ways and node.kind != "input":
                    with _spoken(layer, node):
                        ways[node.index] = rules.way(node, sees)
        return BackwardPath(network, layer, nodes, sees, ways, output)

    def checked_forward(self, batch: Tensor, own: Tensor | None = None) -> ForwardPass:
        """Runs forward; refuses values that are not finite, and a layer that is not the model's own.

        batch: [N,C,H,W], N at least 1. own: what the model itself gives for the layer; None: it is run.
        """
        known = own_value(self.network, batch, self.layer) if own is None else own
        forward = self.forward(batch)
        check_finite(forward.finite(batch), self.layer)
        refuse_if_off(off(forward.activation, known), self.network, self.layer, known)
        return forward

    def forward(self, batch: Tensor) -> ForwardPass:
        """Runs the network up to the layer and, with rules, keeps the way back. Waits for no GPU.

        batch: [N,C,H,W]. A value is let go after its last reader; what the way back needs of it stays.
        """
        last = {i: node.index for node in self.nodes for i in node.refs}
        values: dict[int, Any] = {}
        steps: list[_Step] = []
        largest = batch.numel()
        with evaluating(self.network.model):
            for node in self.nodes:
                if node.kind == "input":
                    values[node.index] = batch
                    continue
                way = self.ways.get(node.index)
                back: WayBack | None = None
                try:
                    if way is None:
                        value = node.run(node.resolve(values))
                    else:
                        with _spoken(self.layer, node):
                            value, back = way.run(values)
                except torch.OutOfMemoryError:
                    raise
                except RuntimeError as error:
                    reason = f"image: {spoken_shape(batch.shape)} does not fit {node.label}: {first_line(error)}"
                    known = misfit(error, self.network.model, batch, node.label)
                    raise known or ValueError(reason) from error
                values[node.index] = value
                if way is not None and back is not None:
                    largest = max(largest, sum(x.numel() for x in ([value] if isinstance(value, Tensor) else value)))
                    steps.append(_Step(node.index, way.sources, back))
                for i in set(node.refs):
                    if last[i] == node.index and i != self.output:
                        del values[i]
        activation = values[self.output]
        count = len(batch)
        if not isinstance(activation, Tensor) or activation.ndim not in (2, 4) or len(activation) != count:
            kind = spoken_shape(activation.shape) if isinstance(activation, Tensor) else type(activation).__name__
            expected = f"a map [{count},K,h,w] or a vector [{count},K]"
            where = ("layer", repr(self.layer)) if self.layer else ("model", "its output")
            raise ValueError(f"{where[0]}: expected {expected}, got {kind} from {where[1]}")
        if not activation.is_floating_point():
            raise ValueError(f"layer: expected floating values, got {activation.dtype} from {self.layer!r}")
        image = next(node.index for node in self.nodes if node.kind == "input")
        return ForwardPass(activation, batch.shape, image, self.output, steps, largest)


def followed(model: nn.Module | Network, image: Any, *, many: bool = False) -> tuple[Network, Tensor]:
    """The model as a Network that takes this image, and the image as [1,C,H,W].

    many: whether any number of images is taken, and given back as [N,C,H,W].

    Raises:
        TypeError, ValueError: the model cannot be followed, or the image does not fit it.
    """
    if not isinstance(model, Network | nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    inner = model.model if isinstance(model, Network) else model
    batch = checked_images(image, inner) if many else checked_image(image, inner)
    network = trace(model, batch[:1] if len(batch) else batch.new_zeros(1, *batch.shape[1:]))
    network.check(batch.shape)
    return network, batch


def walk_back(
    model: nn.Module | Network, image: Tensor, layer: str, seeds: Callable[[Tensor], Tensor], rules: Rules
) -> Tensor:
    """Walks seeds from a layer back to the pixels.

    Args:
        model, image, layer: as in project.
        seeds: turns the layer's activation, [K,h,w] or [K], into n signals to start from, [n,K,h,w] or [n,K].
        rules: those of the method.

    Returns:
        [n,C,H,W], the image's dtype and device. With Rules("gradient", "exact") each is the gradient of the layer's
        sum, weighted by its seed.

    Raises:
        As project.
    """
    with torch.no_grad(), deterministic():
        network, batch = followed(model, image)
        forward = BackwardPath.of(network, layer, rules).checked_forward(batch)
        return forward.projections(seeds(forward.activation[0])).to(batch.dtype)


def check_finite(finite: Tensor, layer: str) -> None:
    """Refuses an image or a layer that is not finite. finite: from ForwardPass.finite."""
    image, activation = finite.tolist()
    if not image:
        raise ValueError("image: expected finite values, got NaN or infinity")
    if not activation:
        raise ValueError(f"layer: expected finite values from {layer!r}, got NaN or infinity")


def _dependents(nodes: Sequence[Node]) -> set[int]:
    """The nodes whose value depends on the pixels, not just on the image's size."""
    dependents: set[int] = set()
    for node in nodes:
        if node.kind == "input" or not dependents.isdisjoint(values_read(node)):
            dependents.add(node.index)
    return dependents


@contextmanager
def _spoken(layer: str, node: Node) -> Iterator[None]:
    """Says of what has no rule that it lies between the layer and the pixels."""
    try:
        yield
    except UnsupportedError as refusal:
        reason = f": {refusal}" if str(refusal) else ""
        what = f"layer: {layer!r}" if layer else "model: its output"
        raise UnprojectableError(
            f"{what} cannot be projected, because {node.label} lies between it and the pixels{reason}"
        ) from None
