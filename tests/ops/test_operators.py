"""Each operator against its plain-torch twin, torch itself, and cases worked out by hand."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda import ops
from zfcuda.ops import patches as patch_ops
from zfcuda.ops import reference

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
LAYOUTS = ["contiguous", "channels_last", "strided", "channels_last_strided"]
# kernel, stride, padding, ceil_mode
POOLS = [
    (3, 2, 1, False),
    (3, 2, 0, True),
    (2, 2, 0, False),
    (3, 1, 1, False),
    ((3, 2), (1, 3), (1, 0), False),
    ((2, 5), (3, 2), (1, 2), True),
    (1, 1, 0, False),
    (5, 3, 2, True),
    ((16, 16), (7, 5), 8, False),
]
SIZES = [(2, 5, 13, 11), (1, 3, 17, 40), (1, 33, 35, 37)]


def laid_out(x: Tensor, layout: str) -> Tensor:
    if layout.startswith("channels_last"):
        x = x.contiguous(memory_format=torch.channels_last)
    if layout.endswith("strided"):
        wide = torch.empty(x.shape[0] * 2, x.shape[1], x.shape[2], x.shape[3] * 2, dtype=x.dtype, device=x.device)
        wide = wide.to(memory_format=torch.channels_last) if layout.startswith("channels_last") else wide
        view = wide[::2, :, :, ::2]
        return view.copy_(x)
    return x


def pairs(pool: tuple) -> tuple[list[int], list[int], list[int], bool]:
    k, s, p, ceil = pool
    return (*([v, v] if isinstance(v, int) else list(v) for v in (k, s, p)), ceil)


def fits(size: tuple[int, ...], pool: tuple) -> bool:
    kernel, _, padding, _ = pairs(pool)
    return all(size[2 + i] + 2 * padding[i] >= kernel[i] for i in (0, 1))


def made(size: tuple[int, ...], dtype: torch.dtype, device: torch.device, kind: str = "noise") -> Tensor:
    """Noise; or "special": ties, NaN, infinities and long stretches below zero."""
    x = torch.randn(size, dtype=torch.float64)
    if kind == "special":
        x = (x * 2).round() / 2
        x[:, ::2] = -x[:, ::2].abs()
        flat = x.view(-1)
        flat[::17], flat[5::29], flat[7::31] = torch.nan, torch.inf, -torch.inf
        x[0, 0] = -torch.inf
    return x.to(device, dtype)


def same(a: Tensor, b: Tensor) -> None:
    if a.dtype == b.dtype and a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all()):
        return  # an order faster than assert_close, whose message is wanted only on failure
    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def near(a: Tensor, b: Tensor, roundings: int = 1) -> None:
    """Asserts equality within the rounding of the dtype; `roundings` more where large terms cancel."""
    tolerance = {torch.float32: 2e-6, torch.float64: 1e-13, torch.float16: 1e-3, torch.bfloat16: 1e-2}[a.dtype]
    tolerance *= roundings
    if a.dtype == b.dtype and a.shape == b.shape and torch.allclose(a, b, tolerance, tolerance, equal_nan=True):
        return
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


# ---------------------------------------------------------------- pooling


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["noise", "special"])
def test_pool_is_torchs(dtype: torch.dtype, layout: str, kind: str, device: torch.device) -> None:
    for size, pool, relu in itertools.product(SIZES, POOLS, (False, True)):
        if not fits(size, pool):
            continue
        kernel, stride, padding, ceil = pairs(pool)
        x = laid_out(made(size, dtype, device, kind), layout)
        output, switches = ops.max_pool2d_with_switches(x, kernel, stride, padding, ceil, relu=relu)
        expected, expected_switches = reference.max_pool2d_with_switches(x, kernel, stride, padding, ceil, relu)
        same(output, expected)
        same(switches, expected_switches)
        assert output.stride() == expected.stride() and switches.stride() == expected_switches.stride()


def test_a_huge_stride_takes_no_memory(device: torch.device) -> None:
    x = torch.randn(1, 2, 3, 3, device=device)
    output, switches = ops.max_pool2d_with_switches(x, 3, 2**31 - 1)
    same(output, F.max_pool2d(x, 3))
    assert ops.max_unpool2d(output, switches, 3, 2**31 - 1, output_size=(3, 3)).sum() == output.sum()


def test_pool_on_paper(device: torch.device) -> None:
    x = torch.tensor(
        [
            [1.0, 5.0, 2.0, -1.0],
            [4.0, 5.0, 0.0, -2.0],
            [-3.0, -1.0, -7.0, -4.0],
            [-2.0, -6.0, -5.0, -4.0],
        ],
        device=device,
    )[None, None]
    output, switches = ops.max_pool2d_with_switches(x, 2)
    assert output.tolist() == [[[[5, 2], [-1, -4]]]]
    assert switches.tolist() == [[[[1, 0], [1, 1]]]]  # of equals the first: the 5 above, the -4 above
    output, switches = ops.max_pool2d_with_switches(x, 2, relu=True)
    assert output.tolist() == [[[[5, 2], [0, 0]]]]
    assert switches.tolist() == [[[[1, 0], [0, 0]]]]  # nothing positive: the first element
    output, switches = ops.max_pool2d_with_switches(x, 3, 2, 1, relu=True)
    # windows start at -1 and 1; at the corner the first element inside the map is offset 4
    assert output.tolist() == [[[[5, 5], [5, 5]]]]
    assert switches.tolist() == [[[[5, 3], [2, 0]]]]


def test_switch_of_a_window_without_anything_positive(device: torch.device) -> None:
    x = torch.full((1, 1, 4, 4), -torch.inf, device=device)
    for relu in (False, True):
        output, switches = ops.max_pool2d_with_switches(x, 3, 2, 1, relu=relu)
        assert switches.tolist() == [[[[4, 3], [1, 0]]]]
        assert (output == (0 if relu else -torch.inf)).all()


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_pool_gradient_is_torchs(relu: bool, layout: str, device: torch.device) -> None:
    for size, pool in itertools.product(SIZES, POOLS):
        if not fits(size, pool):
            continue
        kernel, stride, padding, ceil = pairs(pool)
        x = laid_out((made(size, torch.float64, device) * 4).round(), layout)  # with ties
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        output, _ = ops.max_pool2d_with_switches(a, kernel, stride, padding, ceil, relu=relu)
        expected = F.max_pool2d(F.relu(b) if relu else b, kernel, stride, padding, ceil_mode=ceil)
        grad = torch.randn_like(output)
        output.backward(grad)
        expected.backward(grad)
        near(a.grad, b.grad)


# ---------------------------------------------------------------- unpooling


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_unpool_adds_where_windows_overlap(dtype: torch.dtype, layout: str, device: torch.device) -> None:
    for size, pool in itertools.product(SIZES, POOLS):
        if not fits(size, pool):
            continue
        kernel, stride, padding, ceil = pairs(pool)
        x = made(size, dtype, device)
        pooled, switches = reference.max_pool2d_with_switches(x, kernel, stride, padding, ceil, True)
        values = laid_out(torch.randn_like(pooled), layout)
        switches = laid_out(switches, layout)
        gate = laid_out(pooled, layout)
        for g in (None, gate):
            args = (values, switches, kernel, stride, padding, list(size[2:]), g)
            output = torch.ops.zfcuda.max_unpool2d(*args)
            expected = reference.max_unpool2d(*args)
            same(output, expected)
            assert output.stride() == expected.stride()
            back = (x, switches, kernel, stride, padding, g)
            same(torch.ops.zfcuda.gather_by_switch(*back), reference.gather_by_switch(*back))
        # Nothing is lost: all windows' values are in the map.
        total = ops.max_unpool2d(values, switches, kernel, stride, padding, output_size=size[2:]).double().sum((2, 3))
        scale = 1e-4 if dtype in (torch.float32, torch.float64) else 0.1
        torch.testing.assert_close(total, values.double().sum((2, 3)), rtol=scale, atol=10 * scale)


def test_unpool_on_paper(device: torch.device) -> None:
    # A peak that all four 3x3 windows of stride 2 share: each sends it its own value, and they add.
    x = torch.zeros(1, 1, 5, 5, device=device)
    x[0, 0, 2, 2] = 1
    _, switches = ops.max_pool2d_with_switches(x, 3, 2)
    assert switches.tolist() == [[[[8, 6], [2, 0]]]]
    values = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], device=device)
    output = ops.max_unpool2d(values, switches, 3, 2, output_size=(5, 5))
    expected = torch.zeros(1, 1, 5, 5, device=device)
    expected[0, 0, 2, 2] = 10
    same(output, expected)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_corrupted_switches_add_nothing(layout: str, device: torch.device) -> None:
    for pool in POOLS:
        kernel, stride, padding, ceil = pairs(pool)
        size = (2, 5, 17, 19)
        x = made(size, torch.float32, device)
        pooled, _ = ops.max_pool2d_with_switches(x, kernel, stride, padding, ceil)
        values = laid_out(torch.randn_like(pooled), layout)
        switches = laid_out(torch.randint(0, 256, pooled.shape, dtype=torch.uint8, device=device), layout)
        args = (values, switches, kernel, stride, padding, [17, 19])
        same(torch.ops.zfcuda.max_unpool2d(*args), reference.max_unpool2d(*args))
        back = (x, switches, kernel, stride, padding)
        same(torch.ops.zfcuda.gather_by_switch(*back), reference.gather_by_switch(*back))


def test_single_seeds_survive(device: torch.device) -> None:
    """Single seeds survive where torch's max_unpool2d loses a third of them."""
    x = torch.randn(1, 1, 33, 33, device=device)
    pooled, switches = ops.max_pool2d_with_switches(x, 3, 2, 1)
    n = pooled.shape[2]
    seeds = torch.zeros(n * n, 1, n, n, device=device)
    seeds.view(n * n, -1).fill_diagonal_(1.0)
    output = ops.max_unpool2d(seeds, switches.expand(n * n, 1, n, n), 3, 2, 1, output_size=(33, 33))
    assert (output.flatten(1).sum(1) == 1).all()


