"""Receptive fields: which pixels of the image a unit of a layer can see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from zfcuda.network.example import example_image
from zfcuda.network.graph import Network, Node
from zfcuda.network.intact import evaluating
from zfcuda.network.kinds import window_of
from zfcuda.network.trace import trace

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _FieldAxis:
    """One dimension of a map: what each of its n units sees of the pixels 0 ... length-1 there."""

    first: _Ints  # [n], clipped to the image
    last: _Ints  # [n], inclusive
    size: int  # pixels that a unit away from the border sees
    stride: int  # pixels from one unit to the next
    start: int  # first pixel of unit 0, less than 0 in the padding


@dataclass(frozen=True)
class ReceptiveField:
    """What the units of a layer see.

    size, stride: (rows, columns) in pixels, of a unit away from the border; the whole image for a vector.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    spans: tuple[_FieldAxis, _FieldAxis]

    def rectangle(self, y: int = 0, x: int = 0) -> tuple[int, int, int, int]:
        """What unit (y, x) sees: (top, left, bottom, right), clipped to the image, bottom and right exclusive.

        Raises:
            ValueError: there is no such position.
        """
        rows, columns = self.spans
        if not (0 <= y < len(rows.first) and 0 <= x < len(columns.first)):
            raise ValueError(
                f"position: expected one in a map of {len(rows.first)} x {len(columns.first)}, got ({y}, {x})"
            )
        return int(rows.first[y]), int(columns.first[x]), int(rows.last[y]) + 1, int(columns.last[x]) + 1


def receptive_field(model: nn.Module | Network, layer: str, input_size: Sequence[int]) -> ReceptiveField:
    """The receptive field of a layer's units.

    Args:
        model: a CNN, or its Network where several questions are asked.
        layer: the dotted name of a submodule.
        input_size: (H, W) of the image, or (C, H, W) where the first convolution does not tell C.

    Raises:
        ValueError: naming the argument: an unknown layer (the others are listed), or an input_size that does not fit.
    """
    network = trace(model)
    node = network.node(layer)
    return _field(_spans(network, [node.index], input_size)[node.index])


def receptive_fields(model: nn.Module | Network, input_size: Sequence[int]) -> dict[str, ReceptiveField]:
    """The receptive field of every layer that computes a tensor, by name, in forward order.

    The arguments are those of :func:`receptive_field`.
    """
    network = trace(model)
    spans = _spans(network, set(network.names.values()), input_size)
    return {name: _field(spans[network.names[name]]) for name in network.layers if spans[network.names[name]]}


def _field(spans: tuple[_FieldAxis, _FieldAxis] | None) -> ReceptiveField:
    if spans is None:
        raise ValueError("layer: its output does not depend on the picture")
    rows, columns = spans
    return ReceptiveField((rows.size, columns.size), (rows.stride, columns.stride), spans)


def _spans(network: Network, wanted: Any, input_size: Sequence[int]) -> dict[int, tuple[_FieldAxis, _FieldAxis] | None]:
    """The spans (rows, columns) of each node that runs for the wanted ones; None: it does not see the image."""
    size = tuple(input_size)
    if len(size) not in (2, 3, 4) or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f"input_size: expected (H, W) or (C, H, W), got {input_size!r}")
    shape = (size[-3] if len(size) > 2 else _channels(network), size[-2], size[-1])
    network.check(shape, "input_size")
    image = example_image(network.model, shape)
    values: dict[int, Any] = {}
    spans: dict[int, tuple[_FieldAxis, _FieldAxis] | None] = {}
    # The shapes come from a run on an empty image: whatever the model does to them is then right. (The device "meta"
    # would spare the arithmetic, but costs seconds of imports, and fails where a model looks at values.)
    with torch.no_grad(), evaluating(network.model):
        for node in network.ancestors(wanted):
            arguments = node.resolve(values)
            try:
                value = image if node.kind == "input" else node.run(arguments)
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                raise ValueError(f"input_size: {shape} does not fit {node.label}: {reason}") from error
            values[node.index] = value
            spans[node.index] = _of_node(node, arguments, value, spans, (shape[1], shape[2]))
    return spans


