"""Local response normalisation against torch's."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from tests.ops.tensors import DTYPES, LAYOUTS, NORMS, SIZES, laid_out, near, picture
from zfcuda import ops
from zfcuda.ops import reference


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["noise", "special"])
def test_lrn_is_torchs(dtype: torch.dtype, layout: str, kind: str, device: torch.device) -> None:
    for size, norm in itertools.product(SIZES, NORMS):
        x = laid_out(picture(size, dtype, device, kind), layout)
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
        x = laid_out(picture(size, torch.float64, device), layout)
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
