"""The CPU's own 1x1 convolution of patches, of several maps at once, against its twin in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.ops.tensors import laid_out, same, tables
from tests.ops.test_conv_patches import CPU, DIRECT, NONE, Corners, rectangles, within
from zfcuda.ops import patches as patch_ops
from zfcuda.ops import reference
from zfcuda.ops.pointwise import pointwise_patches

SIZE = (9, 11)


@dataclass
class Problem:
    """pointwise_patches' arguments, the filters as they are."""

    bases: list[Tensor]
    patches: list[Tensor]
    haves: list[Tensor]
    want: Tensor
    rows: int
    weight: Tensor
    bias: Tensor | None = None
    residual: Tensor | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None
    before_relu: bool = False
    stride: tuple[int, int] = (1, 1)
    relu: bool = False
    ceiling: float | None = None

    def arguments(self) -> tuple[Any, ...]:
        """As the operator takes them."""
        filters = patch_ops.pack_filters(self.weight)
        start = (self.bases, self.patches, self.haves, self.want, self.rows, filters, self.bias, self.residual)
        prologue = (self.scale, self.shift, self.before_relu)
        return (*start, *prologue, len(self.weight), list(self.stride), self.relu, self.ceiling)

    def run(self, **changes: Any) -> Tensor:
        *start, scale, shift, before_relu, channels, stride, relu, ceiling = self.arguments()
        names = ("bases", "patches", "haves", "want", "rows", "filters", "bias", "residual")
        arguments = dict(zip(names, start, strict=True)) | {"scale": scale, "shift": shift, "before_relu": before_relu}
        arguments |= {"channels": channels, "stride": stride, "relu": relu, "ceiling": ceiling}
        return pointwise_patches(**{**arguments, **changes})

    def twin(self) -> Tensor:
        """What the twin gives in float64."""
        arguments = list(self.arguments())
        arguments[5] = reference.pack_filters(self.weight, (1, 1), (1, 1))
        return reference.pointwise_patches(*(_double(x) for x in arguments))

    def magnitudes(self) -> Tensor:
        """The twin's sums of magnitudes."""
        p = replace(self, before_relu=False, relu=False, ceiling=None, weight=self.weight.abs())
        p.bases, p.patches = [x.abs() for x in p.bases], [x.abs() for x in p.patches]
        p.bias, p.residual, p.scale, p.shift = (
            None if x is None else x.abs() for x in (p.bias, p.residual, p.scale, p.shift)
        )
        return p.twin()

    def check(self) -> Tensor:
        output = self.run()
        assert output.shape == (self.rows, len(self.weight)) and output.dtype == torch.float32
        assert output.is_contiguous()
        within(output, self.twin(), self.magnitudes(), DIRECT)
        return output


def _double(x: Any) -> Any:
    if isinstance(x, list):
        return [_double(each) for each in x]
    return x.double() if isinstance(x, Tensor) and x.is_floating_point() else x


