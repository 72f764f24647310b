"""The CPU's own convolution of patches (pack_filters, conv_patches) against its twin in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.ops.tensors import laid_out, same, tables
from zfcuda.ops import patches as patch_ops
from zfcuda.ops import reference

CPU = torch.device("cpu")
Corners = tuple[int, int, int, int]  # top, left, bottom, right
NONE: Corners = (0, 0, 0, 0)

# Errors in parts of the largest sum of magnitudes: three times what was measured.
DIRECT, WINOGRAD, LINEAR = 1e-6, 1.2e-6, 1e-6


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

    def pack(self, weight: Tensor, tile: int = 4) -> Tensor:
        return patch_ops.pack_filters(weight, self.stride, self.dilation, tile)

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
    ceiling: float | None = None
    tile: int = 4

    def run(self) -> Tensor:
        c = self.conv
        return patch_ops.conv_patches(
            self.base,
            self.patches,
            self.have,
            self.want,
            self.rows,
            c.pack(self.weight, self.tile),
            self.bias,
            self.residual,
            channels=c.outputs,
            kernel_size=c.kernel,
            stride=c.stride,
            padding=c.padding,
            dilation=c.dilation,
            relu=self.relu,
            ceiling=self.ceiling,
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
            None if change is torch.abs else self.ceiling,
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
        output = p.check()
        p.ceiling = float(output.mean()) if len(output) else 6.0
        p.tile = 2
        assert (p.check() <= p.ceiling).all()


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


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("conv", [Conv(16, 33, size=(21, 17)), Conv(5, 33, (3, 3), (2, 1), size=(21, 17))], ids=str)
def test_many_windows(conv: Conv, tile: int) -> None:
    """More than one thread's portion, whose borders lie anywhere."""
    p = problem(conv, random_windows(conv, 250, 9), residual=True)
    p.tile = tile
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


@pytest.mark.parametrize("tile", [2, 4])
def test_winograd_of_all_sizes(tile: int) -> None:
    """Sides in pieces of 1 to 4, wherever they are cut; numbers that depend on the rectangle alone."""
    conv = Conv(17, 18, size=(14, 13))
    wants = [(1, 2, 1 + height, 2 + width) for height in range(1, 13) for width in range(1, 11)]
    p = problem(conv, [((2, 3, 5, 5), want) for want in wants], residual=True)
    p.tile = tile
    together = p.check()
    for i in range(0, len(wants), 7):
        top, left, bottom, right, start = p.want[i].tolist()
        own = slice(start, start + (bottom - top) * (right - left))
        assert p.residual is not None
        alone = replace(p, have=p.have[i : i + 1], want=p.want[i : i + 1] - torch.tensor([0, 0, 0, 0, start]))
        alone.rows, alone.residual = own.stop - own.start, p.residual[own]
        same(alone.run(), together[own])


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
    """It may spread one over the tile that reads it, since the tile's numbers are made of one another."""
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


def test_strides_beyond_the_map() -> None:
    """A single output takes no step, however long: no memory for it."""
    conv = Conv(3, 5, stride=(2**31 - 1, 2**31 - 1))
    problem(conv, [((0, 0, 3, 3), (0, 0, 1, 1))]).check()
