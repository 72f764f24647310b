"""Occluded copies of an image."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.ops.tensors import DTYPES, laid_out, same
from zfcuda.ops import reference


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
        found = torch.ops.zfcuda.occlude(image, fill, origins, window)
        assert torch.equal(found[:, 0].bool().cpu(), torch.tensor(inside))
