"""The operators in NumPy, by im2col: windows become columns, and each operator is a line on them. Independent of torch.

Slow and small on purpose: the second opinion that the tests hold every operator against. Arrays are [N,C,H,W]; sizes
are (rows, columns); numbers are computed in the dtype that comes in. The names and arguments are those of zfcuda.ops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Pair = Sequence[int]


# ---------------------------------------------------------------- windows as columns


def output_length(
    length: int, kernel: int, stride: int, padding: int, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """How many windows fit on one side: (N + 2P - d(m - 1) - 1) / S + 1, rounded down, or up with ceil_mode.

    Rounded up, the last window still has to start inside the map or the padding before it.
    """
    room = length + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    windows = -(-room // stride) + 1
    return windows - 1 if (windows - 1) * stride >= length + padding else windows


def _taps(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, output: Pair) -> tuple[Array, Array]:
    """Where each tap of each window lies: rows and columns, int64 [kh*kw,Ho*Wo], of the map without its padding."""
    ky, kx = np.divmod(np.arange(kernel[0] * kernel[1]), kernel[1])
    oy, ox = np.divmod(np.arange(output[0] * output[1]), output[1])
    y = ky[:, None] * dilation[0] + oy * stride[0] - padding[0]
    x = kx[:, None] * dilation[1] + ox * stride[1] - padding[1]
    return y, x


def im2col(
    input: Array,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    *,
    fill: float = 0.0,
    output: Pair | None = None,
) -> Array:
    """[N,C,H,W] -> [N,C,kh*kw,Ho*Wo]: the window of each output as a column; `fill` outside the map."""
    size = input.shape[2:]
    output = output or _outputs(size, kernel, stride, padding, dilation)
    y, x = _taps(size, kernel, stride, padding, dilation, output)
    inside = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])
    columns = input[:, :, y.clip(0, size[0] - 1), x.clip(0, size[1] - 1)]
    return np.where(inside, columns, np.asarray(fill, input.dtype))


def col2im(
    columns: Array,
    size: Pair,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    *,
    output: Pair | None = None,
) -> Array:
    """[N,C,kh*kw,Ho*Wo] -> [N,C,H,W]: the transpose of im2col; what lies in several windows is summed."""
    output = output or _outputs(size, kernel, stride, padding, dilation)
    y, x = _taps(size, kernel, stride, padding, dilation, output)
    inside = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])
    picture = np.zeros((*columns.shape[:2], *size), columns.dtype)
    place: Any = (slice(None), slice(None), y[inside], x[inside])
    np.add.at(picture, place, columns[:, :, inside])
    return picture


def _outputs(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1), ceil: bool = False
) -> Pair:
    return [output_length(size[i], kernel[i], stride[i], padding[i], dilation[i], ceil) for i in (0, 1)]


# ---------------------------------------------------------------- convolution


def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """[N,C,H,W], weight [O,C/groups,kh,kw], bias [O] -> [N,O,Ho,Wo]: a matrix product with the columns."""
    kernel = weight.shape[2:]
    output = _outputs(input.shape[2:], kernel, stride, padding, dilation)
    columns = im2col(input, kernel, stride, padding, dilation)
    n, channels, taps, places = columns.shape
    grouped = columns.reshape(n, groups, channels // groups * taps, places)
    filters = weight.reshape(groups, len(weight) // groups, -1)
    result = (filters @ grouped).reshape(n, len(weight), *output)
    return result if bias is None else result + bias[:, None, None]


# ---------------------------------------------------------------- pooling and unpooling


def max_pool2d_with_switches(
    input: Array, kernel: Pair, stride: Pair, padding: Pair = (0, 0), ceil_mode: bool = False, *, relu: bool = False
) -> tuple[Array, Array]:
    """[N,C,H,W] -> maxima and switches (uint8, the winner's offset in its window), both [N,C,Ho,Wo].

    The winner is the first of the largest inside the map, or the last NaN where there is one.
    """
    size = input.shape[2:]
    output = _outputs(size, kernel, stride, padding, ceil=ceil_mode)
    source = np.where(input < 0, np.asarray(0, input.dtype), input) if relu else input
    columns = im2col(source, kernel, stride, padding, output=output)
    inside = im2col(np.ones((1, 1, *size)), kernel, stride, padding, output=output) > 0
    bad = np.isnan(columns) & inside
    largest = np.where(inside & ~bad, columns, -np.inf).max(2, keepdims=True)
    first = ((columns == largest) & inside).argmax(2)
    last = columns.shape[2] - 1 - bad[:, :, ::-1].argmax(2)
    switches = np.where(bad.any(2), last, first)
    values = np.take_along_axis(columns, switches[:, :, None], 2)
    shape = (*input.shape[:2], *output)
    return values.reshape(shape), switches.astype(np.uint8).reshape(shape)


def max_unpool2d(
    input: Array, switches: Array, kernel: Pair, stride: Pair, padding: Pair = (0, 0), *, output_size: Pair
) -> Array:
    """[N,C,Ho,Wo] -> [N,C,H,W]: each value to where its switch points; overlapping windows add up."""
    taps = np.arange(kernel[0] * kernel[1])[:, None]
    columns = np.where(_flat(switches)[:, :, None] == taps, _flat(input)[:, :, None], np.asarray(0, input.dtype))
    return col2im(columns, output_size, kernel, stride, padding, output=input.shape[2:])


def _flat(maps: Array) -> Array:
    return maps.reshape(*maps.shape[:2], -1)


# ---------------------------------------------------------------- normalisation, and the stage


def _across(values: Array, size: int, before: int) -> Array:
    """Sums, for each channel, `size` channels, of which `before` come before it; im2col along the channels."""
    n, channels = values.shape[:2]
    rows = values.reshape(n, 1, channels, -1)
    padded = np.concatenate(
        [np.zeros_like(rows[:, :, :1])] * before + [rows] + [np.zeros_like(rows[:, :, :1])] * size, 2
    )
    summed: Array = np.sum([padded[:, :, i : i + channels] for i in range(size)], axis=0)
    return summed.reshape(values.shape)


def local_response_norm(input: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """x / (k + alpha / size * the sum of x^2 over size neighbouring channels) ** beta."""
    return input / (k + alpha / size * _across(input**2, size, size // 2)) ** beta


def local_response_norm_backward(
    grad: Array, input: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Array:
    """The gradient with respect to input: grad scaled, less what each channel did to its neighbours' scales."""
    scale = k + alpha / size * _across(input**2, size, size // 2)
    shared = _across(grad * input * scale ** (-beta - 1), size, (size - 1) // 2)
    return grad * scale**-beta - 2 * alpha * beta / size * input * shared


def relu_max_pool2d_lrn(
    input: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair = (0, 0),
    ceil_mode: bool = False,
    *,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> tuple[Array, Array]:
    """The fused stage: (output, switches)."""
    pooled, switches = max_pool2d_with_switches(input, kernel, stride, padding, ceil_mode, relu=True)
    return local_response_norm(pooled, size, alpha, beta, k), switches


# ---------------------------------------------------------------- occlusion


def occlude(image: Array, fill: Array, origins: Array, window: Pair) -> Array:
    """image [C,H,W], fill broadcastable to it, origins int64 [n,2] (y, x) -> [n,C,H,W]."""
    pictures = np.repeat(image[None], len(origins), 0)
    filling = np.broadcast_to(fill, image.shape)
    for picture, origin in zip(pictures, origins, strict=True):
        y, x = (slice(max(0, int(o)), max(0, int(o) + w)) for o, w in zip(origin, window, strict=True))
        picture[:, y, x] = filling[:, y, x]
    return pictures


def _whole_maps(base: Array, patches: Array, have: Array) -> Array:
    """base [1,C,H,W] -> [n,C,H,W]: copy i with patch i in place."""
    maps = np.repeat(base, len(have), 0)
    for map, (top, left, bottom, right, start) in zip(maps, have, strict=True):
        if bottom > top and right > left:
            patch = patches[start : start + (bottom - top) * (right - left)]
            map[:, top:bottom, left:right] = patch.reshape(bottom - top, right - left, -1).transpose(2, 0, 1)
    return maps


def _rectangles(maps: Array, want: Array, rows: int, fill: float) -> Array:
    """[n,C,H,W] -> [rows,C]: of map i the positions of want[i], row-major; `fill` outside."""
    size = maps.shape[2:]
    result = np.full((rows, maps.shape[1]), fill, maps.dtype)
    for map, (top, left, bottom, right, start) in zip(maps, want, strict=True):
        for i, (y, x) in enumerate((y, x) for y in range(top, bottom) for x in range(left, right)):
            if 0 <= y < size[0] and 0 <= x < size[1]:
                result[start + i] = map[:, y, x]
    return result


def gather_patches(base: Array, patches: Array, have: Array, want: Array, rows: int, fill: float = 0.0) -> Array:
    """base [1,C,H,W], patches [P,C], have, want int64 [n,5] (top, left, bottom, right, start) -> [rows,C]."""
    return _rectangles(_whole_maps(base, patches, have), want, rows, fill)


def conv_patches(
    base: Array,
    patches: Array,
    have: Array,
    want: Array,
    rows: int,
    weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    *,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    relu: bool = False,
    ceiling: float | None = None,
) -> Array:
    """Arguments as gather_patches', and weight [O,C/groups,kh,kw], bias [O], residual [rows,O] -> [rows,O]."""
    maps = conv2d(_whole_maps(base, patches, have), weight, bias, stride, padding, dilation, groups)
    return _limited(_rectangles(maps, want, rows, 0.0), residual, relu, ceiling)


def pointwise_patches(
    bases: Sequence[Array],
    patches: Sequence[Array],
    haves: Sequence[Array],
    want: Array,
    rows: int,
    weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    *,
    scale: Array,
    shift: Array,
    before_relu: bool = False,
    stride: Pair = (1, 1),
    relu: bool = False,
    ceiling: float | None = None,
) -> Array:
    """As conv_patches with weight [O,C,1,1], of maps [1,C[i],H,W] one after the other, scaled and shifted before."""
    maps = np.concatenate([_whole_maps(*part) for part in zip(bases, patches, haves, strict=True)], 1)
    maps = maps * scale[:, None, None] + shift[:, None, None]
    maps = conv2d(np.maximum(maps, 0) if before_relu else maps, weight, bias, stride)
    return _limited(_rectangles(maps, want, rows, 0.0), residual, relu, ceiling)


def _limited(result: Array, residual: Array | None, relu: bool, ceiling: float | None) -> Array:
    result = result if residual is None else result + residual
    result = np.maximum(result, 0) if relu else result
    return result if ceiling is None else np.minimum(result, ceiling)


def linear_rows(
    input: Array, weight: Array, bias: Array | None = None, have: Array | None = None, size: Pair = (1, 1)
) -> Array:
    """input [n,H*W*C], positions together; weight [O,C*H*W]; outside have[i] row i counts as zero -> [n,O]."""
    maps = input.reshape(len(input), *size, -1)
    if have is not None:
        maps = maps.copy()
        for map, (top, left, bottom, right, _) in zip(maps, have, strict=True):
            outside = np.ones(map.shape[:2], bool)
            outside[top:bottom, left:right] = False
            map[outside] = 0
    result = maps.transpose(0, 3, 1, 2).reshape(len(input), -1) @ weight.T
    return result if bias is None else result + bias
