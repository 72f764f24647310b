"""Layers that work along rows and along columns: averages, enlarging, padding that repeats the map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.backward.way import Arguments, TorchCall, UnsupportedError, WayBack
from zfcuda.network import kinds

_REPEATING = (nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d)
_NAMES = frozenset({"interpolate", "upsample", "reflection_pad2d", "replication_pad2d"})


def along_axes(rows: Tensor, columns: Tensor) -> WayBack:
    """Gives the way back, [...,h,w] -> [...,H,W], through rows [h,H] @ input [H,W] @ columns^T [W,w]."""
    return lambda signal: [rows.T @ (signal @ columns)]


def moves_along_axes(call: TorchCall) -> bool:
    """Whether a call enlarges maps, or pads them with their own values."""
    if call.name == "pad":
        mode = call.settings[1] if len(call.settings) > 1 else call.named.get("mode", "constant")
        return bool(mode != "constant")
    known = isinstance(call.function, (nn.Upsample, *_REPEATING))
    return known or call.name in _NAMES or call.name.startswith(("upsample_", "_upsample_"))


def moved_along_axes(call: TorchCall, output: Tensor) -> WayBack:
    """Gives the way back through such a call; its matrices are what it makes of maps with ones in one row or column."""
    input, run = call.input, call.run
    if input.ndim != 4 or output.ndim != 4:
        raise UnsupportedError(f"it makes {list(output.shape)} of {list(input.shape)}")
    height, width = input.shape[2:]
    rows, columns = (torch.eye(n, dtype=input.dtype, device=input.device) for n in (height, width))
    # What it makes of a constant map is that constant: all columns of the result are alike, or all rows.
    tall = run(rows[None, :, :, None].expand(1, height, height, width))[0, :, :, 0]
    wide = run(columns[None, :, None, :].expand(1, width, height, width))[0, :, 0, :]
    return along_axes(tall.T, wide.T)


def padding(size: tuple[int, int], sides: list[tuple[int, int]], mode: str, like: Tensor) -> WayBack:
    """Gives the way back through a convolution's padding with values of the map itself."""
    matrices = [
        F.pad(torch.eye(n, dtype=like.dtype, device=like.device)[None], side, mode=mode)[0].T
        for n, side in zip(size, sides, strict=True)
    ]
    return along_axes(*matrices)


def avg_pool(arguments: Arguments) -> tuple[Tensor, WayBack]:
    output = kinds.avg_pool(**arguments)
    kernel, padding = kinds.pair(arguments["kernel_size"]), kinds.pair(arguments["padding"])
    stride = kinds.window_stride(arguments)
    override = arguments["divisor_override"]
    matrices = []
    for i in (0, 1):
        length = arguments["input"].shape[i - 2]
        matrix = output.new_zeros(output.shape[i - 2], length)
        for unit, row in enumerate(matrix):
            start = unit * stride[i] - padding[i]
            end = min(start + kernel[i], length + padding[i])
            low, high = max(0, start), min(length, end)
            row[low:high] = 1 / (1 if override else end - start if arguments["count_include_pad"] else high - low)
        matrices.append(matrix)
    if override:
        matrices[0] /= override
    return output, along_axes(*matrices)


def adaptive_avg_pool(arguments: Arguments) -> tuple[Tensor, WayBack]:
    output = kinds.adaptive_avg_pool(**arguments)
    matrices = []
    for i in (-2, -1):
        units, length = output.shape[i], arguments["input"].shape[i]
        matrix = output.new_zeros(units, length)
        for unit, row in enumerate(matrix):
            low, high = unit * length // units, -(-(unit + 1) * length // units)
            row[low:high] = 1 / (high - low)
        matrices.append(matrix)
    return output, along_axes(*matrices)


def mean(arguments: Arguments) -> tuple[Tensor, WayBack]:
    input, dim = arguments["input"], arguments["dim"]
    output = kinds.mean(**arguments)
    dims = {d % input.ndim for d in ([dim] if isinstance(dim, int) else dim or range(input.ndim))}
    count = input.numel() / output.numel()
    shape = [1 if d in dims else n for d, n in enumerate(input.shape)]

    def back(signal: Tensor) -> list[Tensor]:
        n = len(signal)
        return [(signal / count).reshape(n, *shape).expand(n, *input.shape)]

    return output, back