def problem(
    channels: tuple[int, ...],
    outputs: int,
    *,
    stride: tuple[int, int] = (1, 1),
    size: tuple[int, int] = SIZE,
    haves: list[list[Corners]] | None = None,
    wants: list[Corners] | None = None,
    layout: str = "channels_last",
) -> Problem:
    """By default the windows change of each map what the others do not, in turn."""
    mapped = tuple((length - 1) // step + 1 for length, step in zip(size, stride, strict=True))
    wants = rectangles(mapped[0], mapped[1]) if wants is None else wants
    if haves is None:
        each = rectangles(*size)
        haves = [each[i % len(each) :] + each[: i % len(each)] for i in range(len(channels))]
    have = [tables(CPU, *corners) for corners in haves]
    want, rows = tables(CPU, *wants)
    return Problem(
        [laid_out(torch.randn(1, c, *size), layout) for c in channels],
        [torch.randn(kept, c) for (_, kept), c in zip(have, channels, strict=True)],
        [table for table, _ in have],
        want,
        rows,
        torch.randn(outputs, sum(channels), 1, 1),
        stride=stride,
    )


SHAPES: list[tuple[tuple[int, ...], int]] = [
    ((1,), 1),
    ((3,), 7),
    ((16,), 16),
    ((100,), 70),
    ((512,), 33),
    ((1, 2, 3), 5),
    ((32, 32, 17), 128),
    ((5, 512), 17),
    ((64, *[32] * 6), 20),
]


@pytest.mark.parametrize("channels, outputs", SHAPES, ids=str)
def test_pointwise_patches(channels: tuple[int, ...], outputs: int) -> None:
    layouts = itertools.cycle(["contiguous", "channels_last", "strided"])
    for bias, residual, norm, before, relu in itertools.product((False, True), repeat=5):
        if sum(channels) * outputs > 2000 and bias != residual:
            continue
        p = problem(channels, outputs, layout=next(layouts))
        p.bias = torch.randn(outputs) if bias else None
        p.residual = torch.randn(p.rows, outputs) if residual else None
        if norm:
            p.scale, p.shift = torch.randn(sum(channels)), torch.randn(sum(channels))
        p.before_relu, p.relu = before, relu
        output = p.check()
        p.ceiling = float(output.mean())
        assert (p.check() <= p.ceiling).all()


@pytest.mark.parametrize("stride", [(2, 2), (1, 3), (20, 1)], ids=str)
def test_strides(stride: tuple[int, int]) -> None:
    for channels, outputs in SHAPES[1:7]:
        p = problem(channels, outputs, stride=stride)
        p.check()
        p.before_relu = True
        p.check()


def test_it_is_the_convolution_of_the_concatenation() -> None:
    p = problem((3, 8), 9, haves=[[(0, 0, *SIZE)], [(0, 0, *SIZE)]], wants=[(0, 0, *SIZE)])
    x = torch.cat(p.patches, 1).T.reshape(1, 11, *SIZE)
    torch.testing.assert_close(p.run(), F.conv2d(x, p.weight)[0].flatten(1).T, rtol=1e-5, atol=1e-5)
    p.scale, p.shift, p.before_relu = torch.rand(11) + 0.1, torch.randn(11), True
    x = F.batch_norm(x, -p.shift / p.scale, p.scale**-2, eps=0.0).relu()
    torch.testing.assert_close(p.run(), F.conv2d(x, p.weight)[0].flatten(1).T, rtol=1e-4, atol=1e-4)


def test_many_rows_are_cut() -> None:
    """A row's numbers are the same, to the bit, whoever its neighbours are."""
    for channels, outputs in (((8, 3), 17), ((600,), 20)):
        p = problem(
            channels,
            outputs,
            size=(40, 37),
            wants=[(0, 0, 40, 37), (3, 2, 30, 31), NONE],
            haves=[[(1, 1, 9, 9)] * 3] * len(channels),
        )
        p.scale, p.shift = torch.randn(sum(channels)), torch.randn(sum(channels))
        whole = p.check()
        alone = replace(p, haves=[have[:1] for have in p.haves], want=torch.tensor([[2, 3, 3, 9, 0]]), rows=6)
        same(alone.run(), whole[2 * 37 + 3 : 2 * 37 + 9])


def test_deterministic_whatever_the_threads() -> None:
    threads = torch.get_num_threads()
    # Portions for every thread, and one window, whose outputs the threads share.
    problems = [problem((16, 5), 70, size=(60, 50)), problem((512, 64), 300, wants=[(0, 0, 9, 11)] * 10)]
    try:
        torch.set_num_threads(1)
        first = [p.run() for p in problems]
        torch.set_num_threads(3)
        for before, p in zip(first, problems, strict=True):
            same(p.run(), before)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("norm", [False, True])
def test_nan_and_infinities_go_where_torch_lets_them(norm: bool) -> None:
    p = problem((5, 17), 33)
    if norm:
        p.scale, p.shift, p.before_relu = torch.randn(22), torch.randn(22), True
        p.scale[3] = 0
    p.bases[0][0, 0, 3, 2], p.bases[1][0, 1, 0, 0], p.bases[0][0, 2, 7, 9] = torch.nan, torch.inf, -torch.inf
    p.patches[0][::37, 3], p.patches[1][5::41, 4], p.patches[1][7::31, 0] = torch.nan, torch.inf, -torch.inf
    p.patches[0][3::29, 3] = torch.inf
    output, expected = p.run(), p.twin()
    assert torch.equal(output.isnan(), expected.isnan()) and 0 < expected.isnan().float().mean() < 0.9
    assert torch.equal(output.isinf(), expected.isinf())
    torch.testing.assert_close(output, expected.float(), rtol=1e-4, atol=1e-4, equal_nan=True)


def test_nothing() -> None:
    assert problem((3, 2), 5, haves=[[], []], wants=[]).run().shape == (0, 5)
    assert problem((3, 2), 5, haves=[[NONE], [(0, 0, 2, 2)]], wants=[NONE]).run().shape == (0, 5)
    p = problem((3, 0), 5, haves=[[NONE], [NONE]], wants=[(0, 0, 2, 3)])  # a map without channels
    p.check()


def test_strided_tables_and_numbers() -> None:
    p = problem((5, 4), 7)
    p.bias, p.residual, p.scale, p.shift = torch.randn(7), torch.randn(p.rows, 7), torch.randn(9), torch.randn(9)
    expected = p.check()
    p.patches = [x.repeat_interleave(2, 0)[::2] for x in p.patches]
    p.haves, p.want = [x.T.contiguous().T for x in p.haves], p.want.T.contiguous().T
    p.residual = p.residual.T.contiguous().T
    p.bias, p.scale, p.shift = (x.repeat_interleave(3)[::3] for x in (p.bias, p.scale, p.shift))
    same(p.run(), expected)


@pytest.mark.parametrize("channels", [(16,), (3, 8)], ids=str)
def test_opcheck(channels: tuple[int, ...]) -> None:
    p = problem(channels, 20)
    p.scale, p.shift = torch.randn(sum(channels)), torch.randn(sum(channels))
    torch.library.opcheck(torch.ops.zfcuda.pointwise_patches.default, p.arguments())
    with torch.inference_mode():
        p.run()


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_whole(dynamic: bool) -> None:
    def run(a: Tensor, b: Tensor, p: list[Tensor], haves: list[Tensor], want: Tensor, rows: int, w: Tensor) -> Tensor:
        return pointwise_patches([a * 2, b], p, haves, want, rows, w, channels=7, before_relu=True).relu() + 1

    compiled = torch.compile(run, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for count in (3, 5, 9):
        p = problem((5, 4), 7, haves=[rectangles(*SIZE)[:count]] * 2, wants=rectangles(*SIZE)[:count])
        args = (*p.bases, p.patches, p.haves, p.want, p.rows, patch_ops.pack_filters(p.weight))
        same(compiled(*args), run(*args))


HAVE = torch.tensor([[0, 0, 2, 2, 0], [7, 9, 9, 11, 4]])
BASE, PATCHES = torch.zeros(1, 3, 9, 11), torch.zeros(8, 3)


def named(**changes: Any) -> Callable[[], Tensor]:
    """A call where all is well but `changes`."""
    p = Problem([BASE, BASE], [PATCHES, PATCHES], [HAVE, HAVE], HAVE, 8, torch.zeros(5, 6, 1, 1))
    return lambda: p.run(**changes)


def table(window: int, column: int, value: int) -> Tensor:
    changed = HAVE.clone()
    changed[window, column] = value
    return changed


BAD = {
    "bases: expected at least one map": named(bases=[], patches=[], haves=[]),
    "patches: expected as many as bases, 2, got 1": named(patches=[PATCHES]),
    "haves: expected as many as bases, 2, got 3": named(haves=[HAVE] * 3),
    "bases: expected .N,C,H,W., got 3": named(bases=[BASE, BASE[0]]),
    "bases: expected float32, got Double": named(bases=[BASE.double()] * 2, patches=[PATCHES.double()] * 2),
    "bases: expected maps of one size, got .1, 3, 9, 11. and .1, 3, 9, 10": named(bases=[BASE, BASE[..., 1:]]),
    "bases: expected at least one channel": named(bases=[BASE[:, :0]] * 2, patches=[PATCHES[:, :0]] * 2),
    "base: expected one map, .1,C,H,W., got shape .2, 3": named(bases=[BASE, BASE.expand(2, -1, -1, -1)]),
    "patches: expected .P,C. with base's 3 channels, got shape .8, 2": named(patches=[PATCHES, PATCHES[:, :2]]),
    "have: expected int64 .n,5., got Int": named(haves=[HAVE, HAVE.int()]),
    "have: expected want's 2 windows, got 1": named(haves=[HAVE, HAVE[:1]]),
    "rows: expected at least 0, got -1": named(rows=-1),
    "channels: expected at least 1, got 0": named(channels=0),
    "channels: 9223372036854775807 make .* weights": named(channels=2**63 - 1),
    "stride: expected at least 1, got .0, 0": named(stride=0),
    "stride: expected at most 2147483647, got .1, 2147483648": named(stride=(1, 2**31)),
    "filters: expected .* float32 numbers from pack_filters, got Float .5, 6, 1, 1": named(
        filters=torch.zeros(5, 6, 1, 1)
    ),
    "bias: expected float32 .5., got Float .4": named(bias=torch.zeros(4)),
    "residual: expected float32 .8, 5., got Float .7, 5": named(residual=torch.zeros(7, 5)),
    "scale: expected float32 .6., got Float .3": named(scale=torch.zeros(3), shift=torch.zeros(6)),
    "shift: expected float32 .6., got Double": named(scale=torch.zeros(6), shift=torch.zeros(6).double()),
    "shift: expected together with scale": named(scale=torch.zeros(6)),
    "have: window 1 holds positions -1, 9 to 9, 11, beyond base's 9 x 11": named(haves=[HAVE, table(1, 0, -1)]),
    "have: window 1 has 4 positions from row 5 of patches, which has 8": named(haves=[HAVE, table(1, 4, 5)]),
    "want: window 0 starts at row 1, expected 0": named(want=table(0, 4, 1)),
    "want: its 2 windows want 8 positions, rows is 9": named(rows=9),
    "want: window 1 wants positions 7, 9 to 9, 11, beyond the output's 5 x 11": named(stride=(2, 1)),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message: str) -> None:
    assert named()().shape == (8, 5)
    with pytest.raises(RuntimeError, match=message):
        BAD[message]()