def test_unpool_is_deterministic(device: torch.device) -> None:
    x = torch.randn(3, 7, 31, 29, device=device)
    pooled, switches = ops.max_pool2d_with_switches(x, 5, 1, 2)
    runs = [ops.max_unpool2d(pooled, switches, 5, 1, 2, output_size=(31, 29)) for _ in range(3)]
    same(runs[0], runs[1])
    same(runs[0], runs[2])


# ---------------------------------------------------------------- local response normalisation and the fused stage

NORMS = [
    (5, 5e-4, 0.75, 2.0),
    (3, 0.1, 0.5, 1.0),
    (4, 0.3, 1.0, 0.5),
    (1, 1e-2, 0.6, 1.0),
    (9, 1e-1, 0.75, 0.0),
    (64, 1.0, 0.3, 2.0),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["noise", "special"])
def test_lrn_is_torchs(dtype: torch.dtype, layout: str, kind: str, device: torch.device) -> None:
    for size, norm in itertools.product(SIZES, NORMS):
        x = laid_out(made(size, dtype, device, kind), layout)
        output = ops.local_response_norm(x, *norm)
        expected = reference.local_response_norm(x, *norm)
        near(output, expected)
        assert output.stride() == expected.stride()
        grad = laid_out(torch.randn_like(x), layout)
        if kind == "noise":
            near(
                torch.ops.zfcuda.local_response_norm_backward(grad, x, *norm),
                reference.local_response_norm_backward(grad, x, *norm),
                roundings=10,
            )


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_lrn_gradient_is_torchs(layout: str, device: torch.device) -> None:
    for size, norm in itertools.product(SIZES, NORMS):
        x = laid_out(made(size, torch.float64, device), layout)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        output, expected = ops.local_response_norm(a, *norm), F.local_response_norm(b, *norm)
        grad = torch.randn_like(output)
        output.backward(grad)
        expected.backward(grad)
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-12)


