"""A rule for each kind of layer: it computes the layer, and gives the way of a signal back through it.

A rule takes the arguments of a node (zfcuda.network.kinds) and returns its value and a function from the signal at the
output, [n,...] for n seeds, to the signals at the inputs. The forward pass has a batch of one image.

At most layers every method does the same: the transpose of the layer's derivative. What the methods disagree on are
the settings of Rules: what happens at a ReLU and at local response normalisation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda import ops
from zfcuda.network import Node, kinds

WayBack = Callable[[Tensor], Sequence[Tensor | None]]  # None: nothing can be sent to that input
Arguments = dict[str, Any]
Rule = Callable[[Arguments], tuple[Tensor, WayBack]]

RELU = ("deconvnet", "gradient", "guided")
LRN = ("identity", "divide", "exact")


class UnsupportedError(Exception):
    """Raised for a setting that no rule covers; the message says which."""


def signal_slots(node: Node) -> list[Any]:
    """Lists the arguments that a node sends its signal back to, unresolved, in the order of what the way back gives."""
    if node.kind == "cat":
        return list(node.arguments["tensors"])
    if node.kind == "add":
        return [node.arguments["input"], node.arguments["other"]]
    if node.kind == "reshape":
        return list(node.arguments["args"][:1])
    return [node.arguments["input"]]


# ---------------------------------------------------------------- filters


def _conv(arguments: Arguments) -> tuple[Tensor, WayBack]:
    """Applies the filters transposed."""
    if arguments["padding_mode"] != "zeros":
        raise UnsupportedError(f"padding mode {arguments['padding_mode']!r}")
    input, weight = arguments["input"], arguments["weight"]
    stride, dilation = kinds.pair(arguments["stride"]), kinds.pair(arguments["dilation"])
    sides = kinds.both_sides(arguments["padding"], weight, arguments["dilation"])
    size, groups = (input.shape[2], input.shape[3]), arguments["groups"]

    def back(signal: Tensor) -> list[Tensor | None]:
        return [_transposed_conv(signal, weight, size, stride, (sides[0][0], sides[1][0]), dilation, groups)]

    return kinds.conv(**arguments), back


def _transposed_conv(
    signal: Tensor,
    weight: Tensor,
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Tensor:
    """Applies the transpose of a convolution with this padding at the top and left: [n,K,h,w] -> [n,C,*size]."""
    cut = _in_full if signal.is_cuda else _where_it_is
    crops, tops, lefts = cut(signal)
    patches = F.conv_transpose2d(crops, weight, None, stride, 0, 0, groups, dilation)
    output = patches.new_zeros(len(signal), patches.shape[1], *size)
    corners = [(y * stride[0] - padding[0], x * stride[1] - padding[1]) for y, x in zip(tops, lefts, strict=True)]
    alike = len(set(corners)) == 1  # then all seeds go at once
    for i, (y, x) in enumerate(corners[:1] if alike else corners):
        seeds = slice(None) if alike else slice(i, i + 1)
        rows, patch_rows = _overlap(y, patches.shape[2], size[0])
        columns, patch_columns = _overlap(x, patches.shape[3], size[1])
        output[seeds, :, rows, columns] = patches[seeds, :, patch_rows, patch_columns]
    return output


def _in_full(signal: Tensor) -> tuple[Tensor, list[int], list[int]]:
    """Takes the signal as it is: finding where in it the values are would mean waiting for the GPU."""
    return signal, [0] * len(signal), [0] * len(signal)


def _where_it_is(signal: Tensor) -> tuple[Tensor, list[int], list[int]]:
    """Cuts out of each seed the rectangle that holds its signal, all of one size: a single activation's is small."""
    used = (signal != 0).any(dim=1)  # [n,h,w]
    tops, tall = _support(used.any(dim=2))
    lefts, wide = _support(used.any(dim=1))
    crops = [one[:, y : y + tall, x : x + wide] for one, y, x in zip(signal, tops, lefts, strict=True)]
    return torch.stack(crops), tops, lefts


def _support(used: Tensor) -> tuple[list[int], int]:
    """Finds intervals of one extent that hold all that is used: bool [n,length] -> (n starts, extent)."""
    length = used.shape[1]
    place = torch.arange(length, device=used.device)
    first = torch.where(used, place, length).amin(dim=1)
    last = torch.where(used, place, -1).amax(dim=1)
    extent = max(1, int((last - first).max()) + 1)
    return first.clamp(max=length - extent).tolist(), extent


def _overlap(start: int, extent: int, length: int) -> tuple[slice, slice]:
    """Places a patch that covers start ... start+extent-1 of a line: (where on the line, which part of the patch)."""
    low, high = max(0, start), min(length, start + extent)
    return slice(low, max(low, high)), slice(low - start, max(low, high) - start)


def _linear(arguments: Arguments) -> tuple[Tensor, WayBack]:
    return kinds.linear(**arguments), lambda signal: [signal @ arguments["weight"]]


