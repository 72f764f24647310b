"""Every operator once more, against NumPy, which shares no code with torch; and im2col itself."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda import ops
from zfcuda.ops import im2col
from zfcuda.ops import patches as patch_ops
from zfcuda.ops.grouped_patches import grouped_patches, pack_grouped_filters
from zfcuda.ops.pointwise import pointwise_patches

# kernel, stride, padding, ceil_mode
POOLS = [
    ((3, 3), (2, 2), (1, 1), False),
    ((3, 3), (2, 2), (0, 0), True),
    ((2, 2), (2, 2), (0, 0), False),
    ((3, 2), (1, 3), (1, 0), False),
    ((2, 5), (3, 2), (1, 2), True),
    ((5, 5), (3, 3), (2, 2), True),
    ((3, 3), (5, 4), (1, 1), True),
]
SIZES = [(2, 3, 13, 11), (1, 7, 9, 16), (1, 1, 5, 5)]
SETTINGS = [(5, 5e-4, 0.75, 2.0), (1, 0.3, 0.5, 1.0), (4, 0.2, 0.75, 1.0), (9, 0.1, 1.0, 0.5)]


def special(size: tuple[int, ...]) -> Tensor:
    """An input with ties, NaN, infinities and a channel below zero."""
    x = (torch.randn(size) * 2).round() / 2
    x[:, 0] = -x[:, 0].abs()
    flat = x.view(-1)
    flat[::17], flat[5::29], flat[7::31] = torch.nan, torch.inf, -torch.inf
    return x


def check(output: Tensor, expected: Any, tolerance: float = 2e-6) -> None:
    assert tuple(output.shape) == expected.shape
    np.testing.assert_allclose(output.cpu().numpy(), expected, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- im2col


def test_im2col_on_paper() -> None:
    x = np.arange(12.0).reshape(1, 1, 3, 4)
    columns = im2col.im2col(x, (2, 3), (1, 1))
    assert columns.shape == (1, 1, 6, 4)
    assert columns[0, 0, :, 0].tolist() == [0, 1, 2, 4, 5, 6]
    assert columns[0, 0, :, 3].tolist() == [5, 6, 7, 9, 10, 11]
    padded = im2col.im2col(x, (2, 2), (2, 2), (1, 1), fill=-1)
    assert padded[0, 0, :, 0].tolist() == [-1, -1, -1, 0]
    # 3x4 in windows of 2x2 that overlap: a corner lies in one of them, the inside in four
    summed = im2col.col2im(np.ones((1, 1, 4, 6)), (3, 4), (2, 2))
    assert summed[0, 0].tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [1, 2, 2, 1]]


@pytest.mark.parametrize("pool", POOLS[:4])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
def test_col2im_is_the_transpose(pool: Any, dilation: tuple[int, int]) -> None:
    kernel, stride, padding, _ = pool
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 3, 13, 11))
    columns = im2col.im2col(x, kernel, stride, padding, dilation)
    other = random.standard_normal(columns.shape)
    back = im2col.col2im(other, x.shape[2:], kernel, stride, padding, dilation)
    assert np.isclose((columns * other).sum(), (x * back).sum())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stride": (2, 3), "padding": (1, 2)},
        {"padding": (2, 0), "dilation": (2, 1)},
        {"groups": 2, "padding": (1, 1)},
        {"groups": 4, "stride": (3, 1)},
    ],
    ids=str,
)
def test_convolution_is_torchs(settings: dict[str, Any]) -> None:
    x, bias = torch.randn(2, 4, 12, 9, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    weight = torch.randn(8, 4 // settings.get("groups", 1), 3, 5, dtype=torch.float64)
    product = im2col.conv2d(x.numpy(), weight.numpy(), bias.numpy(), **settings)
    check(F.conv2d(x, weight, bias, **settings), product, 1e-12)


# ---------------------------------------------------------------- operators


def pooled_cases() -> Any:
    for size, pool in itertools.product(SIZES, POOLS):
        kernel, _, padding, _ = pool
        if all(size[2 + i] + 2 * padding[i] >= kernel[i] for i in (0, 1)):
            yield size, pool


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_pooling(relu: bool, format: torch.memory_format, device: torch.device) -> None:
    for (size, pool), make in itertools.product(pooled_cases(), (torch.randn, special)):
        x = make(size)
        maxima, switches = ops.max_pool2d_with_switches(x.to(device).contiguous(memory_format=format), *pool, relu=relu)
        expected = im2col.max_pool2d_with_switches(x.numpy(), *pool, relu=relu)
        check(maxima, expected[0], 0)
        check(switches, expected[1], 0)


def test_pooling_in_half_precision(device: torch.device) -> None:
    x = torch.randn(2, 3, 13, 11).half()
    maxima, switches = ops.max_pool2d_with_switches(x.to(device), 3, 2, 1)
    expected = im2col.max_pool2d_with_switches(x.numpy(), (3, 3), (2, 2), (1, 1))
    assert expected[0].dtype == np.float16
    check(maxima, expected[0], 0)
    check(switches, expected[1], 0)


def test_pooling_gradient_is_unpooling(device: torch.device) -> None:
    for size, pool in pooled_cases():
        x = torch.randn(size, dtype=torch.float64)
        leaf = x.to(device, copy=True).requires_grad_()
        output, _ = ops.max_pool2d_with_switches(leaf, *pool)
        grad = torch.randn(output.shape, dtype=torch.float64)
        output.backward(grad.to(device))
        kernel, stride, padding, _ = pool
        switches = im2col.max_pool2d_with_switches(x.numpy(), *pool)[1]
        expected = im2col.max_unpool2d(grad.numpy(), switches, kernel, stride, padding, output_size=size[2:])
        assert leaf.grad is not None
        check(leaf.grad, expected, 1e-12)


def test_unpooling(device: torch.device) -> None:
    for size, (kernel, stride, padding, ceil) in pooled_cases():
        _, switches = im2col.max_pool2d_with_switches(torch.randn(size).numpy(), kernel, stride, padding, ceil)
        signal = np.random.default_rng(1).standard_normal(switches.shape).astype(np.float32)
        for chosen in (switches, np.random.default_rng(2).integers(0, 256, switches.shape, np.uint8)):
            unpooled = ops.max_unpool2d(
                torch.from_numpy(signal).to(device),
                torch.from_numpy(chosen).to(device),
                kernel,
                stride,
                padding,
                output_size=size[2:],
            )
            check(unpooled, im2col.max_unpool2d(signal, chosen, kernel, stride, padding, output_size=size[2:]))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("size", [(2, 13, 5, 7), (1, 3, 9, 4), (2, 1, 3, 3)], ids=str)
def test_normalisation_and_its_gradient(settings: Any, size: tuple[int, ...], device: torch.device) -> None:
    x, grad = torch.randn(size, dtype=torch.float64) * 3, torch.randn(size, dtype=torch.float64)
    leaf = x.to(device, copy=True).requires_grad_()
    output = ops.local_response_norm(leaf, *settings)
    check(output.detach(), im2col.local_response_norm(x.numpy(), *settings), 1e-12)
    output.backward(grad.to(device))
    assert leaf.grad is not None
    check(leaf.grad, im2col.local_response_norm_backward(grad.numpy(), x.numpy(), *settings), 1e-12)
    check(ops.local_response_norm(x.float().to(device), *settings), im2col.local_response_norm(x.numpy(), *settings))


@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_the_stage(format: torch.memory_format, device: torch.device) -> None:
    for (size, pool), settings in itertools.product(pooled_cases(), SETTINGS):
        x = torch.randn(size)
        names = dict(zip(("size", "alpha", "beta", "k"), settings, strict=True))
        placed = x.to(device).contiguous(memory_format=format)
        output, switches = ops.relu_max_pool2d_lrn(placed, *pool, **names)
        expected = im2col.relu_max_pool2d_lrn(x.double().numpy(), *pool, **names)
        check(output, expected[0])
        check(switches, expected[1], 0)


def test_occluders(device: torch.device) -> None:
    image = torch.randn(3, 9, 11)
    origins = torch.tensor([[0, 0], [4, 5], [8, 10], [-2, 7], [20, 0]])
    for fill in (torch.tensor(0.5), torch.randn(3, 1, 1), torch.randn(3, 9, 11)):
        occluded = ops.occlude(image.to(device), fill.to(device), origins.to(device), (3, 4))
        check(occluded, im2col.occlude(image.numpy(), fill.numpy(), origins.numpy(), (3, 4)), 0)


# ---------------------------------------------------------------- patches


def rectangles(random: np.random.Generator, size: tuple[int, int], count: int, outside: int) -> tuple[Any, int]:
    """int64 [count,5], some of them empty, and how many positions they hold."""
    rows, start = [], 0
    for _ in range(count):
        top, left = (int(random.integers(-outside, n)) for n in size)
        bottom = int(random.integers(top, size[0] + outside + 1))
        right = int(random.integers(left, size[1] + outside + 1))
        rows.append([top, left, bottom, right, start])
        start += (bottom - top) * (right - left)
    return np.array(rows, np.int64), start


def test_gathered_patches(device: torch.device) -> None:
    for seed in range(8):
        random = np.random.default_rng(seed)
        base = random.standard_normal((1, 5, 9, 7)).astype(np.float32)
        have, kept = rectangles(random, (9, 7), 6, 0)
        want, rows = rectangles(random, (9, 7), 6, 3)
        patches = random.standard_normal((kept, 5)).astype(np.float32)
        gathered = patch_ops.gather_patches(
            *(torch.from_numpy(x).to(device) for x in (base, patches, have, want)), rows, -2.0
        )
        check(gathered, im2col.gather_patches(base, patches, have, want, rows, -2.0), 0)


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel": (3, 3), "padding": (1, 1)},  # Winograd's algorithm
        {"kernel": (3, 3), "padding": (1, 1), "stride": (2, 2)},
        {"kernel": (1, 1)},
        {"kernel": (5, 3), "padding": (2, 0), "stride": (1, 2)},
        {"kernel": (3, 2), "padding": (2, 1), "dilation": (2, 1)},
    ],
    ids=str,
)
def test_convolved_patches(settings: dict[str, Any]) -> None:
    kernel, rest = settings["kernel"], {name: value for name, value in settings.items() if name != "kernel"}
    stride, dilation = rest.get("stride", (1, 1)), rest.get("dilation", (1, 1))
    for seed, channels, maps in ((0, 3, 5), (1, 16, 8), (2, 7, 33)):
        random = np.random.default_rng(seed)
        base = random.standard_normal((1, channels, 11, 9)).astype(np.float32)
        weight = random.standard_normal((maps, channels, *kernel)).astype(np.float32)
        bias = random.standard_normal(maps).astype(np.float32)
        size = im2col.conv2d(base, weight, None, **rest).shape[2:]
        have, kept = rectangles(random, (11, 9), 6, 0)
        want, rows = rectangles(random, size, 6, 0)
        patches = random.standard_normal((kept, channels)).astype(np.float32)
        residual = random.standard_normal((rows, maps)).astype(np.float32)
        arrays = [torch.from_numpy(x) for x in (base, patches, have, want)]
        filters = patch_ops.pack_filters(torch.from_numpy(weight), stride, dilation)
        output = patch_ops.conv_patches(
            *arrays,
            rows,
            filters,
            torch.from_numpy(bias),
            torch.from_numpy(residual),
            channels=maps,
            kernel_size=kernel,
            relu=True,
            ceiling=2.0,
            **rest,
        )
        wide = [x.astype(np.float64) for x in (base, patches)]
        expected = im2col.conv_patches(*wide, have, want, rows, weight, bias, residual, relu=True, ceiling=2.0, **rest)
        check(output, expected, 2e-5)


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_patches_convolved_in_groups(groups: int) -> None:
    rest: dict[str, Any] = {"padding": (1, 0), "stride": (1, 2), "dilation": (1, 2)}
    random = np.random.default_rng(groups)
    base = random.standard_normal((1, 8, 11, 9)).astype(np.float32)
    weight = random.standard_normal((16, 8 // groups, 3, 2)).astype(np.float32)
    bias = random.standard_normal(16).astype(np.float32)
    have, kept = rectangles(random, (11, 9), 6, 0)
    want, rows = rectangles(random, im2col.conv2d(base, weight, None, **rest, groups=groups).shape[2:], 6, 0)
    patches = random.standard_normal((kept, 8)).astype(np.float32)
    residual = random.standard_normal((rows, 16)).astype(np.float32)
    base_t, patches_t, have_t, want_t = (torch.from_numpy(x) for x in (base, patches, have, want))
    filters = pack_grouped_filters(torch.from_numpy(weight), groups)
    tables: Any = (base_t, patches_t, have_t, want_t, rows, filters, torch.from_numpy(bias), torch.from_numpy(residual))
    more: dict[str, Any] = {"groups": groups, "relu": True, "ceiling": 2.0, **rest}
    output = grouped_patches(*tables, channels=16, kernel_size=(3, 2), **more)
    wide = [x.astype(np.float64) for x in (base, patches)]
    check(output, im2col.conv_patches(*wide, have, want, rows, weight, bias, residual, **more), 2e-5)


def test_pointwise_products_of_joined_maps() -> None:
    random = np.random.default_rng(0)
    parts, channels = [], (3, 8, 17)
    for count in channels:
        have, kept = rectangles(random, (11, 9), 6, 0)
        patches = random.standard_normal((kept, count)).astype(np.float32)
        parts.append((random.standard_normal((1, count, 11, 9)).astype(np.float32), patches, have))
    weight = random.standard_normal((20, sum(channels), 1, 1)).astype(np.float32)
    bias, (scale, shift) = random.standard_normal(20).astype(np.float32), random.standard_normal((2, 28))
    scale, shift = scale.astype(np.float32), shift.astype(np.float32)
    want, rows = rectangles(random, (6, 9), 6, 0)
    residual = random.standard_normal((rows, 20)).astype(np.float32)
    of_tensors = [[torch.from_numpy(x) for x in each] for each in zip(*parts, strict=True)]
    more: dict[str, Any] = {"before_relu": True, "stride": (2, 1), "relu": True, "ceiling": 2.0}
    output = pointwise_patches(
        *of_tensors,
        torch.from_numpy(want),
        rows,
        patch_ops.pack_filters(torch.from_numpy(weight)),
        torch.from_numpy(bias),
        torch.from_numpy(residual),
        scale=torch.from_numpy(scale),
        shift=torch.from_numpy(shift),
        channels=20,
        **more,
    )
    bases, patches_of, haves = zip(*parts, strict=True)
    wide = ([x.astype(np.float64) for x in each] for each in (bases, patches_of))
    expected = im2col.pointwise_patches(
        *wide, haves, want, rows, weight, bias, residual, scale=scale, shift=shift, **more
    )
    check(output, expected, 2e-5)


def test_linear_rows() -> None:
    random = np.random.default_rng(0)
    have, _ = rectangles(random, (4, 5), 7, 0)
    maps = random.standard_normal((7, 4, 5, 3)).astype(np.float32)
    for map, (top, left, bottom, right, _) in zip(maps, have, strict=True):
        outside = np.ones((4, 5), bool)
        outside[top:bottom, left:right] = False
        map[outside] = 0
    rows = maps.reshape(7, -1)
    weight, bias = random.standard_normal((6, 60)).astype(np.float32), random.standard_normal(6).astype(np.float32)
    arguments = [torch.from_numpy(x) for x in (rows, weight, bias, have)]
    check(patch_ops.linear_rows(*arguments, (4, 5)), im2col.linear_rows(rows, weight, bias, have, (4, 5)), 2e-5)
    check(patch_ops.linear_rows(*arguments[:2]), im2col.linear_rows(rows, weight), 2e-5)
