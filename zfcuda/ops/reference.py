"""The operators in plain torch: their definition, the tests' oracle, and the kernel on devices without a compiled one.
 Every function has the signature of its twin in ``torch.ops.zfcuda`` (the schemas stand in csrc/zfcuda.cpp). Half
precision is computed in float32 and rounded once, as the kernels do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._prims_common import suggest_memory_format

Pair = Sequence[int]  # (rows, columns)


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def max_pool2d_with_switches(
    input: Tensor, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool, relu: bool
) -> tuple[Tensor, Tensor]:
    """[N,C,H,W] -> maxima [N,C,Ho,Wo]; switches, uint8, of that shape: row-major offset of the winner in its window."""
    # Contiguous: for channels_last torch's own kernel on a GPU gives -infinity the index 0, outside of the window.
    source = (F.relu(input) if relu else input).contiguous()
    output, index = F.max_pool2d(
        source, tuple(kernel_size), tuple(stride), tuple(padding), ceil_mode=ceil_mode, return_indices=True
    )
    top = torch.arange(output.shape[2], device=input.device)[:, None] * stride[0] - padding[0]
    left = torch.arange(output.shape[3], device=input.device) * stride[1] - padding[1]
    width = input.shape[3]
    switches = (index // width - top) * kernel_size[1] + (index % width - left)
    format = suggest_memory_format(input)
    return output.contiguous(memory_format=format), switches.to(torch.uint8).contiguous(memory_format=format)


def max_unpool2d(
    input: Tensor,
    switches: Tensor,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    output_size: Pair,
    gate: Tensor | None = None,
) -> Tensor:
    """[N,C,Ho,Wo] -> [N,C,H,W]: each pixel sums the windows whose switch points at it.

    gate: [N,C,Ho,Wo]; an element of input whose gate is <= 0 counts as zero (the gradient of a fused ReLU).
    """
    value = _wide(input)
    if gate is not None:
        value = value.masked_fill(gate <= 0, 0.0)
    (kh, kw), (sh, sw), (ph, pw), (height, width) = kernel_size, stride, padding, output_size
    rows, columns = input.shape[2], input.shape[3]
    # A canvas that every window fits in, the padding included; what falls outside the map is cut off at the end.
    canvas = value.new_zeros(
        input.shape[0], input.shape[1], max((rows - 1) * sh + kh, ph + height), max((columns - 1) * sw + kw, pw + width)
    )
    # Last offset first: a pixel then adds its windows in row-major order, as the kernels do, to the bit.
    for tap in reversed(range(kh * kw)):
        y, x = divmod(tap, kw)
        place = canvas[:, :, y : y + (rows - 1) * sh + 1 : sh, x : x + (columns - 1) * sw + 1 : sw]
        place += value.masked_fill(switches != tap, 0.0)
    output = canvas[:, :, ph : ph + height, pw : pw + width].to(input.dtype)
    return output.contiguous(memory_format=suggest_memory_format(input))


def gather_by_switch(
    input: Tensor, switches: Tensor, kernel_size: Pair, stride: Pair, padding: Pair, gate: Tensor | None = None
) -> Tensor:
    """[N,C,H,W] -> [N,C,Ho,Wo]: the element of each window that its switch points at, 0 where it points outside.

    It is the transpose of max_unpool2d, with the same gate.
    """
    height, width = input.shape[2], input.shape[3]
    tap = switches.long()
    y = torch.arange(switches.shape[2], device=input.device)[:, None] * stride[0] - padding[0] + tap // kernel_size[1]
    x = torch.arange(switches.shape[3], device=input.device) * stride[1] - padding[1] + tap % kernel_size[1]
    inside = (tap < kernel_size[0] * kernel_size[1]) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    index = (y * width + x).masked_fill(~inside, 0)
    output = input.flatten(2).gather(2, index.flatten(2)).view_as(switches).masked_fill(~inside, 0.0)
    if gate is not None:
        output = output.masked_fill(gate <= 0, 0.0)
    return output.contiguous(memory_format=suggest_memory_format(switches))


def local_response_norm(input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """[N,C,H,W] -> same: x / (k + alpha / size * the sum of x^2 over size neighbouring channels) ** beta."""
    output = F.local_response_norm(_wide(input), size, alpha, beta, k)
    return output.to(input.dtype).contiguous(memory_format=suggest_memory_format(input))


def _sum_channels(x: Tensor, before: int, after: int) -> Tensor:
    """Sums, for each channel c, the channels c - before ... c + after, those that exist."""
    return F.pad(x, (0, 0, 0, 0, before, after)).unfold(1, before + 1 + after, 1).sum(-1)


def local_response_norm_backward(grad: Tensor, input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """Gradient of local_response_norm with respect to input; shapes as there."""
    x, g = _wide(input), _wide(grad)
    before, after = size // 2, (size - 1) // 2
    scale = k + alpha / size * _sum_channels(x * x, before, after)
    shared = _sum_channels(g * x * scale ** (-beta - 1), after, before)
    result = g * scale**-beta - 2 * alpha * beta / size * x * shared
    return result.to(input.dtype).contiguous(memory_format=suggest_memory_format(input))


def local_response_norm_tangent(
    tangent: Tensor, input: Tensor, size: int, alpha: float, beta: float, k: float
) -> Tensor:
    """What local_response_norm changes by where its input changes by tangent; shapes as there."""
    x, t = _wide(input), _wide(tangent)
    before, after = size // 2, (size - 1) // 2
    scale = k + alpha / size * _sum_channels(x * x, before, after)
    result = t * scale**-beta - 2 * alpha * beta / size * x * scale ** (-beta - 1) * _sum_channels(x * t, before, after)
    return result.to(input.dtype).contiguous(memory_format=suggest_memory_format(input))


def local_response_norm_backward_tangent(
    grad_tangent: Tensor | None,
    tangent: Tensor | None,
    grad: Tensor,
    input: Tensor,
    size: int,
    alpha: float,
    beta: float,
    k: float,
) -> Tensor:
    """What local_response_norm_backward changes by where grad and input change by these (None: not at all)."""
    x, g = _wide(input), _wide(grad)
    dx = x.new_zeros(()) if tangent is None else _wide(tangent)
    dg = g.new_zeros(()) if grad_tangent is None else _wide(grad_tangent)
    before, after = size // 2, (size - 1) // 2
    scale = k + alpha / size * _sum_channels(x * x, before, after)
    change = 2 * alpha / size * _sum_channels(x * dx, before, after)
    shared = _sum_channels(g * x * scale ** (-beta - 1), after, before)
    inner = (dg * x + g * dx) * scale ** (-beta - 1) - (beta + 1) * g * x * scale ** (-beta - 2) * change
    result = dg * scale**-beta - beta * g * scale ** (-beta - 1) * change
    result = result - 2 * alpha * beta / size * (dx * shared + x * _sum_channels(inner, after, before))
    return result.to(input.dtype).contiguous(memory_format=suggest_memory_format(input))


def relu_max_pool2d_lrn(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    keep_pooled: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The fused stage: (output, switches, pooled); pooled, what the gradient needs, is empty unless keep_pooled."""
    pooled, switches = max_pool2d_with_switches(_wide(input), kernel_size, stride, padding, ceil_mode, True)
    output = local_response_norm(pooled, size, alpha, beta, k).to(input.dtype)
    return output, switches, pooled.to(input.dtype) if keep_pooled else input.new_empty(0)


