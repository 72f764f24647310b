"""Max pooling with switches against torch's, and on paper."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from tests.ops.tensors import DTYPES, LAYOUTS, POOLS, SIZES, fits, laid_out, near, pairs, picture, same
from zfcuda import ops
from zfcuda.ops import reference


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["noise", "special"])
def test_pool_is_torchs(dtype: torch.dtype, layout: str, kind: str, device: torch.device) -> None:
    for size, pool, relu in itertools.product(SIZES, POOLS, (False, True)):
        if not fits(size, pool):
            continue
        kernel, stride, padding, ceil = pairs(pool)
        x = laid_out(picture(size, dtype, device, kind), layout)
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
        x = laid_out((picture(size, torch.float64, device) * 4).round(), layout)  # with ties
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        output, _ = ops.max_pool2d_with_switches(a, kernel, stride, padding, ceil, relu=relu)
        expected = F.max_pool2d(F.relu(b) if relu else b, kernel, stride, padding, ceil_mode=ceil)
        grad = torch.randn_like(output)
        output.backward(grad)
        expected.backward(grad)
        near(a.grad, b.grad)
