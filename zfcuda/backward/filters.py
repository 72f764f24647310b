"""Layers with fixed filters, whose transposes the signal goes through; and what shapes and merges maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input

from zfcuda.backward.axes import padding
from zfcuda.backward.way import Arguments, TorchCall, UnsupportedError, WayBack, per_image, same
from zfcuda.network import kinds


def conv(arguments: Arguments) -> tuple[Tensor, WayBack]:
    """Applies the filters transposed."""
    input, weight, mode = arguments["input"], arguments["weight"], arguments["padding_mode"]
    if input.ndim != 4:
        raise UnsupportedError(f"a convolution of {input.ndim} dimensions")
    stride, dilation = kinds.pair(arguments["stride"]), kinds.pair(arguments["dilation"])
    sides = kinds.both_sides(arguments["padding"], weight, arguments["dilation"])
    size, groups = (input.shape[2], input.shape[3]), arguments["groups"]
    corner = (sides[0][0], sides[1][0])
    even = all(before == after for before, after in sides)
    unpadded = None
    if mode != "zeros":
        unpadded = padding(size, sides, mode, input)
        size, corner = (size[0] + sum(sides[0]), size[1] + sum(sides[1])), (0, 0)
        even = True

    def back(signal: Tensor) -> list[Tensor]:
        part = per_image(signal, lambda s: _transposed_conv(s, weight, size, stride, corner, even, dilation, groups))
        return [part] if unpadded is None else list(unpadded(part))

    return kinds.conv(**arguments), back


def _transposed_conv(
    signal: Tensor,
    weight: Tensor,
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    even: bool,
    dilation: tuple[int, int],
    groups: int,
) -> Tensor:
    """Applies the transpose of a convolution with this padding at the top and left: [n,K,h,w] -> [n,C,*size].

    even: whether the padding is the same at the bottom and right.
    """
    cut = _in_full if signal.is_cuda else _where_it_is
    crops, tops, lefts = cut(signal)
    if even and crops is signal:
        whole = [len(signal), weight.shape[1] * groups, *size]
        return conv2d_input(whole, weight, signal, stride, padding, dilation, groups)
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


def _is_everywhere(signal: Tensor) -> bool:
    """Whether nothing would be saved by cutting out where the signal is: it reaches all four borders."""
    rows, columns = signal[:, :, :: max(1, signal.shape[2] - 1)], signal[..., :: max(1, signal.shape[3] - 1)]
    tall, wide = (rows != 0).any(dim=3).any(dim=1), (columns != 0).any(dim=2).any(dim=1)  # [n, 1 or 2]
    return bool(tall.all(dim=1).any() & wide.all(dim=1).any())


def _in_full(signal: Tensor) -> tuple[Tensor, list[int], list[int]]:
    """Takes the signal as it is: finding where in it the values are would mean waiting for the GPU."""
    return signal, [0] * len(signal), [0] * len(signal)


def _where_it_is(signal: Tensor) -> tuple[Tensor, list[int], list[int]]:
    """Cuts out of each seed the rectangle that holds its signal, all of one size: a single activation's is small."""
    if _is_everywhere(signal):
        return _in_full(signal)
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


def linear(arguments: Arguments) -> tuple[Tensor, WayBack]:
    return kinds.linear(**arguments), lambda signal: [signal @ arguments["weight"]]


def batch_norm(arguments: Arguments) -> tuple[Tensor, WayBack]:
    """Multiplies by gamma / sqrt(variance + eps), a fixed factor per map; the shift drops out."""
    input = arguments["input"]
    scale = (arguments["running_var"] + arguments["eps"]).rsqrt()
    if arguments["weight"] is not None:
        scale = scale * arguments["weight"]
    scale = scale.to(input.dtype).view(1, -1, *[1] * (input.ndim - 2))
    return kinds.batch_norm(**arguments), lambda signal: [signal * scale]


# ---------------------------------------------------------------- shapes and merges


def identity(arguments: Arguments) -> tuple[Tensor, WayBack]:
    return kinds.identity(**arguments), same


def reshaped(call: TorchCall, output: Tensor) -> WayBack:
    """Undoes what changes the shape alone."""
    shape = call.input.shape
    return lambda signal: [signal.reshape(len(signal), *shape)]


def cat(arguments: Arguments) -> tuple[Tensor, WayBack]:
    tensors, output = arguments["tensors"], kinds.cat(**arguments)
    dim = arguments["dim"] % output.ndim
    if any(x.ndim != output.ndim for x in tensors):
        raise UnsupportedError("a concatenation of different ranks")
    sizes = [x.shape[dim] for x in tensors]

    def back(signal: Tensor) -> list[Tensor]:
        return [part.to(x.dtype) for part, x in zip(signal.split(sizes, dim + 1), tensors, strict=True)]

    return output, back


def add(arguments: Arguments) -> tuple[Tensor, WayBack]:
    """Sends the signal to both summands; one that was repeated to fit gets the sum."""
    operands = [arguments["input"], arguments["other"]]
    return kinds.add(**arguments), lambda signal: [_as_summand(signal, x) for x in operands]


def _as_summand(signal: Tensor, operand: Tensor | float) -> Tensor | None:
    if not isinstance(operand, Tensor):
        return None
    n, missing = len(signal), signal.ndim - 1 - operand.ndim
    return signal.sum_to_size(n, *[1] * missing, *operand.shape).view(n, *operand.shape).to(operand.dtype)