def _batch_norm(arguments: Arguments) -> tuple[Tensor, WayBack]:
    """Multiplies by gamma / sqrt(variance + eps), a fixed factor per map; the shift drops out."""
    input = arguments["input"]
    scale = (arguments["running_var"] + arguments["eps"]).rsqrt()
    if arguments["weight"] is not None:
        scale = scale * arguments["weight"]
    scale = scale.to(input.dtype).view(1, -1, *[1] * (input.ndim - 2))
    return kinds.batch_norm(**arguments), lambda signal: [signal * scale]


# ---------------------------------------------------------------- pooling


def _max_pool(arguments: Arguments) -> tuple[Tensor, WayBack]:
    """Returns each value to where its maximum was, by the switches; where windows overlap, values add up."""
    input = arguments["input"]
    kernel = kinds.pair(arguments["kernel_size"])
    stride = kinds.window_stride(arguments)
    padding = kinds.pair(arguments["padding"])
    if kinds.pair(arguments["dilation"]) != (1, 1):
        raise UnsupportedError(f"pooling with dilation {arguments['dilation']}")
    if kernel[0] * kernel[1] > 256:
        raise UnsupportedError(f"pooling windows of {kernel[0]} x {kernel[1]}; at most 256 elements have switches")
    output, switches = ops.max_pool2d_with_switches(input, kernel, stride, padding, bool(arguments["ceil_mode"]))

    def back(signal: Tensor) -> list[Tensor | None]:
        same = switches.expand(len(signal), -1, -1, -1)
        return [ops.max_unpool2d(signal, same, kernel, stride, padding, output_size=input.shape[2:])]

    return output, back


def _avg_pool(arguments: Arguments) -> tuple[Tensor, WayBack]:
    output = kinds.avg_pool(**arguments)
    kernel, padding = kinds.pair(arguments["kernel_size"]), kinds.pair(arguments["padding"])
    stride = kinds.window_stride(arguments)
    override = arguments["divisor_override"]
    matrices = []
    for i in (0, 1):
        length = arguments["input"].shape[2 + i]
        matrix = output.new_zeros(output.shape[2 + i], length)
        for unit, row in enumerate(matrix):
            start = unit * stride[i] - padding[i]
            end = min(start + kernel[i], length + padding[i])
            low, high = max(0, start), min(length, end)
            row[low:high] = 1 / (1 if override else end - start if arguments["count_include_pad"] else high - low)
        matrices.append(matrix)
    if override:
        matrices[0] /= override
    return output, _averaging(*matrices)


def _adaptive_avg_pool(arguments: Arguments) -> tuple[Tensor, WayBack]:
    output = kinds.adaptive_avg_pool(**arguments)
    matrices = []
    for i in (0, 1):
        units, length = output.shape[2 + i], arguments["input"].shape[2 + i]
        matrix = output.new_zeros(units, length)
        for unit, row in enumerate(matrix):
            low, high = unit * length // units, -(-(unit + 1) * length // units)
            row[low:high] = 1 / (high - low)
        matrices.append(matrix)
    return output, _averaging(*matrices)


def _averaging(rows: Tensor, columns: Tensor) -> WayBack:
    """Gives the way back, [n,C,h,w] -> [n,C,H,W], through rows [h,H] @ input [H,W] @ columns^T [W,w]."""
    return lambda signal: [rows.T @ (signal @ columns)]


def _mean(arguments: Arguments) -> tuple[Tensor, WayBack]:
    input, dim = arguments["input"], arguments["dim"]
    dims = sorted({d % input.ndim for d in ([dim] if isinstance(dim, int) else dim or [])})
    if not dims or dims[0] == 0:
        raise UnsupportedError(f"a mean over dimension(s) {dim}, the batch among them")
    output = kinds.mean(**arguments)
    count = input.numel() / output.numel()
    shape = [1 if d in dims else n for d, n in enumerate(input.shape)]

    def back(signal: Tensor) -> list[Tensor | None]:
        n = len(signal)
        return [(signal / count).reshape(n, *shape[1:]).expand(n, *input.shape[1:])]

    return output, back


# ---------------------------------------------------------------- shapes and merges


def _same(signal: Tensor) -> list[Tensor | None]:
    return [signal]


def _identity(arguments: Arguments) -> tuple[Tensor, WayBack]:
    return kinds.identity(**arguments), _same


def _reshape(arguments: Arguments) -> tuple[Tensor, WayBack]:
    """Undoes flattening, and dimensions of one element that come or go."""
    input = arguments["args"][0]
    output = kinds.apply(**arguments)
    real = [[n for n in x.shape[1:] if n != 1] for x in (input, output)]
    if output.ndim < 2 or output.shape[0] != 1 or (output.ndim > 2 and real[0] != real[1]):
        raise UnsupportedError(f"it makes {list(output.shape)} of {list(input.shape)}")
    return output, lambda signal: [signal.reshape(len(signal), *input.shape[1:])]


def _cat(arguments: Arguments) -> tuple[Tensor, WayBack]:
    tensors, output = arguments["tensors"], kinds.cat(**arguments)
    dim = arguments["dim"] % output.ndim
    if dim == 0:
        raise UnsupportedError("a concatenation along the batch")
    return output, lambda signal: signal.split([x.shape[dim] for x in tensors], dim)