def conv_backward_by_switch(
    grad: Tensor,
    switches: Tensor,
    gate: Tensor,
    input: Tensor,
    weight: Tensor,
    stride: Pair,
    padding: Pair,
    pool_kernel_size: Pair,
    pool_stride: Pair,
    pool_padding: Pair,
    input_wanted: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The way back from max_pool2d(relu(conv2d(input, weight, bias))): grad, switches and gate (the pooled
    values) [N,O,Ho,Wo]; input [N,C,H,W], weight [O,C,kh,kw] -> the gradients of input, or nothing, weight and bias.
    """
    last = torch.channels_last
    size = [
        (input.shape[2 + i] + 2 * padding[i] - weight.shape[2 + i]) // stride[i] + 1 for i in (0, 1)
    ]  # of the convolution's output
    whole = max_unpool2d(grad, switches, pool_kernel_size, pool_stride, pool_padding, size, gate)
    geometry = (list(stride), list(padding), [1, 1], False, [0, 0], 1)
    by_input, by_weight, _ = torch.ops.aten.convolution_backward(
        whole, input, weight, None, *geometry, [input_wanted, True, False]
    )
    by_input = by_input.contiguous(memory_format=last) if input_wanted else input.new_empty(0)
    by_bias = whole.sum((0, 2, 3), dtype=torch.float32)
    return by_input, by_weight.to(torch.float32, memory_format=last), by_bias


def occlude(image: Tensor, fill: Tensor, origins: Tensor, window: Pair) -> Tensor:
    """image, fill [C,H,W], origins int64 [n,2] (y, x) -> [n,C,H,W]: image i with the window at origins[i] replaced by
    fill.
    """
    inside = occluded(image.shape[1:], origins, window)
    return torch.where(inside, fill, image).contiguous(memory_format=suggest_memory_format(image[None]))


def occluded(size: Pair, origins: Tensor, window: Pair) -> Tensor:
    """origins int64 [n,2] -> bool [n,1,H,W]: which pixels of a map of this size the windows hide."""
    y = torch.arange(size[0], device=origins.device) - origins[:, 0:1]
    x = torch.arange(size[1], device=origins.device) - origins[:, 1:2]
    return ((y >= 0) & (y < window[0]))[:, None, :, None] & ((x >= 0) & (x < window[1]))[:, None, None, :]


def gather_patches(base: Tensor, patches: Tensor, have: Tensor, want: Tensor, rows: int, fill: float) -> Tensor:
    """base [1,C,H,W], patches [P,C], have, want int64 [n,5] (top, left, bottom, right, start) -> [rows,C].

    The positions of want[i], for each i: fill outside the map, the patch inside have[i], base elsewhere.
    """
    return _at(base, patches, have, *_positions(want, rows), fill)


def unfold_patches(
    base: Tensor,
    patches: Tensor,
    have: Tensor,
    want: Tensor,
    rows: int,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> Tensor:
    """[rows,kh*kw*C]: what a layer of windows reads at each wanted position of its output, 0 outside the map."""
    taps = _taps(base, patches, have, want, rows, kernel_size, stride, padding, dilation, 0.0)
    return taps.flatten(1)


def pool_patches(
    base: Tensor,
    patches: Tensor,
    have: Tensor,
    want: Tensor,
    rows: int,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    sum: bool,
) -> Tensor:
    """[rows,C]: the largest, or the sum, of what each window holds of the map."""
    outside = 0.0 if sum else -torch.inf
    taps = _taps(base, patches, have, want, rows, kernel_size, stride, padding, dilation, outside)
    return _wide(taps).sum(1).to(base.dtype) if sum else taps.amax(1)


def _taps(
    base: Tensor,
    patches: Tensor,
    have: Tensor,
    want: Tensor,
    rows: int,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    fill: float,
) -> Tensor:
    """Reads each tap of each row's window -> [rows,kh*kw,C]."""
    window, y, x, wanted = _positions(want, rows)
    taps = [
        _at(
            base,
            patches,
            have,
            window,
            y * stride[0] - padding[0] + ky * dilation[0],
            x * stride[1] - padding[1] + kx * dilation[1],
            wanted,
            fill,
        )
        for ky in range(kernel_size[0])
        for kx in range(kernel_size[1])
    ]
    return torch.stack(taps, 1)


def _positions(want: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tells each row's window (-1: there is none), its y and x, and whether anything wants it."""
    row = torch.arange(rows, device=want.device)
    if want.shape[0] == 0:
        return row * 0 - 1, row, row, torch.zeros_like(row, dtype=torch.bool)
    window = (torch.searchsorted(want[:, 4].contiguous(), row, right=True) - 1).clamp(min=0)
    top, left, bottom, right, start = want[window].unbind(1)
    columns = (right - left).clamp(min=1)
    y, x = top + (row - start) // columns, left + (row - start) % columns
    return window, y, x, (row >= start) & (y < bottom) & (x < right)


def _at(
    base: Tensor, patches: Tensor, have: Tensor, window: Tensor, y: Tensor, x: Tensor, wanted: Tensor, fill: float
) -> Tensor:
    """Reads position (y, x) of each row's window -> [rows,C]."""
    _, channels, height, width = base.shape
    if have.shape[0] == 0:
        return base.new_full((len(window), channels), fill)
    in_map = wanted & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    top, left, bottom, right, start = have[window].unbind(1)
    in_patch = in_map & (y >= top) & (y < bottom) & (x >= left) & (x < right)
    place = start + (y - top) * (right - left) + x - left

    # One matrix of all that a row can be: fill, a row of patches, a position of the map.
    sources = torch.cat((base.new_full((1, channels), fill), patches, base[0].permute(1, 2, 0).flatten(0, 1)))
    source = torch.where(in_map, 1 + patches.shape[0] + y * width + x, 0)
    known = (place >= 0) & (place < patches.shape[0])
    return sources[torch.where(in_patch, torch.where(known, 1 + place, 0), source)]


def pack_filters(weight: Tensor, stride: Pair, dilation: Pair, tile: int = 4) -> Tensor:
    """[O,C,kh,kw] -> what conv_patches takes; here nothing but the numbers in their order."""
    return weight.contiguous().flatten()


def conv_patches(
    base: Tensor,
    patches: Tensor,
    have: Tensor,
    want: Tensor,
    rows: int,
    filters: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    channels: int,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    relu: bool,
    ceiling: float | None = None,
    groups: int = 1,
) -> Tensor:
    """base [1,C,H,W], patches [P,C], have, want int64 [n,5] -> [rows,O]: the positions of want[i], for each i, of the
    convolution of the map as patch i has changed it. After the map stands one line of padding more than before.
    """
    weight = filters.view(channels, base.shape[1] // groups, *kernel_size)
    sides = (padding[1], padding[1] + 1, padding[0], padding[0] + 1)
    output = base.new_empty(rows, channels)
    for h, w in zip(have.tolist(), want.tolist(), strict=True):
        changed = base.clone()
        height, width = max(0, h[2] - h[0]), max(0, h[3] - h[1])
        patch = patches[h[4] : h[4] + height * width].view(height, width, base.shape[1])
        if height and width:
            changed[0, :, h[0] : h[2], h[1] : h[3]] = patch.permute(2, 0, 1)
        result = F.conv2d(F.pad(changed, sides), weight, bias, tuple(stride), 0, tuple(dilation), groups)
        part = result[0, :, w[0] : max(w[0], w[2]), w[1] : max(w[1], w[3])].permute(1, 2, 0).flatten(0, 1)
        output[w[4] : w[4] + len(part)] = part
    output = output if residual is None else output + residual
    output = output.relu() if relu else output
    return output if ceiling is None else output.clamp(max=ceiling)


def pointwise_patches(
    bases: Sequence[Tensor],
    patches: Sequence[Tensor],
    haves: Sequence[Tensor],
    want: Tensor,
    rows: int,
    filters: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    before_relu: bool,
    channels: int,
    stride: Pair,
    relu: bool,
    ceiling: float | None = None,
) -> Tensor:
    """bases [1,C[i],H,W], patches [P[i],C[i]], haves int64 [n,5] each -> [rows,O]: the positions of want[i], for each
    i, of the 1x1 convolution of the concatenated maps, whose channels were scaled, shifted and rectified before.
    """
    window, y, x, wanted = _positions(want, rows)
    parts = [
        _at(base, patch, have, window, y * stride[0], x * stride[1], wanted, 0.0)
        for base, patch, have in zip(bases, patches, haves, strict=True)
    ]
    read = torch.cat(parts, 1)
    if scale is not None and shift is not None:
        read = read * scale + shift
    read = read.relu() if before_relu else read
    output = F.linear(read, filters.view(channels, -1), bias)
    output = output if residual is None else output + residual
    output = output.relu() if relu else output
    return output if ceiling is None else output.clamp(max=ceiling)


def pack_grouped_filters(weight: Tensor, groups: int) -> Tensor:
    """[O,C/groups,kh,kw] -> what grouped_patches takes; here nothing but the numbers in their order."""
    return weight.contiguous().flatten()


def grouped_patches(
    base: Tensor,
    patches: Tensor,
    have: Tensor,
    want: Tensor,
    rows: int,
    filters: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    channels: int,
    groups: int,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    relu: bool,
    ceiling: float | None = None,
) -> Tensor:
    """As conv_patches, in groups of channels."""
    before = (base, patches, have, want, rows, filters, bias, residual, channels)
    return conv_patches(*before, kernel_size, stride, padding, dilation, relu, ceiling, groups)


def linear_rows(input: Tensor, weight: Tensor, bias: Tensor | None, have: Tensor | None, size: Pair) -> Tensor:
    """input [n,H*W*C], weight [O,C*H*W], have int64 [n,5] -> [n,O]; a row counts as zero outside of its rectangle."""
    maps = input.unflatten(1, (*size, input.shape[1] // (size[0] * size[1])))
    if have is not None:
        y = torch.arange(size[0], device=input.device)[None, :, None]
        x = torch.arange(size[1], device=input.device)[None, None, :]
        top, left, bottom, right = (have[:, i, None, None] for i in range(4))
        maps = maps * ((y >= top) & (y < bottom) & (x >= left) & (x < right))[..., None]
    return F.linear(maps.permute(0, 3, 1, 2).flatten(1), weight, bias)


def texture_pixels(
    output: Tensor,
    chosen: Tensor,
    coarser: Tensor | None,
    values: Tensor,
    windows: Tensor,
    order: Tensor,
    centres: Tensor,
    nodes: Tensor,
    radius: int,
    leaves: int,
    first: int,
    last: int,
) -> None:
    """Changes output uint8 [H,W,C] and chosen int64 [H,W] from `first` to `last`: each pixel takes the value whose
    window is nearest to its own, in the leaves that a search from the root meets first.
    """
    width, side = output.shape[1], 2 * radius + 1
    for at in range(first, last):
        y, x = divmod(at, width)
        seen = _square(output, y, x, radius)[: radius * side + radius]  # what is above, and to the left
        if coarser is not None:
            seen = torch.cat((seen, _square(coarser, y // 2, x // 2, radius)))
        window = F.pad(seen.flatten().long(), (0, windows.shape[1] - seen.numel()))

        aside = [(0, 0)]  # the distance to a node's centre, the node
        best: list[tuple[int, int]] = []  # the distance of a window, which value it belongs to
        for _ in range(min(leaves, len(nodes))):
            if not aside:
                break
            _, node = aside.pop(aside.index(min(aside)))
            while nodes[node, 1]:
                child, count = nodes[node, :2].tolist()
                distances = (centres[child : child + count].long() - window).square().sum(1)
                next_one = int(distances.argmin())
                aside += [(int(d), child + i) for i, d in enumerate(distances) if i != next_one]
                node = child + next_one
            begin, end = nodes[node, 2:].tolist()
            distances = (windows[begin:end].long() - window).square().sum(1)
            best += zip(distances.tolist(), order[begin:end].tolist(), strict=True)
        found = min(best)[1]
        chosen[y, x] = found
        output[y, x] = values[found]


def _square(level: Tensor, y: int, x: int, radius: int) -> Tensor:
    """The pixels [(2 radius + 1)^2,C] around a place of a level [H,W,C], by rows; borders meet."""
    reach = torch.arange(-radius, radius + 1, device=level.device)
    return level[(y + reach) % level.shape[0]][:, (x + reach) % level.shape[1]].flatten(0, 1)
