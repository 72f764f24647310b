"""Outputs beyond the caches: written past them, into memory that dead outputs left."""

from __future__ import annotations

import pytest
import torch

from tests.ops.tensors import same
from zfcuda import ops
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
    for _ in range(2):  # the second time into the memory of the first
        for g in (None, gate):
            args = (pooled, switches, *WINDOW, list(shape[2:]), g)
            output = torch.ops.zfcuda.max_unpool2d(*args)
            assert output.nbytes >= 32 << 20 and output.is_contiguous(memory_format=format)
            same(output, reference.max_unpool2d(*args))
            del output
    same(
        torch.ops.zfcuda.gather_by_switch(x, switches, *WINDOW, gate),
        reference.gather_by_switch(x, switches, *WINDOW, gate),
    )


def test_living_outputs_share_no_memory() -> None:
    x = torch.randn(2, 64, 160, 160)
    first, switches = ops.max_pool2d_with_switches(x, 1)
    second, _ = ops.max_pool2d_with_switches(-x, 1)
    assert first.nbytes >= 8 << 20 and first.data_ptr() != second.data_ptr()
    assert torch.equal(first, x) and torch.equal(second, -x)
    kept = second.numpy()  # keeps the memory without the tensor
    del second
    third, _ = ops.max_pool2d_with_switches(2 * x, 1)
    assert torch.equal(torch.from_numpy(kept), -x) and torch.equal(third, 2 * x)
    assert not switches.any()


def test_memory_of_dead_outputs_is_used_again() -> None:
    x = torch.randn(2, 64, 160, 160)
    places = {ops.max_pool2d_with_switches(x, 1)[0].data_ptr() for _ in range(8)}
    assert len(places) <= 2


def test_storage_can_be_resized() -> None:
    x = torch.randn(2, 64, 160, 160)
    output, _ = ops.max_pool2d_with_switches(x, 1)
    output.resize_(4, 64, 160, 160)
    assert torch.equal(output[:2], x)
    output.untyped_storage().resize_(0)
    assert output.untyped_storage().nbytes() == 0
