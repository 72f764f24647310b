"""Unpooling by switches: overlapping windows add up, corrupted switches add nothing."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.ops.tensors import DTYPES, LAYOUTS, POOLS, SIZES, fits, laid_out, pairs, picture, same
from zfcuda import ops
from zfcuda.ops import reference


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_unpool_adds_where_windows_overlap(dtype: torch.dtype, layout: str, device: torch.device) -> None:
    for size, pool in itertools.product(SIZES, POOLS):
        if not fits(size, pool):
            continue
        kernel, stride, padding, ceil = pairs(pool)
        x = picture(size, dtype, device)
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
        x = picture(size, torch.float32, device)
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
