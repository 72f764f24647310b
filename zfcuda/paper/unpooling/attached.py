"""A convnet's stage, from the maps beneath to the pooled ones, and the deconvnet attached to it, every value kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zfcuda import ops
from zfcuda.backward.deconvnet import deconvnet_rules
from zfcuda.backward.nonlinear import is_rectifier
from zfcuda.backward.walk import BackwardPath
from zfcuda.backward.way import TorchCall, UnsupportedError, WayBack
from zfcuda.network import Network, Node, evaluating, kinds
from zfcuda.network.intact import deterministic
from zfcuda.paper.figure import NotApplicableError
from zfcuda.paper.reading import check_finite

_BETWEEN = ("batch_norm", "identity")  # may stand between a convolution and what is pooled


@dataclass(frozen=True)
class Window:
    """How a layer looks at the maps beneath: (rows, columns) of each."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True)
class Filtered:
    """The filters of a stage.

    Attributes:
        layer: the name of the convolution. window: how it looks at what is beneath.
        beneath: [C,h,w], what it reads. reconstruction: [C,h,w], the signal that comes out at the bottom, of all maps.
        is_image: whether the image itself is beneath.
    """

    layer: str
    window: Window
    beneath: Tensor
    reconstruction: Tensor
    is_image: bool


@dataclass(frozen=True)
class Attached:
    """All values of one stage and of its deconvnet, float32 on the CPU.

    Attributes:
        layer: the name of the max pooling. window: its windows.
        above: the layer that the signal starts from; above_unit, above_position: which of its activations, (y, x) on
            the map, None of a vector; above_value: how strong it is.
        maps: [K,H,W], the feature maps before the ReLU; None where none lies right below the pooling.
        pooled_maps: [K,H,W], what is pooled: rectified where there is a ReLU.
        pooled: [K,h,w]. switches: uint8 [K,h,w], which place of each window won, row-major.
        signal: [K,h,w], what comes down from above.
        unpooled: [K,H,W], the same at the places of the maxima.
        rectified: [K,H,W], what the ReLU leaves of it; None where there is none.
        filtered: the filters below; None where no convolution follows.
    """

    layer: str
    window: Window
    above: str
    above_unit: int
    above_position: tuple[int, int] | None
    above_value: float
    maps: Tensor | None
    pooled_maps: Tensor
    pooled: Tensor
    switches: Tensor
    signal: Tensor
    unpooled: Tensor
    rectified: Tensor | None
    filtered: Filtered | None

    def winners(self, unit: int) -> Tensor:
        """(y, x) on the pooled map of the winner of each window of a unit, int64 [h,w,2]."""
        offsets, width = self.switches[unit].long(), self.window.kernel[1]
        rows, columns = (
            torch.arange(length) * stride - padding
            for length, stride, padding in zip(offsets.shape, self.window.stride, self.window.padding, strict=True)
        )
        return torch.stack([rows[:, None] + offsets // width, columns + offsets % width], -1)

    def wins(self) -> Tensor:
        """How many windows each element of the maps won, float32 [K,H,W]."""
        ones = torch.ones_like(self.pooled)
        return self.unpool(ones)

    def unpool(self, values: Tensor, switches: Tensor | None = None) -> Tensor:
        """Puts values [K,h,w] back through switches; None: those that were recorded."""
        given = self.switches if switches is None else switches
        size = self.pooled_maps.shape[1:]
        window = (self.window.kernel, self.window.stride, self.window.padding)
        return ops.max_unpool2d(values[None], given[None], *window, output_size=size)[0]


def attached(network: Network, image: Tensor, layer: str | None = None, above: str | None = None) -> Attached:
    """Walks from the strongest activation of a layer above a max pooling down through it.

    Args:
        image: [1,C,H,W].
        layer: the max pooling, by name; None: the first one.
        above: where the signal starts; None: the last convolution, or else the first layer with weights above.

    Raises:
        ValueError: the layer is no max pooling, or `above` does not depend on it, or gives NaN or infinity.
        NotApplicableError: there is none, none with a layer with weights above, or the walk cannot get there.
    """
    pool, name = _pooling(network, layer)
    above = _above(network, pool, name, above)
    rules = deconvnet_rules("identity")
    path = BackwardPath.of(network, above, None)
    values: dict[int, Any] = {}
    backs: dict[int, tuple[list[int], WayBack]] = {}
    try:
        with torch.no_grad(), deterministic(), evaluating(network.model):
            for node in path.nodes:
                if node.kind == "input" or node.index not in path.sees:
                    values[node.index] = image if node.kind == "input" else node.run(node.resolve(values))
                    continue
                way = rules.way(node, path.sees)
                values[node.index], back = way.run(values)
                backs[node.index] = (way.sources, back)
            activation = values[path.output][0].contiguous()  # in rows, as the place is counted
            check_finite(above, activation)
            place = int(activation.argmax())
            seed = torch.zeros_like(activation)
            seed.view(-1)[place] = activation.view(-1)[place].clamp(min=0)
            signal = _walked(backs, path.output, seed[None, None], pool.index)
            return _stage(network, pool, name, above, values, backs, signal, place)
    except UnsupportedError as refusal:
        raise NotApplicableError(f"the deconvnet cannot come down from {above} to {name}: {refusal}") from None


def _stage(
    network: Network,
    pool: Node,
    name: str,
    above: str,
    values: Mapping[int, Any],
    backs: Mapping[int, tuple[list[int], WayBack]],
    signal: Tensor,
    place: int,
) -> Attached:
    """What lies from a pooling down to the maps beneath its convolution."""
    by_index = {node.index: node for node in network.nodes}
    here = by_index[pool.refs[0]]
    unpooled = down = backs[pool.index][1](signal)[0]
    window = _window(pool, pool.arguments)
    pooled, switches = ops.max_pool2d_with_switches(
        values[here.index], window.kernel, window.stride, window.padding, bool(pool.arguments["ceil_mode"])
    )
    source, maps, rectified = here, None, None
    if _is_rectifier(here):
        rectified = down = backs[here.index][1](down)[0]
        here = by_index[backs[here.index][0][0]]
        maps = here
    while here.kind in _BETWEEN:
        down = backs[here.index][1](down)[0]
        here = by_index[backs[here.index][0][0]]
    filtered = None
    if here.kind == "conv":
        beneath = by_index[backs[here.index][0][0]]
        filtered = Filtered(
            _name(network, here),
            _window(here, here.resolve(values)),
            _plain(values[beneath.index][0]),
            _plain(backs[here.index][1](down)[0][0, 0]),
            beneath.kind == "input",
        )
    activation = values[network.node(above).index][0]
    unit, rest = divmod(place, activation[0].numel())
    return Attached(
        name,
        window,
        above,
        unit,
        (rest // activation.shape[2], rest % activation.shape[2]) if activation.ndim == 3 else None,
        float(activation.flatten()[place]),
        None if maps is None else _plain(values[maps.index][0]),
        _plain(values[source.index][0]),
        _plain(pooled[0]),
        switches[0].cpu(),
        _plain(signal[0, 0]),
        _plain(unpooled[0, 0]),
        None if rectified is None else _plain(rectified[0, 0]),
        filtered,
    )


def _walked(backs: Mapping[int, tuple[list[int], WayBack]], start: int, seed: Tensor, end: int) -> Tensor:
    """A signal from one node down to another, [1,1,...]; zeros where none of it arrives."""
    signals: dict[int, Any] = {start: seed}
    for index in sorted((index for index in backs if end < index <= start), reverse=True):
        signal = signals.pop(index, None)
        if signal is None:
            continue
        sources, back = backs[index]
        for source, part in zip(sources, back(signal), strict=True):
            if part is not None:
                signals[source] = part if source not in signals else signals[source] + part
    return signals[end]


def _pooling(network: Network, layer: str | None) -> tuple[Node, str]:
    """The max pooling of that name, or the first one, and what to call it."""
    found = [node for node in network.nodes if node.kind == "max_pool"]
    if not found:
        raise NotApplicableError("this network has no max pooling, whose switches the figure shows")
    names = {node.index: _name(network, node) for node in found}
    if layer is None:
        return found[0], names[found[0].index]
    wanted = network.node(layer)
    if wanted.index not in names:
        raise ValueError(f"layer: expected a max pooling ({', '.join(names.values())}), got {layer!r}")
    return wanted, layer


def _above(network: Network, pool: Node, name: str, above: str | None) -> str:
    """Where the signal starts, checked."""
    reached = {pool.index}
    for node in network.nodes:
        if not reached.isdisjoint(node.refs):
            reached.add(node.index)
    if above is not None:
        if above not in network.names:
            raise ValueError(f"above: expected a layer of the network that depends on {name}, got {above!r}")
        if network.node(above).index not in reached - {pool.index}:
            raise ValueError(f"above: expected a layer that depends on {name}, got {above!r}")
        return above
    weighted = {
        kind: [_name(network, node) for node in network.nodes if node.index in reached and node.kind == kind]
        for kind in ("conv", "linear")
    }
    named = [each for each in (*weighted["conv"][::-1], *weighted["linear"]) if each in network.names]
    if not named:
        raise NotApplicableError(f"there is no layer with weights above {name}, from which to come down")
    return named[0]


def _name(network: Network, node: Node) -> str:
    return next((name for name, index in network.names.items() if index == node.index and name), node.label)


def _is_rectifier(node: Node) -> bool:
    call = TorchCall.of(node, node.arguments)
    return node.kind == "relu" or (call is not None and is_rectifier(call))


def _window(node: Node, arguments: Mapping[str, Any]) -> Window:
    rows, columns = (kinds.window_of(node.kind, arguments, i)[:3] for i in (0, 1))
    return Window(*zip(rows, columns, strict=True))


def _plain(values: Tensor) -> Tensor:
    return values.float().cpu()