def _channels(network: Network) -> int:
    """How many channels the first convolution takes."""
    for node in network.nodes:
        if node.kind == "conv":
            weight = network.nodes[node.arguments["weight"].index]
            if weight.kind == "constant":
                return int(weight.run(weight.arguments).shape[1]) * int(node.arguments["groups"])
    return 3


def _of_node(
    node: Node,
    arguments: Mapping[str, Any],
    value: Any,
    spans: Mapping[int, tuple[_FieldAxis, _FieldAxis] | None],
    image: tuple[int, int],
) -> tuple[_FieldAxis, _FieldAxis] | None:
    if node.kind == "input":
        return _pixels(image[0]), _pixels(image[1])
    sources = [span for span in (spans[i] for i in node.refs) if span is not None]
    if not sources or not _holds_tensor(value):
        return None
    shape = value.shape[2:] if isinstance(value, Tensor) else ()
    if len(shape) != 2:
        return _whole(1, image[0]), _whole(1, image[1])
    if node.kind in ("conv", "max_pool", "avg_pool", "lrn_within"):
        rows, columns = (_windows(sources[0][i], shape[i], *window_of(node.kind, arguments, i)) for i in (0, 1))
        return rows, columns
    if node.kind == "adaptive_avg_pool":
        rows, columns = (_adaptive(sources[0][i], shape[i]) for i in (0, 1))
        return rows, columns
    if node.kind in ("relu", "lrn", "batch_norm", "identity", "add", "mul", "channels", "pointwise") or (
        node.kind == "cat" and arguments["dim"] in (1, -3)
    ):
        # A gate of one value per map sees the whole image, and so does all that it multiplies.
        rows, columns = (_union([source[i] for source in sources], shape[i]) for i in (0, 1))
        return rows, columns
    return _whole(shape[0], image[0]), _whole(shape[1], image[1])


def _holds_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, tuple | list) and any(map(_holds_tensor, value)))


def _pixels(length: int) -> _FieldAxis:
    pixels = np.arange(length)
    return _FieldAxis(pixels, pixels, size=1, stride=1, start=0)


def _whole(units: int, length: int) -> _FieldAxis:
    return _FieldAxis(np.zeros(units, np.int64), np.full(units, length - 1), size=length, stride=length, start=0)


def _windows(source: _FieldAxis, units: int, kernel: int, stride: int, padding: int, dilation: int) -> _FieldAxis:
    length = len(source.first)
    inputs = np.arange(units)[:, None] * stride - padding + np.arange(kernel) * dilation  # [units,kernel]
    inside = (inputs >= 0) & (inputs < length)
    inside |= ~inside.any(axis=1, keepdims=True)  # a window in the padding alone counts as at the border
    inputs = np.clip(inputs, 0, length - 1)
    return _FieldAxis(
        first=np.where(inside, source.first[inputs], np.iinfo(np.int64).max).min(axis=1),
        last=np.where(inside, source.last[inputs], -1).max(axis=1),
        size=source.size + dilation * (kernel - 1) * source.stride,
        stride=source.stride * stride,
        start=source.start - padding * source.stride,
    )


def _adaptive(source: _FieldAxis, units: int) -> _FieldAxis:
    length = len(source.first)
    windows = [slice(i * length // units, -(-(i + 1) * length // units)) for i in range(units)]
    return _FieldAxis(
        first=np.array([source.first[window].min() for window in windows]),
        last=np.array([source.last[window].max() for window in windows]),
        size=source.size + (max(window.stop - window.start for window in windows) - 1) * source.stride,
        stride=source.stride * max(1, length // units),
        start=source.start,
    )


def _union(sources: Sequence[_FieldAxis], units: int) -> _FieldAxis:
    """A span that sees all that each source sees, aligned by broadcasting."""
    start = min(source.start for source in sources)
    return _FieldAxis(
        first=np.broadcast_to(np.min(np.broadcast_arrays(*(s.first for s in sources)), axis=0), units),
        last=np.broadcast_to(np.max(np.broadcast_arrays(*(s.last for s in sources)), axis=0), units),
        size=max(source.start + source.size for source in sources) - start,
        stride=max(source.stride for source in sources),
        start=start,
    )
