"""Rectangles of maps that differ in a patch: gathered, unfolded, pooled."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.ops.tensors import DTYPES, LAYOUTS, PATCHES, laid_out, near, same, tables
from zfcuda.ops import patches as patch_ops
from zfcuda.ops import reference


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


def test_the_last_window_of_a_pooling_that_rounds_up(device: torch.device) -> None:
    base = torch.randn(1, 5, 7, 9, device=device)
    table = torch.tensor([[0, 0, 0, 0, 0]], device=device)
    arguments = (base, base.new_empty(0, 5), table)
    for kernel, stride in ((3, 3), (2, 5), (1, 4)):
        expected = F.max_pool2d(base, kernel, stride, ceil_mode=True)[0]
        height, width = expected.shape[1:]
        want = torch.tensor([[0, 0, height, width, 0]], device=device)
        pooled = patch_ops.pool_patches(*arguments, want, height * width, kernel_size=kernel, stride=stride)
        same(pooled, expected.permute(1, 2, 0).flatten(0, 1))
        want = torch.tensor([[0, 0, 4, 1, 0]], device=device)
        with pytest.raises(RuntimeError, match="want: window 0 wants positions"):
            patch_ops.pool_patches(*arguments, want, 4, kernel_size=kernel, stride=stride)


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