def test_more_channels_asked_for_than_there_are(device: torch.device) -> None:
    x = torch.randn(1, 3, 2, 2, device=device)
    squares = x.square().sum(1, keepdim=True)
    expected = x / (1 + 1e-3 * squares)
    near(ops.local_response_norm(x, 10**12, alpha=1e9, beta=1.0, k=1.0), expected)


def test_lrn_on_paper(device: torch.device) -> None:
    # Three channels 1, 2, 3; two neighbours; alpha / size = 1: 1 / sqrt(1 + 1), 2 / sqrt(1 + 1 + 4), 3 / sqrt(1 + 4 +
    # 9).
    x = torch.tensor([1.0, 2.0, 3.0], device=device).view(1, 3, 1, 1)
    output = ops.local_response_norm(x, 2, alpha=2.0, beta=0.5, k=1.0)
    torch.testing.assert_close(output.flatten().cpu(), torch.tensor([1 / 2**0.5, 2 / 6**0.5, 3 / 14**0.5]))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_stage_is_the_three_in_one(dtype: torch.dtype, layout: str, device: torch.device) -> None:
    for size, pool, norm in itertools.product(SIZES, POOLS, NORMS[:3]):
        if not fits(size, pool):
            continue
        kernel, stride, padding, ceil = pairs(pool)
        for kind in ("noise", "special"):
            x = laid_out(made(size, dtype, device, kind), layout)
            args = (x, kernel, stride, padding, ceil, *norm)
            output, switches, pooled = torch.ops.zfcuda.relu_max_pool2d_lrn(*args, True)
            expected = reference.relu_max_pool2d_lrn(*args, True)
            near(output, expected[0])
            same(switches, expected[1])
            same(pooled, expected[2])
            assert output.stride() == expected[0].stride()
            again, _, nothing = torch.ops.zfcuda.relu_max_pool2d_lrn(*args, False)
            same(again, output)
            assert nothing.numel() == 0


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_stage_gradient_is_torchs(layout: str, device: torch.device) -> None:
    for size, pool in itertools.product(SIZES, POOLS[:6]):
        if not fits(size, pool):
            continue
        kernel, stride, padding, ceil = pairs(pool)
        x = laid_out(made(size, torch.float64, device), layout)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        output, _ = ops.relu_max_pool2d_lrn(a, kernel, stride, padding, ceil, size=5, alpha=0.3, beta=0.75, k=2.0)
        pooled = F.max_pool2d(F.relu(b), kernel, stride, padding, ceil_mode=ceil)
        expected = F.local_response_norm(pooled, 5, 0.3, 0.75, 2.0)
        grad = torch.randn_like(output)
        output.backward(grad)
        expected.backward(grad)
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------- occlusion


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
def test_occlude(dtype: torch.dtype, layout: str, device: torch.device) -> None:
    image = laid_out(torch.randn(1, 3, 13, 17, device=device).to(dtype), layout)[0]
    origins = torch.tensor([[0, 0], [10, 12], [5, 16], [-3, -2], [13, 0], [2**62, -(2**62)]], device=device)
    fills = [torch.zeros(()), torch.randn(3, 1, 1), torch.randn(3, 13, 17), torch.randn(13, 17)]
    for fill, window in itertools.product(fills, ([4, 6], [1, 1], [20, 30])):
        args = (image, fill.to(device, dtype), origins, window)
        output, expected = torch.ops.zfcuda.occlude(*args), reference.occlude(*args)
        same(output, expected)
        assert output.stride() == expected.stride()


def test_occluders_that_begin_anywhere(device: torch.device) -> None:
    edges = [-(2**63), -(2**62), -(2**31), -3, 2, 2**31, 2**62, 2**63 - 1]
    image, fill = torch.zeros(1, 5, 6, device=device), torch.ones((), device=device)
    origins = torch.tensor(list(itertools.product(edges, edges)), device=device)
    for window in ([5, 2], [2**62, 2**62], [2**63 - 1, 4]):
        inside = [
            [[oy <= y < oy + window[0] and ox <= x < ox + window[1] for x in range(6)] for y in range(5)]
            for oy, ox in origins.tolist()
        ]
        occluded = torch.ops.zfcuda.occlude(image, fill, origins, window)
        assert torch.equal(occluded[:, 0].bool().cpu(), torch.tensor(inside))


# ---------------------------------------------------------------- rectangles of maps that differ in a patch


