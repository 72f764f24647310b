"""Sums over the maps of windows: of what each holds, whatever stands elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from zfcuda.occlusion.incremental import sums
from zfcuda.occlusion.incremental.change_analysis import Changes, Local
from zfcuda.occlusion.incremental.chunk import Base, Chunk, Places
from zfcuda.occlusion.incremental.patches import Patches
from zfcuda.occlusion.incremental.regions import Intervals

INF, NAN = float("inf"), float("nan")


def intervals(*pairs: tuple[int, int]) -> Intervals:
    return np.array(pairs, np.int64)


def laid(chunk: Chunk, base: Tensor) -> list[Tensor]:
    """The whole map of each window, by hand."""
    patches, maps = chunk.values[0], []
    for top, left, bottom, right, start in patches.layout.table.tolist():
        one = base[0].clone()
        area = (bottom - top) * (right - left)
        rows = patches.values[start : start + area]
        one[:, top:bottom, left:right] = rows.t().view(4, bottom - top, right - left)
        maps.append(one)
    return maps


@pytest.mark.parametrize("device_type", ["cpu", "other"])
@pytest.mark.parametrize("filled", [0, 10**9], ids=["around", "completed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_each_window(dtype: torch.dtype, filled: int, device_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "_FILLED", filled)
    if device_type == "other":
        monkeypatch.setattr(sums, "_groups_are_fast", lambda device: False)
    rows = intervals((0, 3), (2, 7), (0, 0), (5, 9), (0, 9))
    columns = intervals((0, 2), (1, 6), (6, 11), (0, 11), (10, 11))
    changes = Changes({0: Local(rows, columns)}, {}, {}, set(), set(), [], {})
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(1, 4, 9, 11, generator=generator)
    base[0, 1, 3, 4], base[0, 2, 8, 10], base[0, 2, 0, 0], base[0, 3, 6, 0], base[0, 0, 2, 2] = INF, INF, -INF, NAN, 1e9
    base = base.to(dtype)
    chunk = Chunk(Base({0: base}, dtype), Places(changes, np.arange(25)[::-1].copy(), 5))
    layout = chunk.layout(0)
    chunk.values[0] = Patches(torch.randn(layout.rows, 4, generator=generator, dtype=dtype), layout)
    expected = torch.stack([one.double().sum((1, 2)) for one in laid(chunk, base)])
    assert expected.isfinite().any() and not expected.isfinite().all()
    found = sums.map_sums(chunk, 0)
    assert found.dtype == torch.float64
    # Lines of a float32 map are added up in float32, in which 1e9 knows steps of 64.
    single = dtype == torch.float32
    rtol, atol = (1e-6, 1e-5) if single else (1e-12, 1e-6)
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol, equal_nan=True)
    small = expected.abs() < 1e6  # where the 1e9 is covered, nothing of it is left
    assert small[:, 0].any()
    torch.testing.assert_close(found[small], expected[small], rtol=rtol, atol=1e-5 if single else 1e-12)
