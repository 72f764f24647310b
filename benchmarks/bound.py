"""How many multiply-adds an occlusion map needs: all of them for every window, or those of what changes alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from zfcuda.network import Network, Node, trace
from zfcuda.network.kinds import both_sides, pair, window_stride
from zfcuda.occlusion import windows

_Ints = npt.NDArray[np.int64]
_ELEMENTWISE = ("relu", "lrn", "batch_norm", "identity", "add", "pointwise")


@dataclass(frozen=True)
class Work:
    """Multiply-adds of convolutions and linear layers over all windows of one image.

    naive: every window through the whole network. exact: of every map only the rectangle that the window changes, and
    of the first linear layer only the columns of what changed. Both give the same answer.
    """

    windows: int
    naive: int
    exact: int

    @property
    def ratio(self) -> float:
        """What computing the rectangles alone can win, sharing nothing between windows."""
        return self.naive / self.exact


@dataclass(frozen=True)
class _Side:
    """One side of a map of `length` units: [first, end) changes, for each place of the window along that side."""

    first: _Ints
    end: _Ints
    length: int

    @property
    def share(self) -> float:
        return float((self.end - self.first).mean()) / self.length


_Changed = tuple[_Side, _Side]  # rows, columns; a vector made of a map keeps those of the map


def work(model: nn.Module | Network, image: Tensor, window: int, stride: int) -> Work:
    """Counts the multiply-adds for an image [1,C,H,W], which is run once for the shapes."""
    network = trace(model)
    output = network.names[""]
    with torch.inference_mode():
        values = network.run(image, [output])
    sides = [_window(int(length), window, stride) for length in image.shape[2:]]
    changed: dict[int, _Changed | None] = {}
    full, exact = 0, 0.0
    for node in network.ancestors([output]):
        value, arguments = values[node.index], node.resolve(values)
        changed[node.index] = (
            (sides[0], sides[1]) if node.kind == "input" else _changed(node, arguments, value, changed)
        )
        if node.kind in ("conv", "linear"):
            count = value.numel() * arguments["weight"][0].numel()
            known = changed[node.index] if node.kind == "conv" else changed[node.arguments["input"].index]
            full += count
            exact += count * known[0].share * known[1].share if known else 0.0
    places = len(sides[0].first) * len(sides[1].first)
    return Work(places, places * full, round(places * exact))


def _window(length: int, window: int, stride: int) -> _Side:
    first = np.array(windows.starts(length, window, stride))
    return _Side(first, np.minimum(first + window, length), length)


def _changed(
    node: Node, arguments: Mapping[str, Any], value: Any, changed: Mapping[int, _Changed | None]
) -> _Changed | None:
    """What changes of a node's value; None where nothing does."""
    sources = [source for source in (changed[i] for i in node.refs) if source is not None]
    if not sources or node.is_shape_query or not isinstance(value, Tensor):
        return sources[0] if sources and not node.is_shape_query and isinstance(value, tuple | list) else None
    shape = [int(n) for n in value.shape[2:]] if value.ndim == 4 else [1, 1]
    whole = _everything(shape, sources[0])
    if value.ndim == 4:
        if node.kind == "conv" and arguments["padding_mode"] == "zeros":
            padding = both_sides(arguments["padding"], arguments["weight"], arguments["dilation"])
            taps = [
                (size - 1) * d + 1
                for size, d in zip(arguments["weight"].shape[2:], pair(arguments["dilation"]), strict=True)
            ]
            before = [sides[0] for sides in padding]
            return _moved(sources[0], shape, taps, pair(arguments["stride"]), before)
        if node.kind in ("max_pool", "avg_pool"):
            dilation = pair(arguments.get("dilation", 1))
            taps = [(k - 1) * d + 1 for k, d in zip(pair(arguments["kernel_size"]), dilation, strict=True)]
            return _moved(sources[0], shape, taps, window_stride(arguments), pair(arguments["padding"]))
        if node.kind == "adaptive_avg_pool":
            rows, columns = (_adaptive(side, n) for side, n in zip(sources[0], shape, strict=True))
            return rows, columns
        if node.kind in _ELEMENTWISE or (node.kind == "cat" and arguments["dim"] in (1, -3)):
            return _union(sources, shape)
        return whole
    if node.kind == "reshape" or (node.kind in _ELEMENTWISE and len(sources) == 1):
        units = sources[0][0].length * sources[0][1].length
        return sources[0] if value.ndim == 2 and value.shape[1] % units == 0 else whole
    return whole


def _everything(shape: Sequence[int], like: _Changed) -> _Changed:
    rows, columns = (
        _Side(np.zeros_like(side.first), np.full_like(side.first, n), n) for n, side in zip(shape, like, strict=True)
    )
    return rows, columns


def _met(side: _Side, starts: _Ints, ends: _Ints) -> _Side:
    """The units, reading [starts, ends) each, that read something changed."""
    first = np.searchsorted(ends, side.first, side="right")
    end = np.maximum(np.searchsorted(starts, side.end, side="left"), first)
    none = side.first >= side.end
    return _Side(np.where(none, 0, first), np.where(none, 0, end), len(starts))


def _moved(
    source: _Changed, shape: Sequence[int], taps: Sequence[int], stride: Sequence[int], before: Sequence[int]
) -> _Changed:
    sides = []
    for side, n, reach, step, padding in zip(source, shape, taps, stride, before, strict=True):
        starts = np.arange(n) * step - padding
        sides.append(_met(side, starts, starts + reach))
    return sides[0], sides[1]


def _adaptive(side: _Side, n: int) -> _Side:
    unit = np.arange(n)
    return _met(side, unit * side.length // n, -(-(unit + 1) * side.length // n))


def _union(sources: Sequence[_Changed], shape: Sequence[int]) -> _Changed:
    """The rectangle around all; a map of one unit that is spread over another changes all of it."""
    sides = []
    for i, n in enumerate(shape):
        spread = [source[i] if source[i].length == n else _everything(shape, source)[i] for source in sources]
        empty = np.stack([side.first >= side.end for side in spread])
        first = np.where(empty, n, np.stack([side.first for side in spread])).min(0)
        end = np.where(empty, 0, np.stack([side.end for side in spread])).max(0)
        sides.append(_Side(np.minimum(first, end), end, n))
    return sides[0], sides[1]