def tables(device: torch.device, *corners: tuple[int, int, int, int]) -> tuple[Tensor, int]:
    """int64 [n,5] of the rectangles (top, left, bottom, right), one after the other; the positions in all."""
    lines, start = [], 0
    for top, left, bottom, right in corners:
        lines.append([top, left, bottom, right, start])
        start += max(0, bottom - top) * max(0, right - left)
    return torch.tensor(lines, dtype=torch.int64, device=device).reshape(-1, 5), start


# Per window: what is kept, what is read; the map is 7 x 9.
PATCHES = [
    ((2, 3, 5, 7), (1, 2, 6, 8)),  # the patch and a margin
    ((0, 0, 2, 2), (-2, -1, 3, 4)),  # over the corner
    ((5, 6, 7, 9), (4, 5, 9, 11)),  # over the opposite one
    ((3, 3, 3, 6), (2, 2, 5, 5)),  # nothing kept
    ((1, 4, 4, 2), (1, 1, 4, 8)),
    ((1, 1, 4, 4), (5, 6, 7, 9)),  # nothing of the patch wanted
    ((0, 0, 7, 9), (0, 0, 7, 9)),  # everything
    ((2, 2, 3, 3), (3, 3, 3, 3)),  # nothing wanted
    ((2, 2, 3, 3), (5, 5, 4, 9)),
    ((2, 2, 6, 6), (3, 3, 5, 5)),  # inside the patch
    ((2, 2, 6, 6), (-5, 0, -2, 4)),  # outside the map: above, below, left, right
    ((2, 2, 6, 6), (7, 0, 9, 4)),
    ((2, 2, 6, 6), (0, -9, 3, -4)),
    ((2, 2, 6, 6), (0, 9, 3, 10)),
    ((0, 2, 7, 3), (-1, -2, 9, 12)),  # a column; more than the map
    ((4, 0, 5, 9), (4, 0, 5, 9)),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gather_patches(dtype: torch.dtype, layout: str, device: torch.device) -> None:
    have, kept = tables(device, *(have for have, _ in PATCHES))
    want, rows = tables(device, *(want for _, want in PATCHES))
    for channels in (1, 3, 5, 64, 70, 96, 264):  # on a GPU also several units per thread
        base = laid_out(torch.randn(1, channels, 7, 9, device=device).to(dtype), layout)
        # The last row belongs to no window.
        patches = torch.randn(kept + 1, channels, device=device).to(dtype)
        for fill in (0.0, -2.5):
            args = (base, patches, have, want, rows, fill)
            output, expected = torch.ops.zfcuda.gather_patches(*args), reference.gather_patches(*args)
            same(output, expected)
            assert output.shape == (rows, channels) and output.is_contiguous()
        strided = (base, patches.repeat_interleave(2, 0)[::2], have.T.contiguous().T, want.flip(0).flip(0), rows, 0.0)
        same(torch.ops.zfcuda.gather_patches(*strided), reference.gather_patches(*strided))


def test_gathered_maps_are_the_maps(device: torch.device) -> None:
    """The expected rows come without tables, from the full maps, padded and sliced."""
    base = torch.randn(1, 5, 7, 9, device=device)
    have, kept = tables(device, *(have for have, _ in PATCHES))
    want, rows = tables(device, *(want for _, want in PATCHES))
    patches = torch.randn(kept, 5, device=device)
    output = patch_ops.gather_patches(base, patches, have, want, rows, 4.0)
    for (h, w), kept_from, from_ in zip(PATCHES, have[:, 4].tolist(), want[:, 4].tolist(), strict=True):
        full = base[0].clone()
        size = [max(0, h[2] - h[0]), max(0, h[3] - h[1])]
        patch = patches[kept_from : kept_from + size[0] * size[1]]
        if patch.numel():
            full[:, h[0] : h[2], h[1] : h[3]] = patch.T.reshape(5, *size)
        padded = F.pad(full, (9, 9, 9, 9), value=4.0)
        expected = padded[:, w[0] + 9 : max(w[0], w[2]) + 9, w[1] + 9 : max(w[1], w[3]) + 9].flatten(1).T
        same(output[from_ : from_ + len(expected)], expected)


def test_gather_many_patches(device: torch.device) -> None:
    """More than one thread's piece, whose borders lie anywhere in a window."""
    generator = torch.Generator().manual_seed(0)
    for channels in (3, 64):
        n, height, width = 300, 21, 17
        corners = torch.randint(0, 12, (n, 4), generator=generator)
        corners[:, 2:] += torch.randint(-2, 6, (n, 2), generator=generator)
        have, kept = tables(device, *map(tuple, corners.tolist()))
        corners = torch.randint(-9, 20, (n, 4), generator=generator)
        want, rows = tables(device, *map(tuple, corners.tolist()))
        base = torch.randn(1, channels, height, width, device=device)
        args = (base, torch.randn(kept, channels, device=device), have, want, rows, 0.5)
        same(torch.ops.zfcuda.gather_patches(*args), reference.gather_patches(*args))


def test_gather_patches_of_nothing(device: torch.device) -> None:
    base, patches = torch.randn(1, 3, 4, 5, device=device), torch.randn(6, 3, device=device)
    none, _ = tables(device)
    assert patch_ops.gather_patches(base, patches, none, none, 0).shape == (0, 3)
    empty, _ = tables(device, (2, 2, 2, 2), (0, 3, 4, 3))
    assert patch_ops.gather_patches(base, patches, empty, empty, 0).shape == (0, 3)
    want, rows = tables(device, (0, 0, 4, 5), (-1, 0, 1, 1))
    expected = reference.gather_patches(base, patches[:0], empty, want, rows, 2.0)
    same(patch_ops.gather_patches(base, patches[:0], empty, want, rows, 2.0), expected)
    assert patch_ops.gather_patches(base[:, :0], patches[:, :0], empty, want, rows).shape == (rows, 0)
    # A map without positions is padding alone.
    same(
        patch_ops.gather_patches(base[:, :, :0], patches, empty, want, rows, 2.0),
        torch.full((rows, 3), 2.0, device=device),
    )


def test_gather_patches_fills_with_what_the_dtype_holds(device: torch.device) -> None:
    none, _ = tables(device, (0, 0, 0, 0))
    want, rows = tables(device, (5, 5, 6, 7))
    for dtype, fill in itertools.product(DTYPES, (0.1, -torch.inf, torch.nan)):
        base = torch.zeros(1, 8, 2, 2, dtype=dtype, device=device)
        output = patch_ops.gather_patches(base, base.new_empty(0, 8), none, want, rows, fill)
        same(output, torch.full_like(output, fill))


# Layers of windows over the 7 x 9 map: kernel, stride, padding, dilation.
WINDOWS = [
    ((3, 3), (2, 2), (1, 1), (1, 1)),
    ((2, 5), (1, 3), (0, 2), (1, 1)),  # with more taps than a thread moves at once
    ((3, 2), (1, 1), (2, 1), (2, 3)),
    ((1, 1), (1, 1), (0, 0), (1, 1)),
    ((7, 9), (1, 1), (3, 4), (1, 1)),
]


def windows_over(device: torch.device, window: tuple, channels: int) -> tuple:
    """have, want, patches, and the rows: what PATCHES keeps, and rectangles of the layer's output."""
    kernel, stride, padding, dilation = window
    have, kept = tables(device, *(have for have, _ in PATCHES))
    height, width = (
        (length + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i, length in enumerate((7, 9))
    )
    corners = []
    for i in range(len(PATCHES)):
        top, left = i % height, i * 3 % width
        corners.append((top, left, min(height, top + 1 + i % 4), min(width, left + i * 5 % 7)))
    corners[3] = (0, 0, height, width)
    want, rows = tables(device, *corners)
    return torch.randn(kept + 1, channels, device=device), have, want, rows


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_over_patches(dtype: torch.dtype, layout: str, device: torch.device) -> None:
    for channels, window in itertools.product((1, 3, 8, 21), WINDOWS):
        base = laid_out(torch.randn(1, channels, 7, 9, device=device).to(dtype), layout)
        patches, have, want, rows = windows_over(device, window, channels)
        args = (base, patches.to(dtype), have, want, rows, *map(list, window))
        unfolded = torch.ops.zfcuda.unfold_patches(*args)
        same(unfolded, reference.unfold_patches(*args))
        assert unfolded.shape == (rows, channels * window[0][0] * window[0][1]) and unfolded.is_contiguous()
        same(torch.ops.zfcuda.pool_patches(*args, False), reference.pool_patches(*args, False))
        near(torch.ops.zfcuda.pool_patches(*args, True), reference.pool_patches(*args, True))


def test_windows_over_patches_are_those_of_the_maps(device: torch.device) -> None:
    """The expected rows come without tables, from each full map through torch's own layers."""
    base = torch.randn(1, 5, 7, 9, device=device)
    for kernel, stride, padding, dilation in WINDOWS:
        patches, have, want, rows = windows_over(device, (kernel, stride, padding, dilation), 5)
        settings = dict(kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
        unfolded = patch_ops.unfold_patches(base, patches, have, want, rows, **settings)
        largest = patch_ops.pool_patches(base, patches, have, want, rows, **settings)
        sums = patch_ops.pool_patches(base, patches, have, want, rows, **settings, sum=True)
        for h, w in zip(have.tolist(), want.tolist(), strict=True):
            full = base[0].clone()
            size = [max(0, h[2] - h[0]), max(0, h[3] - h[1])]
            patch = patches[h[4] : h[4] + size[0] * size[1]]
            if patch.numel():
                full[:, h[0] : h[2], h[1] : h[3]] = patch.T.reshape(5, *size)
            outputs = [
                (length + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
                for i, length in enumerate((7, 9))
            ]
            columns = F.unfold(full[None], kernel, dilation, padding, stride)[0].view(5, -1, *outputs)
            expected = columns[..., w[0] : w[2], w[1] : max(w[1], w[3])].permute(2, 3, 1, 0).flatten(0, 1)
            part = slice(w[4], w[4] + len(expected))
            same(unfolded[part], expected.flatten(1))
            near(sums[part], expected.sum(1))
            if padding[0] * 2 <= kernel[0] and padding[1] * 2 <= kernel[1]:
                pooled = F.max_pool2d(full[None], kernel, stride, padding, dilation)[0]
                same(largest[part], pooled[:, w[0] : w[2], w[1] : max(w[1], w[3])].permute(1, 2, 0).flatten(0, 1))


def test_pool_patches_of_special_values(device: torch.device) -> None:
    base = torch.tensor([1.0, -torch.inf, torch.nan, torch.inf], device=device).repeat(20)[:63].view(1, 1, 7, 9)
    args = windows_over(device, WINDOWS[0], 1)
    args = (base, torch.full_like(args[0], torch.nan), *args[1:], *map(list, WINDOWS[0]))
    for summed in (False, True):
        same(torch.ops.zfcuda.pool_patches(*args, summed), reference.pool_patches(*args, summed))


def test_windows_over_patches_of_nothing(device: torch.device) -> None:
    base, patches = torch.randn(1, 3, 4, 5, device=device), torch.randn(6, 3, device=device)
    none, _ = tables(device)
    empty, _ = tables(device, (2, 2, 2, 2), (0, 3, 4, 3))
    for have in (none, empty):
        assert patch_ops.unfold_patches(base, patches, have, have, 0, kernel_size=3).shape == (0, 27)
        assert patch_ops.pool_patches(base, patches, have, have, 0, kernel_size=3).shape == (0, 3)
    want, rows = tables(device, (0, 0, 2, 3), (0, 1, 2, 2))
    args = (base[:, :0], patches[:, :0], empty, want, rows)
    assert patch_ops.unfold_patches(*args, kernel_size=3).shape == (rows, 0)
    assert patch_ops.pool_patches(*args, kernel_size=3).shape == (rows, 0)
    unfolded = patch_ops.unfold_patches(base, patches[:0], empty, want, rows, kernel_size=3)
    same(unfolded, reference.unfold_patches(base, patches[:0], empty, want, rows, [3, 3], [1, 1], [0, 0], [1, 1]))


# ---------------------------------------------------------------- every operator


def samples(device: torch.device, dtype: torch.dtype = torch.float64) -> dict[str, tuple]:
    x = torch.randn(2, 6, 9, 8, device=device, dtype=dtype)
    pooled, switches = ops.max_pool2d_with_switches(x, 3, 2, 1, relu=True)
    norm = (5, 0.3, 0.75, 2.0)
    changed = (x[:1], x.new_ones(9, 6), tables(device, (2, 3, 5, 6))[0], *tables(device, (1, 2, 6, 7)))
    return {
        "max_pool2d_with_switches": (x, [3, 3], [2, 2], [1, 1], False, True),
        "max_unpool2d": (torch.randn_like(pooled), switches, [3, 3], [2, 2], [1, 1], [9, 8], pooled),
        "gather_by_switch": (x, switches, [3, 3], [2, 2], [1, 1], pooled),
        "local_response_norm": (x, *norm),
        "local_response_norm_backward": (torch.randn_like(x), x, *norm),
        "relu_max_pool2d_lrn": (x, [3, 3], [2, 2], [1, 1], False, *norm, True),
        "occlude": (x[0], x[1], torch.tensor([[0, 0], [3, 5]], device=device), [4, 4]),
        "gather_patches": (
            x[:1],
            x.new_ones(9, 6),
            tables(device, (2, 3, 5, 6))[0],
            *tables(device, (-1, 2, 4, 9)),
            0.5,
        ),
        "unfold_patches": (*changed, [3, 3], [1, 1], [1, 1], [1, 1]),
        "pool_patches": (*changed, [3, 2], [1, 1], [1, 0], [1, 1], False),
    }


OPERATORS = list(samples(torch.device("cpu")))
OF_PATCHES = ("gather_patches", "unfold_patches", "pool_patches")
BATCHED = [name for name in OPERATORS if name not in OF_PATCHES]
DIFFERENTIABLE = [name for name in BATCHED if name != "occlude"]


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_opcheck(name: str, channels_last: bool, device: torch.device) -> None:
    def prepared(x: object, i: int) -> object:
        if not isinstance(x, Tensor):
            return x
        if channels_last and x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        # What is differentiated: the first argument, and the second of the LRN gradient.
        wants = name in DIFFERENTIABLE and (i == 0 or (i == 1 and name == "local_response_norm_backward"))
        return x.clone().requires_grad_() if wants else x

    args = tuple(prepared(x, i) for i, x in enumerate(samples(device)[name]))
    torch.library.opcheck(getattr(torch.ops.zfcuda, name).default, args)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_numerically(name: str, device: torch.device) -> None:
    args = list(samples(device)[name])
    x = args[0].clone().requires_grad_()

    def run(x: Tensor) -> tuple[Tensor, ...]:
        result = getattr(torch.ops.zfcuda, name)(x, *args[1:])
        return tuple(t for t in (result if isinstance(result, tuple) else (result,)) if t.is_floating_point())

    assert torch.autograd.gradcheck(run, (x,))
    assert torch.autograd.gradgradcheck(run, (x,))


@pytest.mark.parametrize("name", BATCHED)
def test_empty_batch(name: str, device: torch.device) -> None:
    args = samples(device)[name]
    args = tuple(x[:0] if isinstance(x, Tensor) and x.dim() != 3 else x for x in args)
    result = getattr(torch.ops.zfcuda, name)(*args)
    expected = getattr(reference, name)(*args)
    for a, b in zip(*((r if isinstance(r, tuple) else (r,)) for r in (result, expected)), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_whole(dynamic: bool, device: torch.device) -> None:
    def run(x: Tensor) -> Tensor:
        y, _ = ops.relu_max_pool2d_lrn(x, 3, 2, 1, size=5, alpha=0.3, k=2.0)
        z, switches = ops.max_pool2d_with_switches(ops.local_response_norm(y, 3), 2, relu=True)
        return ops.max_unpool2d(z * 2, switches, 2, output_size=y.shape[2:])

    compiled = torch.compile(run, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for size in ((2, 6, 17, 18), (3, 6, 21, 18)):
        a = torch.randn(size, device=device, requires_grad=True)
        b = a.detach().clone().requires_grad_()
        run(a).square().sum().backward()
        compiled(b).square().sum().backward()
        near(a.grad, b.grad)


@pytest.mark.parametrize("dynamic", [False, True])
def test_gather_patches_compiles_whole(dynamic: bool, device: torch.device) -> None:
    def run(base: Tensor, patches: Tensor, have: Tensor, want: Tensor, rows: int) -> Tensor:
        return patch_ops.gather_patches(base * 2, patches, have, want, rows, 0.5).relu()

    compiled = torch.compile(run, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for count in (5, 9, len(PATCHES)):
        have, kept = tables(device, *(have for have, _ in PATCHES[:count]))
        want, rows = tables(device, *(want for _, want in PATCHES[:count]))
        args = (torch.randn(1, 6, 7, 9, device=device), torch.randn(kept, 6, device=device), have, want, rows)
        same(compiled(*args), run(*args))


def test_inference_mode(device: torch.device) -> None:
    for name, args in samples(device).items():
        with torch.inference_mode():
            getattr(torch.ops.zfcuda, name)(*args)


@pytest.mark.skipif(not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="one instruction set only")
@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_narrower_instruction_sets(isa: str) -> None:
    """Runs these tests again, in a process that may use less of this processor."""
    if os.environ.get("ZFCUDA_ISA"):
        pytest.skip("already in such a process")
    if isa == "avx2" and torch.backends.cpu.get_cpu_capability() == "AVX2":
        pytest.skip("avx2 is what runs anyway")
    chosen = "(test_pool_is_torchs or test_unpool_adds or test_lrn_is or test_stage_is or corrupted) and not strided"
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-k",
            chosen,
            "-m",
            "not cuda",
            "-p",
            "no:cacheprovider",
            __file__,
        ],
        env={**os.environ, "ZFCUDA_ISA": isa},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:]


def test_a_device_without_kernels_runs_the_twin() -> None:
    from zfcuda.ops import fallback

    fallback.warned.clear()
    run = fallback.falling_back("local_response_norm", reference.local_response_norm)
    x = torch.randn(1, 5, 2, 2)
    with pytest.warns(UserWarning, match="no compiled kernels for cpu"):
        same(run(x, 3, 0.1, 0.5, 1.0), reference.local_response_norm(x, 3, 0.1, 0.5, 1.0))
    fallback.warned.clear()


# ---------------------------------------------------------------- bad input

X = torch.zeros(1, 2, 8, 8)
S = torch.zeros(1, 2, 4, 4, dtype=torch.uint8)
BAD = {
    "input: expected .N,C,H,W., got 3": lambda: ops.max_pool2d_with_switches(X[0], 2),
    "input: expected float32.*got Long": lambda: ops.max_pool2d_with_switches(X.long(), 2),
    "kernel_size: expected at least 1, got .0, 0": lambda: ops.max_pool2d_with_switches(X, 0),
    "kernel_size: expected one or two.*1, 2, 3": lambda: ops.max_pool2d_with_switches(X, (1, 2, 3)),
    "kernel_size: a switch is one byte.*17, 16": lambda: ops.max_pool2d_with_switches(X, (17, 16)),
    "stride: expected at least 1, got .0, 1": lambda: ops.max_pool2d_with_switches(X, 2, (0, 1)),
    "stride: expected at most 2147483647, got .4294967296": lambda: ops.max_pool2d_with_switches(X, 2, 2**32),
    "padding: expected at most half.*got .4611686018427387904": lambda: ops.max_pool2d_with_switches(X, 3, 2, 2**62),
    "padding: expected at most half.*got .2, 2": lambda: ops.max_pool2d_with_switches(X, 3, 2, 2),
    "input: its height 8 is too small for kernel_size 9": lambda: ops.max_pool2d_with_switches(X, 9),
    "input: its width 8 is too small": lambda: ops.relu_max_pool2d_lrn(X, (8, 9), size=5),
    "switches: expected uint8, got Float": lambda: ops.max_unpool2d(X, X, 2, output_size=(16, 16)),
    "switches: expected input's shape .1, 2, 8, 8., got .1, 2, 4, 4": lambda: ops.max_unpool2d(
        X, S, 2, output_size=(8, 8)
    ),
    "output_size: .10, 8. does not pool to .4, 4.*from 7 to 9": lambda: ops.max_unpool2d(
        X[:, :, :4, :4], S, 2, output_size=(10, 8)
    ),
    "size: expected at least 1 channel, got 0": lambda: ops.local_response_norm(X, 0),
    "image: expected .C,H,W.": lambda: ops.occlude(X, X, torch.zeros(1, 2).long(), 2),
    "fill: expected a shape that broadcasts": lambda: ops.occlude(X[0], torch.zeros(5), torch.zeros(1, 2).long(), 2),
    "origins: expected int64 .n,2., got Float": lambda: ops.occlude(X[0], X[0], torch.zeros(1, 2), 2),
    "window: expected at least 1, got .0, 0": lambda: ops.occlude(X[0], X[0], torch.zeros(1, 2).long(), 0),
    "base: expected .N,C,H,W., got 3": lambda: gathered(base=X[0]),
    "base: expected float32.*got Long": lambda: gathered(base=X.long()),
    "base: expected one map.*got shape .2, 2, 8, 8": lambda: gathered(base=X.expand(2, -1, -1, -1)),
    "patches: expected .P,C. with base's 2 channels, got shape .4, 3": lambda: gathered(patches=torch.zeros(4, 3)),
    "patches: expected base's dtype and device, Float on cpu, got Half": lambda: gathered(
        patches=torch.zeros(4, 2).half()
    ),
    "have: expected int64 .n,5., got Int": lambda: gathered(have=T.int()),
    "want: expected int64 .n,5., got Long .2, 4": lambda: gathered(want=T[:, :4]),
    "have: expected want's 2 windows, got 1": lambda: gathered(have=T[:1]),
    "rows: expected at least 0, got -1": lambda: gathered(rows=-1),
    "fill: expected a value that Float can hold, got 1e.300": lambda: gathered(fill=1e300),
}
# Mistakes that a GPU could not see without waiting.
BAD_TABLES = {
    "have: window 1 holds positions -1, 0 to 2, 2, beyond base's 8 x 8": lambda: gathered(have=table(1, 0, -1)),
    "have: window 1 holds positions 0, -1 to": lambda: gathered(have=table(1, 1, -1)),
    "have: window 1 holds positions 0, 0 to 9, 2, beyond": lambda: gathered(have=table(1, 2, 9)),
    "have: window 0 holds positions 0, 0 to 2, 4611686018427387904, beyond": lambda: gathered(have=table(0, 3, 2**62)),
    "have: window 1 has 4 positions from row 5 of patches, which has 8": lambda: gathered(have=table(1, 4, 5)),
    "have: window 0 has 4 positions from row -1 of": lambda: gathered(have=table(0, 4, -1)),
    "have: window 0 has 4 positions from row 9223372036854775807": lambda: gathered(have=table(0, 4, 2**63 - 1)),
    "want: window 0 starts at row 1, expected 0": lambda: gathered(want=table(0, 4, 1)),
    "want: window 1 starts at row 3, expected 4": lambda: gathered(want=table(1, 4, 3)),
    "want: window 1 wants 2 x 3 positions from row 4 on, more than rows 8": lambda: gathered(want=table(1, 3, 3)),
    "want: window 1 wants 4611686018427387904 x 2 positions": lambda: gathered(want=table(1, 2, 2**62)),
    "want: window 0 wants 18446744073709551615 x 2 positions": lambda: gathered(want=EXTREME),
    "want: its 2 windows want 8 positions, rows is 9": lambda: gathered(rows=9),
    "want: its 0 windows want 0 positions, rows is 8": lambda: gathered(have=T[:0], want=T[:0]),
}
# Two windows of 2 x 2.
T = torch.tensor([[0, 0, 2, 2, 0], [0, 0, 2, 2, 4]])
EXTREME = torch.tensor([[-(2**63), 0, 2**63 - 1, 2, 0], [0, 0, 2, 2, 4]])


def table(window: int, column: int, value: int) -> Tensor:
    """T with one number replaced."""
    changed = T.clone()
    changed[window, column] = value
    return changed


def gathered(**changes: Any) -> Tensor:
    """gather_patches where all is well but `changes`."""
    return patch_ops.gather_patches(
        **{"base": X, "patches": torch.zeros(8, 2), "have": T, "want": T, "rows": 8, "fill": 0.0, **changes}
    )


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        BAD[message]()


@pytest.mark.parametrize("message", BAD_TABLES)
def test_bad_table_is_named(message: str) -> None:
    assert gathered().shape == (8, 2)
    with pytest.raises(RuntimeError, match=message):
        BAD_TABLES[message]()


def test_what_no_window_reads_is_not_checked() -> None:
    """An empty rectangle may say anything."""
    have = torch.tensor([[2**62, -5, -(2**62), 99, -1], [3, 99, 4, 99, 2**63 - 1]])
    same(gathered(have=have, base=X + 1), torch.ones(8, 2))
    want = torch.tensor([[2**63 - 1, 0, -(2**63), 2**62, 0], [-(2**63), 2**63 - 2, 2 - 2**63, 2**63 - 1, 0]])
    same(gathered(want=want, rows=2, fill=3), torch.full((2, 2), 3.0))


HUGE = 2**31
BAD_WINDOWS: dict[str, dict[str, Any]] = {
    "kernel_size: expected at least 1, got .3, 0": {"kernel_size": (3, 0)},
    "stride: expected at least 1, got .0, 0": {"stride": 0},
    "padding: expected at least 0, got .-1, 1": {"padding": (-1, 1)},
    "dilation: expected at most 2147483647, got .2147483648": {"dilation": HUGE},
    "kernel_size: .2147483647, 2147483647. makes .* numbers of one position": {"kernel_size": HUGE - 1},
    "padding: .2147483647, 2147483647. makes .* numbers of base's": {"padding": HUGE - 1},
    "rows: expected at least 0, got -1": {"rows": -1},
    "patches: expected base's dtype.*got Double": {"patches": torch.zeros(9, 2).double()},
    "want: window 1 wants positions 5, 0 to 7, 2, beyond the output's 6 x 7": {
        "want": torch.tensor([[0, 0, 2, 2, 0], [5, 0, 7, 2, 4]])
    },
    "want: its 2 windows want 8 positions, rows is 9": {"rows": 9},
    "have: window 0 holds positions 2, 3 to 5, 11, beyond base's 7 x 8": {
        "have": torch.tensor([[2, 3, 5, 11, 0], [0, 0, 0, 0, 0]])
    },
}


@pytest.mark.parametrize("operator", [patch_ops.unfold_patches, patch_ops.pool_patches])
@pytest.mark.parametrize("message", BAD_WINDOWS)
def test_bad_windows_over_patches_are_named(message: str, operator: Any) -> None:
    good: dict[str, Any] = {
        "base": torch.randn(1, 2, 7, 8),
        "patches": torch.zeros(9, 2),
        "rows": 8,
        "kernel_size": 3,
        "have": torch.tensor([[2, 3, 5, 6, 0], [0, 0, 0, 0, 0]]),
        "want": torch.tensor([[0, 0, 2, 2, 0], [2, 0, 4, 2, 4]]),
    }
    assert len(operator(**good)) == 8
    with pytest.raises(RuntimeError, match=message):
        operator(**good | BAD_WINDOWS[message])
