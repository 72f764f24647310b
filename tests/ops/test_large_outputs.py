"""Outputs beyond the caches: written past them, whole cache lines at a time."""

from __future__ import annotations

import pytest
import torch

from tests.ops.tensors import same
from zfcuda.ops import reference

WINDOW = ([3, 3], [2, 2], [1, 1])


@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        (torch.float32, (3, 37, 273, 287)),
        (torch.float64, (1, 61, 263, 271)),
        (torch.bfloat16, (2, 135, 251, 255)),
        (torch.float32, (1, 3, 1801, 1603)),
    ],
    ids=str,
)
def test_past_the_caches(format: torch.memory_format, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape).to(dtype).contiguous(memory_format=format)
    x[0, 0, 7, 9], x[0, 1, 100, 100], x[0, 0, 50, 50] = torch.nan, torch.inf, -torch.inf
    pooled, switches = torch.ops.zfcuda.max_pool2d_with_switches(x, *WINDOW, False, False)
    for ours, truth in zip(
        (pooled, switches), reference.max_pool2d_with_switches(x, *WINDOW, False, False), strict=True
    ):
        same(ours, truth)
    gate = pooled.clone()
    for g in (None, gate):
        args = (pooled, switches, *WINDOW, list(shape[2:]), g)
        output = torch.ops.zfcuda.max_unpool2d(*args)
        assert output.nbytes >= 32 << 20 and output.is_contiguous(memory_format=format)
        same(output, reference.max_unpool2d(*args))
    same(
        torch.ops.zfcuda.gather_by_switch(x, switches, *WINDOW, gate),
        reference.gather_by_switch(x, switches, *WINDOW, gate),
    )


def test_sums_that_overflow_are_not_taken_for_nan() -> None:
    values = torch.tensor([3e38, -3e38, torch.inf, -torch.inf, torch.nan, 1.0, -1.0, 0.0])
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for kinds in ([0], [0, 1], [2], [3], [2, 3], [0, 1, 2, 3], [0, 1, 2, 3, 5, 6, 7], list(range(8)), [4], [3, 4]):
            for size, channels in ((37, 11), (9, 3), (16, 32)):
                x = values[torch.tensor(kinds)][torch.randint(len(kinds), (2, channels, size, size))].to(dtype)
                if dtype == torch.float64:
                    x = torch.where(x.abs() > 1e38, x * 5e269, x)
                for format in (torch.contiguous_format, torch.channels_last):
                    y = x.contiguous(memory_format=format)
                    for kernel, padding, relu in ((3, 1, False), (3, 0, True), (2, 0, False), (2, 1, True)):
                        window = ([kernel] * 2, [2, 2], [padding] * 2, False, relu)
                        ours = torch.ops.zfcuda.max_pool2d_with_switches(y, *window)
                        for a, b in zip(ours, reference.max_pool2d_with_switches(y, *window), strict=True):
                            same(a, b)
