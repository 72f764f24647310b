"""The CPU's own layers on patches and rows (pack_filters, conv_patches, linear_rows) against their twins in float64."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.ops.test_operators import laid_out, same, tables
from zfcuda.ops import patches as patch_ops
from zfcuda.ops import reference

CPU = torch.device("cpu")
Corners = tuple[int, int, int, int]  # top, left, bottom, right
NONE: Corners = (0, 0, 0, 0)

# Errors in parts of the largest sum of magnitudes: three times what was measured. Winograd's sums are a ninth as long.
DIRECT, WINOGRAD, LINEAR = 1e-6, 5e-7, 1e-6


@dataclass(frozen=True)
class Conv:
    inputs: int
    outputs: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    size: tuple[int, int] = (9, 11)

    @property
    def winograd(self) -> bool:
        plain = self.kernel == (3, 3) and self.stride == self.dilation == (1, 1)
        return plain and self.inputs >= 16 and self.outputs >= 16

    @property
    def map(self) -> tuple[int, int]:
        """(Ho, Wo)."""
        span = [self.size[i] + 2 * self.padding[i] - self.dilation[i] * (self.kernel[i] - 1) - 1 for i in (0, 1)]
        return span[0] // self.stride[0] + 1, span[1] // self.stride[1] + 1

    def pack(self, weight: Tensor) -> Tensor:
        return patch_ops.pack_filters(weight, self.stride, self.dilation)

    def __str__(self) -> str:
        values = (self.inputs, self.outputs, self.kernel, self.stride, self.padding, self.dilation, self.size)
        return "-".join("x".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in values)


@dataclass
class Problem:
    """conv_patches' arguments, the filters as they are."""

    conv: Conv
    base: Tensor
    patches: Tensor
    have: Tensor
    want: Tensor
    rows: int
    weight: Tensor
    bias: Tensor | None = None
    residual: Tensor | None = None
    relu: bool = False

    def run(self) -> Tensor:
        c = self.conv
        return patch_ops.conv_patches(
            self.base,
            self.patches,
            self.have,
            self.want,
            self.rows,
            c.pack(self.weight),
            self.bias,
            self.residual,
            channels=c.outputs,
            kernel_size=c.kernel,
            stride=c.stride,
            padding=c.padding,
            dilation=c.dilation,
            relu=self.relu,
        )

    def twin(self, change: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
        """What the twin gives in float64, of changed numbers."""
        c = self.conv
        base, patches, weight, bias, residual = (
            None if x is None else change(x.double())
            for x in (self.base, self.patches, self.weight, self.bias, self.residual)
        )
        assert base is not None and patches is not None and weight is not None
        filters = reference.pack_filters(weight, c.stride, c.dilation)
        return reference.conv_patches(
            base,
            patches,
            self.have,
            self.want,
            self.rows,
            filters,
            bias,
            residual,
            c.outputs,
            c.kernel,
            c.stride,
            c.padding,
            c.dilation,
            self.relu,
        )

    def check(self) -> Tensor:
        output = self.run()
        assert output.shape == (self.rows, self.conv.outputs) and output.dtype == torch.float32
        assert output.is_contiguous()
        within(output, self.twin(), self.twin(torch.abs), WINOGRAD if self.conv.winograd else DIRECT)
        return output


def within(output: Tensor, expected: Tensor, magnitudes: Tensor, tolerance: float) -> None:
    """magnitudes: the sums of the magnitudes of what output's numbers sum."""
    if output.numel() == 0:
        return
    error, scale = (output - expected).abs().max(), magnitudes.max()
    assert error <= tolerance * scale, f"{error / scale:.2e}"


def problem(
    conv: Conv,
    windows: list[tuple[Corners, Corners]],
    *,
    bias: bool = True,
    residual: bool = False,
    relu: bool = False,
    layout: str = "channels_last",
) -> Problem:
    have, kept = tables(CPU, *(have for have, _ in windows))
    want, rows = tables(CPU, *(want for _, want in windows))
    return Problem(
        conv,
        laid_out(torch.randn(1, conv.inputs, *conv.size), layout),
        torch.randn(kept, conv.inputs),
        have,
        want,
        rows,
        torch.randn(conv.outputs, conv.inputs, *conv.kernel),
        torch.randn(conv.outputs) if bias else None,
        torch.randn(rows, conv.outputs) if residual else None,
        relu,
    )


def rectangles(height: int, width: int) -> list[Corners]:
    """Rectangles of a map: the whole of it, some at each border, one inside, an empty one."""
    return [
        (0, 0, height, width),
        (0, 0, 1, 1),
        (height - 1, width - 1, height, width),
        (height // 2, width // 2, height // 2, width),
        (0, width // 2, (height + 1) // 2, width // 2 + 1),
        (height // 2, 0, height // 2 + 1, (width + 1) // 2),
        (height // 2, width // 3, height, width),
        (height // 3, width // 3, height - height // 4, width - width // 4),
        (height, 0, 0, width),
        (0, width // 2, height, width),
    ]


def windows_of(conv: Conv) -> list[tuple[Corners, Corners]]:
    """What is kept and what is wanted, at the same place and elsewhere."""
    have, want = rectangles(*conv.size), rectangles(*conv.map)
    return [*zip(have, want, strict=True), *zip(have[3:] + have[:3], want, strict=True)]


def random_windows(conv: Conv, n: int, most: int) -> list[tuple[Corners, Corners]]:
    """Rectangles of all sizes up to `most`, also empty ones."""

    def corners(size: tuple[int, int]) -> Corners:
        top, left = (int(torch.randint(0, length + 1, ())) for length in size)
        height, width = (int(torch.randint(0, most + 1, ())) for _ in size)
        return top, left, min(size[0], top + height), min(size[1], left + width)

    return [(corners(conv.size), corners(conv.map)) for _ in range(n)]


# ---------------------------------------------------------------- convolution

CONVS = [
    Conv(1, 1, (1, 1), padding=(0, 0)),
    Conv(3, 7, (11, 11), (4, 4), (2, 2), size=(40, 37)),
    Conv(3, 33, (7, 7), (2, 2), (3, 3), size=(23, 19)),
    Conv(5, 33, (2, 5), (3, 1), (1, 0)),
    Conv(17, 16, (4, 2), (2, 4), (3, 1), (2, 3), size=(12, 17)),  # uneven in everything
    Conv(3, 16, (1, 11), (1, 4), (0, 5)),
    Conv(16, 70, stride=(2, 2)),  # 3x3, and not Winograd's: stride, dilation, few channels
    Conv(16, 33, stride=(1, 2)),
    Conv(17, 33, padding=(2, 2), dilation=(2, 2)),
    Conv(16, 16, dilation=(2, 1), padding=(2, 1)),
    Conv(16, 16, dilation=(1, 2)),
    Conv(64, 7),
    Conv(5, 70),
    Conv(96, 33, (5, 5), padding=(2, 2)),
    Conv(100, 70, (1, 1), padding=(0, 0)),
    Conv(64, 96, (1, 1), (2, 2), (0, 0)),
    Conv(5, 7, (2, 2), padding=(3, 4)),  # windows that read padding alone
    Conv(512, 33, (1, 1), padding=(0, 0)),
    Conv(1024, 17, (2, 2), padding=(0, 1), size=(5, 4)),
    Conv(16, 16),
    Conv(17, 33, padding=(0, 0)),
    Conv(64, 70, padding=(2, 0)),
    Conv(96, 100, padding=(0, 1)),
    Conv(100, 17, padding=(3, 4)),
    Conv(512, 16, size=(6, 5)),
    Conv(16, 512, size=(5, 6)),
    Conv(1024, 33, size=(4, 5)),
    Conv(16, 16, size=(1, 1)),
    Conv(33, 31, padding=(0, 0), size=(3, 3)),
]
# bias, residual, relu
ENDS = list(itertools.product((False, True), repeat=3))


@pytest.mark.parametrize("conv", CONVS, ids=str)
def test_conv_patches(conv: Conv) -> None:
    layouts = itertools.cycle(["contiguous", "channels_last", "strided"])
    # Every end and every layout, where that is cheap; else some of the ends.
    for bias, residual, relu in ENDS if conv.inputs * conv.outputs < 2000 else ENDS[3::2]:
        p = problem(conv, windows_of(conv), bias=bias, residual=residual, relu=relu, layout=next(layouts))
        p.check()


@pytest.mark.parametrize("channels", [(3, 17), (16, 16)], ids=str)
def test_kernels_of_all_sizes(channels: tuple[int, int]) -> None:
    for k in range(1, 12):
        conv = Conv(*channels, (k, k), padding=(k // 2, k // 2), size=(13, 12))
        problem(conv, windows_of(conv)).check()
        conv = replace(conv, kernel=(k, 3), stride=(2, 1), padding=(k // 2, 0))
        problem(conv, windows_of(conv), relu=True).check()


@pytest.mark.parametrize(
    "conv",
    [
        Conv(16, 17, size=(80, 80)),
        Conv(3, 17, size=(80, 79)),
        Conv(3, 33, (7, 7), (2, 2), (3, 3), size=(160, 33)),
        Conv(16, 16, size=(2, 600)),  # wider than a strip has outputs
        Conv(3, 8, size=(3, 300)),
        Conv(2048, 16, size=(24, 24)),  # strips are cut by their inputs
        Conv(2048, 8, (1, 1), padding=(0, 0), size=(12, 12)),
        Conv(1024, 8, (5, 5), padding=(2, 2), size=(12, 12)),
    ],
    ids=str,
)
def test_large_rectangles_are_cut(conv: Conv) -> None:
    height, width = conv.map
    wants = [(0, 0, height, width), (1, 1, height, width - 1)]
    haves = [(0, 0, conv.size[0], conv.size[1]), (0, 1, 2, 5)]
    problem(conv, list(zip(haves, wants, strict=True)), residual=True, relu=True).check()


@pytest.mark.parametrize("conv", [Conv(16, 33, size=(21, 17)), Conv(5, 33, (3, 3), (2, 1), size=(21, 17))], ids=str)
def test_many_windows(conv: Conv) -> None:
    """More than one thread's portion, whose borders lie anywhere."""
    p = problem(conv, random_windows(conv, 250, 9), residual=True)
    whole = p.check()
    # A window's numbers are the same, to the bit, whoever its neighbours are.
    for i in (0, 100, 249):
        top, left, bottom, right, start = p.want[i].tolist()
        count = max(0, bottom - top) * max(0, right - left)
        own = slice(start, start + count)
        want = torch.tensor([[top, left, bottom, right, 0]])
        assert p.residual is not None
        alone = replace(p, have=p.have[i : i + 1], want=want, rows=count, residual=p.residual[own])
        same(alone.run(), whole[own])


def test_conv_of_the_whole_map_is_torchs() -> None:
    """The result is, without tables, what F.conv2d gives for a map that is all patch."""
    for conv in CONVS:
        p = problem(conv, [((0, 0, *conv.size), (0, 0, *conv.map))], relu=True)
        x = p.patches.T.reshape(1, conv.inputs, *conv.size)
        expected = F.conv2d(x, p.weight, p.bias, conv.stride, conv.padding, conv.dilation).relu()
        scale = float(expected.abs().max()) + 1
        torch.testing.assert_close(p.run(), expected[0].flatten(1).T, rtol=0, atol=2e-5 * scale)


def test_padding_as_same_has_it() -> None:
    """An even kernel's is one line more after the map than before."""
    for conv in (Conv(5, 9, (6, 4), padding=(2, 1)), Conv(16, 16, (2, 3), padding=(2, 2), dilation=(5, 2))):
        p = problem(conv, [(NONE, (0, 0, *conv.size))], bias=False)
        p.check()
        height, width = (d * (k - 1) for d, k in zip(conv.dilation, conv.kernel, strict=True))
        padded = F.pad(p.base, (width // 2, width - width // 2, height // 2, height - height // 2))
        expected = F.conv2d(padded, p.weight, dilation=conv.dilation)[0].flatten(1).T
        torch.testing.assert_close(p.run(), expected, rtol=1e-5, atol=1e-4)


def test_conv_patches_of_nothing() -> None:
    for conv in (Conv(3, 5), Conv(16, 16), Conv(3, 5, (20, 1))):  # the last: a kernel larger than the padded map
        assert problem(conv, []).run().shape == (0, conv.outputs)
        assert problem(conv, [(NONE, NONE), ((1, 1, 4, 4), (3, 3, 3, 9))]).run().shape == (0, conv.outputs)
    # No patches, and a map of which all is padding.
    problem(Conv(16, 16), [(NONE, (0, 0, 9, 11)), ((5, 5, 5, 9), (2, 2, 4, 4))]).check()
    p = problem(Conv(3, 5, padding=(2, 2)), [(NONE, (0, 0, 2, 3))])
    p.base = p.base[:, :, :0, :1]
    assert p.bias is not None
    same(p.run(), p.bias.expand(6, 5))


def test_strided_tables_and_numbers() -> None:
    for conv in (Conv(5, 7), Conv(16, 16)):
        p = problem(conv, windows_of(conv), residual=True)
        expected = p.check()
        assert p.bias is not None and p.residual is not None
        p.patches = p.patches.repeat_interleave(2, 0)[::2]
        p.have, p.want = p.have.T.contiguous().T, p.want.T.contiguous().T
        p.weight, p.residual = p.weight.transpose(0, 1).contiguous().transpose(0, 1), p.residual.T.contiguous().T
        p.bias = p.bias.repeat_interleave(3)[::3]
        same(p.run(), expected)


@pytest.mark.parametrize("relu", [False, True])
def test_nan_and_infinities_go_where_torch_lets_them(relu: bool) -> None:
    for conv in (Conv(5, 33), Conv(17, 7, (4, 2), (1, 2), (3, 1)), Conv(64, 16, (1, 1), padding=(0, 0))):
        p = problem(conv, windows_of(conv), relu=relu, residual=True)
        p.base[0, 0, 3, 2], p.base[0, 1, 0, 0], p.base[0, 2, 7, 9] = torch.nan, torch.inf, -torch.inf
        p.patches[::37, 3], p.patches[5::41, 4], p.patches[7::31, 0] = torch.nan, torch.inf, -torch.inf
        assert p.residual is not None
        p.residual[::13, 2] = torch.nan
        output, expected = p.run(), p.twin()
        assert torch.equal(output.isnan(), expected.isnan()) and 0 < expected.isnan().float().mean() < 0.9
        assert torch.equal(output.isinf(), expected.isinf())
        torch.testing.assert_close(output, expected.float(), rtol=1e-4, atol=1e-4, equal_nan=True)


def test_winograd_hides_no_nan() -> None:
    """It may spread one over the tile of 2 x 2 that reads it, since the tile's numbers are made of one another."""
    conv = Conv(16, 33)
    p = problem(conv, [(NONE, (0, 0, 9, 11)), ((2, 2, 6, 6), (1, 1, 8, 8))], relu=True)
    clean = p.run()
    p.base[0, 3, 7, 2], p.patches[5, 1] = torch.nan, torch.nan
    output, expected = p.run(), p.twin()
    assert output[expected.isnan()].isnan().all()
    spared = ~output.isnan()
    assert spared.float().mean() > 0.5
    same(output[spared], clean[spared])


def test_packed_filters_are_not_the_weights() -> None:
    """A change of the weight after packing changes nothing, and neither does packing twice."""
    conv = Conv(16, 16)
    weight = torch.randn(16, 16, 3, 3)
    packed = conv.pack(weight)
    same(packed, conv.pack(weight.clone()))
    kept = packed.clone()
    weight.zero_()
    same(packed, kept)


# ---------------------------------------------------------------- linear layers

# inputs K, (H, W), outputs O
LINEARS = [
    (1, (1, 1), 1),
    (5, (1, 1), 3),
    (512, (1, 1), 64),
    (513, (1, 1), 33),
    (1037, (1, 1), 70),
    (2048, (1, 1), 100),
    (6 * 6 * 1, (6, 6), 7),
    (6 * 6 * 17, (6, 6), 33),
    (6 * 6 * 128, (6, 6), 64),  # a multiple of 512
    (3 * 5 * 7, (3, 5), 17),
    (3 * 5 * 64, (3, 5), 130),
    (2 * 1 * 600, (2, 1), 16),
    (1 * 7 * 512, (1, 7), 8),
]
ROWS = [1, 13, 14, 15, 700, 1500]


def random_rectangles(n: int, size: tuple[int, int]) -> Tensor:
    """have of n rows: neighbours mostly alike, some empty, some beyond the map, one that is all."""
    top = torch.randint(-1, size[0] + 1, (n,)).sort().values
    left = torch.randint(-1, size[1] + 1, (n,))
    bottom, right = top + torch.randint(0, 4, (n,)), left + torch.randint(0, 4, (n,))
    have = torch.stack([top, left, bottom, right, torch.arange(n)], 1)
    have[n // 2] = torch.tensor([0, 0, *size, n // 2])
    have[n // 3] = torch.tensor([2**62, 5, -(2**62), -(2**63), 2**63 - 1])
    return have


def zero_outside(rows: Tensor, have: Tensor, size: tuple[int, int]) -> Tensor:
    maps = rows.view(len(rows), *size, -1).clone()
    for i, (top, left, bottom, right, _) in enumerate(have.tolist()):
        kept = torch.zeros(size, dtype=torch.bool)
        kept[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = True
        maps[i, ~kept] = 0
    return maps.view_as(rows)


def check_linear(x: Tensor, weight: Tensor, bias: Tensor | None, have: Tensor | None, size: tuple[int, int]) -> Tensor:
    output = patch_ops.linear_rows(x, weight, bias, have, size)
    assert output.shape == (len(x), len(weight)) and output.dtype == torch.float32 and output.is_contiguous()
    x, weight, bias = x.double(), weight.double(), None if bias is None else bias.double()
    magnitudes = reference.linear_rows(x.abs(), weight.abs(), None if bias is None else bias.abs(), None, size)
    within(output, reference.linear_rows(x, weight, bias, have, size), magnitudes, LINEAR)
    return output


@pytest.mark.parametrize("inputs, size, outputs", LINEARS, ids=str)
def test_linear_rows(inputs: int, size: tuple[int, int], outputs: int) -> None:
    weight = torch.randn(outputs, inputs)
    for n in ROWS:
        if n * inputs > 1_600_000:
            continue
        x, bias = torch.randn(n, inputs), torch.randn(outputs) if n % 2 else None
        check_linear(x, weight, bias, None, size)
        have = random_rectangles(n, size)
        zeroed = zero_outside(x, have, size)
        with_have = check_linear(zeroed, weight, bias, have, size)
        # What is known to be zero changes no number: the sums that are left out are of zeros.
        same(with_have, patch_ops.linear_rows(zeroed, weight, bias, None, size))


def test_linear_rows_is_torchs() -> None:
    """A flattened [C,H,W] as its layer takes it."""
    x, layer = torch.randn(40, 7, 3, 5), torch.nn.Linear(105, 11)
    rows = x.permute(0, 2, 3, 1).flatten(1)
    torch.testing.assert_close(patch_ops.linear_rows(rows, layer.weight, layer.bias, None, (3, 5)), layer(x.flatten(1)))


def test_linear_rows_of_nothing() -> None:
    weight, bias = torch.randn(5, 8), torch.randn(5)
    nothing = torch.empty(0, 5, dtype=torch.int64)
    for size in ((1, 1), (2, 2)):
        assert patch_ops.linear_rows(torch.empty(0, 8), weight, bias, nothing, size).shape == (0, 5)
        assert patch_ops.linear_rows(torch.randn(3, 8), weight[:0], bias[:0], None, size).shape == (3, 0)
        same(patch_ops.linear_rows(torch.empty(3, 0), weight[:, :0], bias, None, size), bias.expand(3, 5))
        same(patch_ops.linear_rows(torch.empty(3, 0), weight[:, :0], None, None, size), torch.zeros(3, 5))
        empty = torch.zeros(3, 5, dtype=torch.int64)
        same(patch_ops.linear_rows(torch.zeros(3, 8), weight, bias, empty, size), bias.expand(3, 5))
        assert reference.linear_rows(torch.empty(0, 8), weight, bias, nothing, size).shape == (0, 5)


def test_linear_rows_takes_any_strides() -> None:
    x, weight, bias = torch.randn(8, 29).T, torch.randn(8, 33).T, torch.randn(66)[::2]
    expected = check_linear(x.contiguous(), weight.contiguous(), bias.contiguous(), None, (2, 2))
    same(patch_ops.linear_rows(x, weight, bias, None, (2, 2)), expected)


def test_nan_in_a_row_is_in_its_outputs() -> None:
    x, weight = torch.randn(30, 600), torch.randn(20, 600)
    x[17, 599], x[3, 0] = torch.nan, torch.inf
    output = patch_ops.linear_rows(x, weight)
    expected = F.linear(x, weight)
    assert torch.equal(output.isnan(), expected.isnan()) and torch.equal(output.isinf(), expected.isinf())


# ---------------------------------------------------------------- every operator


def samples() -> dict[str, tuple[Any, ...]]:
    x = torch.randn(1, 16, 9, 11)
    weight, bias = torch.randn(20, 16, 3, 3), torch.randn(20)
    have, _ = tables(CPU, (2, 3, 5, 6), (0, 0, 0, 0))
    want, rows = tables(CPU, (1, 2, 6, 7), (6, 10, 8, 11))
    before = (x, torch.randn(9, 16), have, want, rows)
    winograd = (patch_ops.pack_filters(weight), bias, torch.randn(rows, 20), 20, [3, 3], [1, 1], [1, 1], [1, 1], True)
    direct = (patch_ops.pack_filters(weight[:7], 2), None, None, 7, [3, 3], [2, 2], [4, 6], [1, 1], False)
    rectangle = torch.tensor([[0, 1, 2, 2, 0]] * 4)
    return {
        "pack_filters": (weight, [1, 1], [1, 1]),
        "pack_filters of a stride": (weight, [2, 2], [1, 1]),
        "conv_patches": (*before, *winograd),
        "conv_patches of a stride": (*before, *direct),
        "linear_rows": (torch.randn(4, 24), torch.randn(5, 24), torch.randn(5), rectangle, [2, 3]),
        "linear_rows of vectors": (torch.randn(4, 24), torch.randn(5, 24), None, None, [1, 1]),
    }


@pytest.mark.parametrize("name", samples())
def test_opcheck(name: str) -> None:
    torch.library.opcheck(getattr(torch.ops.zfcuda, name.split()[0]).default, samples()[name])


@pytest.mark.parametrize("name", samples())
def test_inference_mode(name: str) -> None:
    with torch.inference_mode():
        getattr(torch.ops.zfcuda, name.split()[0])(*samples()[name])


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("conv", [Conv(16, 16), Conv(5, 7, (2, 3), (2, 1))], ids=str)
def test_conv_patches_compiles_whole(conv: Conv, dynamic: bool) -> None:
    def run(base: Tensor, patches: Tensor, have: Tensor, want: Tensor, rows: int, filters: Tensor) -> Tensor:
        output = patch_ops.conv_patches(
            base * 2,
            patches,
            have,
            want,
            rows,
            filters,
            channels=conv.outputs,
            kernel_size=conv.kernel,
            stride=conv.stride,
            padding=conv.padding,
        )
        return output.relu() + 1

    compiled = torch.compile(run, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for count in (5, 9, 17):
        p = problem(conv, windows_of(conv)[:count])
        args = (p.base, p.patches, p.have, p.want, p.rows, conv.pack(p.weight))
        same(compiled(*args), run(*args))


@pytest.mark.parametrize("dynamic", [False, True])
def test_linear_rows_compiles_whole(dynamic: bool) -> None:
    def run(x: Tensor, weight: Tensor, bias: Tensor, have: Tensor | None) -> Tensor:
        return patch_ops.linear_rows(x * 2, weight, bias, have, (2, 3)).relu()

    compiled = torch.compile(run, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    weight, bias = torch.randn(5, 24), torch.randn(5)
    for n in (4, 9, 30):
        have = random_rectangles(n, (2, 3))
        x = zero_outside(torch.randn(n, 24), have, (2, 3))
        same(compiled(x, weight, bias, have), run(x, weight, bias, have))
        same(compiled(x, weight, bias, None), run(x, weight, bias, None))


def test_deterministic_whatever_the_threads() -> None:
    threads = torch.get_num_threads()
    convs = [Conv(16, 33, size=(21, 17)), Conv(5, 33, (3, 3), (2, 1), size=(21, 17)), Conv(16, 17, size=(80, 30))]
    problems = [problem(conv, [*windows_of(conv), *random_windows(conv, 60, 9)], residual=True) for conv in convs]
    x, weight, bias = torch.randn(1100, 600), torch.randn(700, 600), torch.randn(700)
    have = random_rectangles(len(x), (6, 5))

    x = zero_outside(x, have, (6, 5))

    def run() -> list[Tensor]:
        linear = [patch_ops.linear_rows(x, weight, bias, *rest) for rest in ((), (have, (6, 5)))]
        return [*(p.run() for p in problems), *linear]

    try:
        torch.set_num_threads(1)
        first, again = run(), run()
        torch.set_num_threads(2)
        two, two_again = run(), run()
    finally:
        torch.set_num_threads(threads)
    for others in (again, two, two_again):
        assert all(torch.equal(a, b) for a, b in zip(first, others, strict=True))


@pytest.mark.skipif(not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="one instruction set only")
@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_narrower_instruction_sets(isa: str) -> None:
    """Runs these tests again, in a process that may use less of this processor."""
    if os.environ.get("ZFCUDA_ISA"):
        pytest.skip("already in such a process")
    if isa == "avx2" and torch.backends.cpu.get_cpu_capability() == "AVX2":
        pytest.skip("avx2 is what runs anyway")
    left_out = "compiles or opcheck or inference or refused or named or narrower or kernels_of or 2048 or 1024"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-k", f"not ({left_out})", "-p", "no:cacheprovider", __file__],
        env={**os.environ, "ZFCUDA_ISA": isa},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:]


# ---------------------------------------------------------------- bad input

# Two windows of 2 x 2 of a map 9 x 11; the output is as large.
HAVE = torch.tensor([[0, 0, 2, 2, 0], [7, 9, 9, 11, 4]])
BASE, PATCHES, WEIGHT = torch.zeros(1, 3, 9, 11), torch.zeros(8, 3), torch.zeros(5, 3, 3, 3)
WIDE = torch.zeros(32, 16, 3, 3)
HUGE = 2**31


def convolved(**changes: Any) -> Tensor:
    """conv_patches where all is well but `changes`."""
    arguments = {
        "base": BASE,
        "patches": PATCHES,
        "have": HAVE,
        "want": HAVE,
        "rows": 8,
        "filters": patch_ops.pack_filters(WEIGHT),
        "bias": torch.zeros(5),
        "residual": torch.zeros(8, 5),
        "channels": 5,
        "kernel_size": 3,
        "padding": 1,
    }
    return patch_ops.conv_patches(**{**arguments, **changes})


def wide(**changes: Any) -> Tensor:
    """conv_patches with Winograd's filters, where all is well but `changes`."""
    arguments = {
        "base": torch.zeros(1, 16, 9, 11),
        "patches": torch.zeros(8, 16),
        "filters": patch_ops.pack_filters(WIDE),
        "bias": None,
        "residual": None,
        "channels": 32,
    }
    return convolved(**{**arguments, **changes})


def table(window: int, column: int, value: int) -> Tensor:
    """HAVE with one number replaced."""
    changed = HAVE.clone()
    changed[window, column] = value
    return changed


def lined(**changes: Any) -> Tensor:
    """linear_rows where all is well but `changes`."""
    arguments = {"input": torch.zeros(2, 12), "weight": torch.zeros(5, 12), "bias": torch.zeros(5), "have": HAVE}
    return patch_ops.linear_rows(**{**arguments, "size": (2, 3), **changes})


BAD = {
    "weight: expected .O,C,kh,kw., got shape .5, 3, 3": lambda: patch_ops.pack_filters(WEIGHT[..., 0]),
    "weight: expected .O,C,kh,kw., got shape .0, 3, 3, 3": lambda: patch_ops.pack_filters(WEIGHT[:0]),
    "weight: expected float32, got Double": lambda: patch_ops.pack_filters(WEIGHT.double()),
    "stride: expected at least 1, got .1, 0": lambda: patch_ops.pack_filters(WEIGHT, (1, 0)),
    "dilation: expected one or two integers, got .1, 2, 3": lambda: patch_ops.pack_filters(WEIGHT, 1, (1, 2, 3)),
    "base: expected .N,C,H,W., got 3": lambda: convolved(base=BASE[0]),
    "base: expected float32.*got Long": lambda: convolved(base=BASE.long()),
    "base: expected float32, got Double": lambda: convolved(base=BASE.double(), patches=PATCHES.double()),
    "base: expected float32, got Half": lambda: convolved(base=BASE.half(), patches=PATCHES.half()),
    "base: expected one map, .1,C,H,W., got shape .2, 3": lambda: convolved(base=BASE.expand(2, -1, -1, -1)),
    "base: expected at least one channel, got shape .1, 0": lambda: convolved(base=BASE[:, :0], patches=PATCHES[:, :0]),
    "patches: expected .P,C. with base's 3 channels, got shape .8, 2": lambda: convolved(patches=PATCHES[:, :2]),
    "patches: expected base's dtype.*got Double": lambda: convolved(patches=PATCHES.double()),
    "have: expected int64 .n,5., got Int": lambda: convolved(have=HAVE.int()),
    "want: expected int64 .n,5., got Long .2, 4": lambda: convolved(want=HAVE[:, :4]),
    "have: expected want's 2 windows, got 1": lambda: convolved(have=HAVE[:1]),
    "rows: expected at least 0, got -1": lambda: convolved(rows=-1),
    "channels: expected at least 1, got 0": lambda: convolved(channels=0),
    "kernel_size: expected at least 1, got .3, 0": lambda: convolved(kernel_size=(3, 0)),
    "stride: expected at least 1, got .0, 0": lambda: convolved(stride=0),
    "padding: expected at least 0, got .-1, 1": lambda: convolved(padding=(-1, 1)),
    "dilation: expected at least 1, got .0, 1": lambda: convolved(dilation=(0, 1)),
    "kernel_size: expected at most 2147483647, got .2147483648": lambda: convolved(kernel_size=HUGE),
    "stride: expected at most 2147483647, got .1, 2147483648": lambda: convolved(stride=(1, HUGE)),
    "padding: expected at most 2147483647, got .2147483648": lambda: convolved(padding=HUGE),
    "dilation: expected at most 2147483647, got .2147483648": lambda: convolved(dilation=HUGE),
    # Sizes whose product int64 does not hold.
    "kernel_size: .2147483647, 2147483647. makes .* numbers of one position": lambda: convolved(kernel_size=HUGE - 1),
    "kernel_size: .3, 3. makes .* weights for 9223372036854775807 channels": lambda: convolved(channels=2**63 - 1),
    "padding: .2147483647, 2147483647. makes .* numbers of base's .1, 3, 9, 11": lambda: convolved(padding=HUGE - 1),
    # Filters of another kind.
    "filters: expected .* float32 numbers from pack_filters, got Float .5, 3, 3, 3": lambda: convolved(filters=WEIGHT),
    "filters: expected .* numbers from pack_filters, got Double": lambda: convolved(
        filters=patch_ops.pack_filters(WEIGHT).double()
    ),
    "filters: expected 8192 float32 numbers.*got Float .4608": lambda: wide(filters=patch_ops.pack_filters(WIDE, 2)),
    "filters: expected 4608 float32 numbers.*got Float .8192": lambda: wide(stride=2),
    "filters: expected 4608 .*got Float .8192": lambda: wide(dilation=(1, 2)),
    "filters: expected 2048 float32 numbers.*got Float .8192": lambda: wide(kernel_size=2),
    "bias: expected float32 .5., got Float .4": lambda: convolved(bias=torch.zeros(4)),
    "bias: expected float32 .5., got Double .5": lambda: convolved(bias=torch.zeros(5).double()),
    "residual: expected float32 .8, 5., got Float .7, 5": lambda: convolved(residual=torch.zeros(7, 5)),
    "residual: expected float32 .8, 5., got Half .8, 5": lambda: convolved(residual=torch.zeros(8, 5).half()),
    # Tables.
    "have: window 1 holds positions -1, 9 to 9, 11, beyond base's 9 x 11": lambda: convolved(have=table(1, 0, -1)),
    "have: window 1 holds positions 7, 9 to 9, 12, beyond": lambda: convolved(have=table(1, 3, 12)),
    "have: window 1 has 4 positions from row 5 of patches, which has 8": lambda: convolved(have=table(1, 4, 5)),
    "have: window 0 has 4 positions from row -1 of": lambda: convolved(have=table(0, 4, -1)),
    "have: window 0 has 4 positions from row 9223372036854775807": lambda: convolved(have=table(0, 4, 2**63 - 1)),
    "want: window 0 starts at row 1, expected 0": lambda: convolved(want=table(0, 4, 1)),
    "want: window 1 wants 4611686018427387895 x 2 positions": lambda: convolved(want=table(1, 2, 2**62 - 2)),
    "want: its 2 windows want 8 positions, rows is 9": lambda: convolved(rows=9, residual=None),
    "want: window 0 wants positions -1, 0 to 1, 2, beyond the output's 10 x 12": lambda: convolved(
        want=moved(0, -1, 0)
    ),
    "want: window 0 wants positions 0, -5 to 2, -3, beyond": lambda: convolved(want=moved(0, 0, -5)),
    "want: window 1 wants positions 9, 9 to 11, 11, beyond": lambda: convolved(want=moved(1, 2, 0)),
    "want: window 1 wants positions 7, 11 to 9, 13, beyond": lambda: convolved(want=moved(1, 0, 2)),
    "want: window 1 wants positions 9223372036854775805, 9 to 9223372036854775807": lambda: convolved(
        want=moved(1, 2**63 - 10, 0)
    ),
    "want: window 1 wants positions 7, 9 to 9, 11, beyond the output's 5 x 12": lambda: convolved(
        want=HAVE, stride=(2, 1)
    ),
    "want: window 0 wants positions .* beyond the output's 0 x 2": lambda: convolved(padding=0, dilation=(5, 5)),
    "input: expected .n,K., got shape .12": lambda: lined(input=torch.zeros(12)),
    "input: expected float32, got Double": lambda: lined(input=torch.zeros(2, 12).double()),
    "weight: expected float32, got Half": lambda: lined(weight=torch.zeros(5, 12).half()),
    "weight: expected .O,12., got shape .5, 11": lambda: lined(weight=torch.zeros(5, 11)),
    "weight: expected .O,12., got shape .12": lambda: lined(weight=torch.zeros(12)),
    "size: expected at least 1, got .0, 3": lambda: lined(size=(0, 3)),
    "size: expected one or two integers, got .1, 2, 3": lambda: lined(size=(1, 2, 3)),
    "size: .5, 1. positions do not divide input's 12": lambda: lined(size=(5, 1)),
    # A height and a width whose product is 0 in int64.
    "size: expected at most 2147483647, got .4294967296": lambda: lined(size=2**32),
    "bias: expected float32 .5., got Float .6": lambda: lined(bias=torch.zeros(6)),
    "bias: expected float32 .5., got Long .5": lambda: lined(bias=torch.zeros(5).long()),
    "have: expected int64 .n,5., got Long .2, 3": lambda: lined(have=HAVE[:, :3]),
    "have: expected input's 2 rows, got 1": lambda: lined(have=HAVE[:1]),
}


def moved(window: int, down: int, right: int) -> Tensor:
    """HAVE with one rectangle elsewhere."""
    changed = HAVE.clone()
    changed[window] += torch.tensor([down, right, down, right, 0])
    return changed


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message: str) -> None:
    assert convolved().shape == (8, 5) and wide().shape == (8, 32) and lined().shape == (2, 5)
    with pytest.raises(RuntimeError, match=message):
        BAD[message]()


def test_what_no_window_reads_is_not_checked() -> None:
    """An empty rectangle may say anything."""
    anything = torch.tensor([[2**62, -5, -(2**62), 99, -1], [3, 99, 4, 99, 2**63 - 1]])
    for run in (convolved, wide):
        same(run(have=anything), run())
    wants = torch.tensor([[2**63 - 1, 0, -(2**63), 2**62, 0], [3, 99, 4, 99, 0]])
    assert convolved(want=wants, rows=0, residual=None).shape == (0, 5)


def test_strides_beyond_the_map() -> None:
    """A single output takes no step, however long: no memory for it."""
    conv = Conv(3, 5, stride=(2**31 - 1, 2**31 - 1))
    problem(conv, [((0, 0, 3, 3), (0, 0, 1, 1))]).check()