def _add(arguments: Arguments) -> tuple[Tensor, WayBack]:
    """Sends the signal to both summands; one that was repeated to fit gets the sum."""
    output = kinds.add(**arguments)
    shapes = [getattr(arguments[name], "shape", ())[1:] for name in ("input", "other")]

    def back(signal: Tensor) -> list[Tensor | None]:
        n, rank = len(signal), signal.ndim - 1
        # An operand of lower rank is a constant, or has lost its batch.
        return [signal.sum_to_size(n, *shape) if len(shape) == rank else None for shape in shapes]

    return output, back


_WITHOUT_SETTINGS: dict[str, Rule] = {
    "conv": _conv,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "adaptive_avg_pool": _adaptive_avg_pool,
    "mean": _mean,
    "identity": _identity,
    "reshape": _reshape,
    "cat": _cat,
    "add": _add,
}


# ---------------------------------------------------------------- what is a matter of the method


@dataclass(frozen=True)
class Rules:
    """The rules of one method.

    relu: "deconvnet" rectifies the signal, wherever the activation was (Zeiler & Fergus, section 2.1); "gradient"
        passes it where the activation was positive; "guided" does both (Springenberg et al. 2014).
    lrn: "identity" passes the signal through local response normalisation, "divide" divides it by the forward scale,
        "exact" is the derivative.

    With "gradient" and "exact" the walk is the gradient of the network.

    Raises:
        ValueError: a setting is unknown.
    """

    relu: str = "deconvnet"
    lrn: str = "identity"

    def __post_init__(self) -> None:
        for name, value, settings in (("relu", self.relu, RELU), ("lrn", self.lrn, LRN)):
            if value not in settings:
                raise ValueError(f"{name}: expected one of {', '.join(map(repr, settings))}, got {value!r}")

    @cached_property
    def by_kind(self) -> dict[str, Rule]:
        """The rule of each kind of layer that has one."""
        return {**_WITHOUT_SETTINGS, "relu": self._relu, "lrn": self._lrn, "lrn_within": self._lrn_within}

    def _relu(self, arguments: Arguments) -> tuple[Tensor, WayBack]:
        output = kinds.relu(**arguments)
        if self.relu == "deconvnet":
            return output, lambda signal: [F.relu(signal)]
        active = output > 0  # at exactly zero torch's gradient is zero too
        if self.relu == "gradient":
            return output, lambda signal: [torch.where(active, signal, 0)]
        return output, lambda signal: [torch.where(active, F.relu(signal), 0)]

    def _lrn(self, arguments: Arguments) -> tuple[Tensor, WayBack]:
        """Local response normalisation across channels."""
        input, size = arguments["input"], arguments["size"]
        if input.ndim != 4:
            raise UnsupportedError(f"local response normalisation of {input.ndim} dimensions")
        before, after = size // 2, (size - 1) // 2

        def neighbours(x: Tensor) -> Tensor:
            return F.pad(x, (0, 0, 0, 0, before, after)).unfold(1, size, 1).sum(-1) / size

        def readers(x: Tensor) -> Tensor:
            return F.pad(x, (0, 0, 0, 0, after, before)).unfold(1, size, 1).sum(-1) / size

        output = ops.local_response_norm(**arguments)
        factors = arguments["k"], arguments["alpha"], arguments["beta"]
        return output, self._normalisation(input, *factors, neighbours, readers)

    def _lrn_within(self, arguments: Arguments) -> tuple[Tensor, WayBack]:
        """Local response normalisation within a channel; its window is symmetric."""
        size = arguments["size"]

        def neighbours(x: Tensor) -> Tensor:
            return F.avg_pool2d(x, size, 1, size // 2)

        output = kinds.lrn_within(**arguments)
        factors = 1.0, arguments["alpha"], arguments["beta"]
        return output, self._normalisation(arguments["input"], *factors, neighbours, neighbours)

    def _normalisation(
        self,
        input: Tensor,
        k: float,
        alpha: float,
        beta: float,
        neighbours: Callable[[Tensor], Tensor],
        readers: Callable[[Tensor], Tensor],
    ) -> WayBack:
        """Gives the way back through x * scale ** -beta, where scale is k + alpha * neighbours(x * x).

        neighbours: the mean of each element's neighbours; readers: its transpose, the same share of each element that
        has this one for a neighbour. The derivative is written out rather than left to autograd, which inference mode
        forbids. Half precision is computed in float32.
        """
        if self.lrn == "identity":
            return _same
        wide = input if input.dtype == torch.float64 else input.float()
        scale = k + alpha * neighbours(wide * wide)
        if self.lrn == "divide":
            divisor = (scale**beta).to(input.dtype)
            return lambda signal: [signal / divisor]
        direct = scale**-beta
        indirect = wide * direct / scale

        def back(signal: Tensor) -> list[Tensor | None]:
            through_scale = readers(signal.to(wide.dtype) * indirect)
            return [(signal * direct - 2 * alpha * beta * wide * through_scale).to(signal.dtype)]

        return back
