"""The fused stage against the three operators one after the other."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from tests.ops.tensors import DTYPES, LAYOUTS, NORMS, POOLS, SIZES, fits, laid_out, near, pairs, picture, same
from zfcuda import ops
from zfcuda.ops import reference


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_stage_is_the_three_in_one(dtype: torch.dtype, layout: str, device: torch.device) -> None:
    for size, pool, norm in itertools.product(SIZES, POOLS, NORMS[:3]):
        if not fits(size, pool):
            continue
        kernel, stride, padding, ceil = pairs(pool)
        for kind in ("noise", "special"):
            x = laid_out(picture(size, dtype, device, kind), layout)
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
        x = laid_out(picture(size, torch.float64, device), layout)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        output, _ = ops.relu_max_pool2d_lrn(a, kernel, stride, padding, ceil, size=5, alpha=0.3, beta=0.75, k=2.0)
        pooled = F.max_pool2d(F.relu(b), kernel, stride, padding, ceil_mode=ceil)
        expected = F.local_response_norm(pooled, 5, 0.3, 0.75, 2.0)
        grad = torch.randn_like(output)
        output.backward(grad)
        expected.backward(grad)
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(9, 5, 63, 41), (23, 3, 31, 17), (2, 11, 400, 9), (40, 1, 12, 700)], ids=str)
@pytest.mark.parametrize("size", [1, 2, 4, 5, 30])
def test_many_rows_of_a_channel_together(shape: tuple[int, ...], size: int, device: torch.device) -> None:
    """A large batch is cut into few pieces on a CPU: more rows of each, up to all."""
    for kind in ("noise", "special"):
        x = picture(shape, torch.float32, device, kind)
        args = (x, [3, 3], [2, 2], [1, 1], True, size, 0.3, 0.75, 2.0)
        for ours, truth in zip(
            torch.ops.zfcuda.relu_max_pool2d_lrn(*args, True), reference.relu_max_pool2d_lrn(*args, True), strict=True
        ):
            (near if ours.is_floating_point() else same)(ours, truth)
