"""The CPU's own convolution of patches in groups (grouped_patches) against its twin in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from tests.ops.tensors import same
from tests.ops.test_conv_patches import DIRECT, NONE, Conv, Problem, problem, random_windows, windows_of, within
from zfcuda.ops import grouped_patches as ops
from zfcuda.ops import reference


@dataclass
class Grouped:
    """grouped_patches' arguments. of: those that it shares with conv_patches, the weight [O,C/groups,kh,kw]."""

    of: Problem
    groups: int

    def run(self) -> Tensor:
        p, c = self.of, self.of.conv
        return ops.grouped_patches(
            p.base,
            p.patches,
            p.have,
            p.want,
            p.rows,
            ops.pack_grouped_filters(p.weight, self.groups),
            p.bias,
            p.residual,
            channels=c.outputs,
            groups=self.groups,
            kernel_size=c.kernel,
            stride=c.stride,
            padding=c.padding,
            dilation=c.dilation,
            relu=p.relu,
            ceiling=p.ceiling,
        )

    def twin(self, change: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
        """What the twin gives in float64, of changed numbers."""
        p, c = self.of, self.of.conv
        numbers = (p.base, p.patches, p.weight, p.bias, p.residual)
        base, patches, weight, bias, residual = (None if x is None else change(x.double()) for x in numbers)
        assert base is not None and patches is not None and weight is not None
        filters = reference.pack_grouped_filters(weight, self.groups)
        before = (base, patches, p.have, p.want, p.rows, filters, bias, residual, c.outputs, self.groups)
        ceiling = None if change is torch.abs else p.ceiling
        return reference.grouped_patches(*before, c.kernel, c.stride, c.padding, c.dilation, p.relu, ceiling)

    def check(self) -> Tensor:
        output = self.run()
        assert output.shape == (self.of.rows, self.of.conv.outputs) and output.dtype == torch.float32
        assert output.is_contiguous()
        within(output, self.twin(), self.twin(torch.abs), DIRECT)
        return output


def grouped(conv: Conv, groups: int, *args: object, **settings: object) -> Grouped:
    """A random problem; see problem."""
    p = problem(conv, *args, **settings)  # type: ignore[arg-type]
    p.weight = torch.randn(conv.outputs, conv.inputs // groups, *conv.kernel)
    return Grouped(p, groups)


def depthwise(channels: int, *args: object, **settings: object) -> tuple[Conv, int]:
    return Conv(channels, channels, *args, **settings), channels  # type: ignore[arg-type]


CONVS = [
    *(depthwise(c) for c in (1, 3, 4, 7, 8, 9, 16, 17, 33, 64)),
    *(depthwise(c, stride=(2, 2), size=(15, 17)) for c in (3, 16, 33)),
    depthwise(20, (3, 3), (1, 2), size=(9, 30)),
    depthwise(20, (5, 5), padding=(2, 2), size=(13, 15)),
    depthwise(20, (5, 5), (2, 2), (1, 1), size=(13, 15)),
    depthwise(24, (7, 7), padding=(3, 3), size=(9, 16)),
    depthwise(24, (7, 7), (2, 2), (3, 3), size=(9, 16)),
    depthwise(24, (4, 6), (2, 3), (3, 1), (2, 2), size=(12, 17)),
    depthwise(17, dilation=(2, 3), padding=(2, 3)),
    depthwise(17, dilation=(2, 1), padding=(2, 1)),
    depthwise(8, (1, 1), padding=(0, 0)),
    depthwise(8, (2, 2), padding=(3, 4)),  # windows that read padding alone
    (Conv(16, 16), 4),  # groups of 4 that share a vector
    (Conv(36, 36), 9),
    (Conv(32, 32), 4),
    (Conv(48, 48, stride=(2, 2)), 2),
    (Conv(48, 48), 6),
    (Conv(112, 112), 2),
    (Conv(10, 25), 5),  # groups that fill no vector
    (Conv(14, 7), 7),
    (Conv(7, 21), 7),
    (Conv(6, 38, (2, 3), (2, 1)), 2),
    (Conv(33, 99, (1, 5), padding=(0, 2)), 3),
    (Conv(16, 32, dilation=(2, 1), padding=(2, 1)), 4),
    (Conv(16, 32, (2, 2), dilation=(2, 3), padding=(2, 1)), 2),
    (Conv(12, 20, (1, 1), padding=(0, 0)), 4),
    (Conv(5, 7), 1),
]
# bias, residual, relu
ENDS = list(itertools.product((False, True), repeat=3))


@pytest.mark.parametrize(("conv", "groups"), CONVS, ids=str)
def test_grouped_patches(conv: Conv, groups: int) -> None:
    layouts = itertools.cycle(["contiguous", "channels_last", "strided"])
    for bias, residual, relu in ENDS:
        p = grouped(conv, groups, windows_of(conv), bias=bias, residual=residual, relu=relu, layout=next(layouts))
        output = p.check()
        p.of.ceiling = float(output.mean()) if len(output) else 6.0
        assert (p.check() <= p.of.ceiling).all()


@pytest.mark.parametrize(("channels", "groups"), [(5, 5), (12, 12), (12, 3)])
def test_kernels_of_all_sizes(channels: int, groups: int) -> None:
    for k in range(1, 12):
        conv = Conv(channels, channels, (k, k), padding=(k // 2, k // 2), size=(13, 12))
        grouped(conv, groups, windows_of(conv)).check()
        conv = replace(conv, kernel=(3, k), stride=(1, 2), padding=(0, k // 2))
        grouped(conv, groups, windows_of(conv), relu=True).check()


@pytest.mark.parametrize(
    ("conv", "groups"),
    [
        depthwise(128, size=(40, 40)),
        depthwise(1500, size=(4, 30)),  # a line is more than one piece has
        (Conv(64, 64, size=(40, 40)), 2),
        (Conv(4, 4, size=(3, 9000)), 2),
    ],
    ids=str,
)
def test_large_rectangles_are_cut(conv: Conv, groups: int) -> None:
    height, width = conv.map
    windows = [((0, 0, *conv.size), (0, 0, height, width)), ((0, 1, 2, 5), (1, 1, height, width - 1))]
    grouped(conv, groups, windows, residual=True, relu=True).check()


@pytest.mark.parametrize(("conv", "groups"), [depthwise(19, size=(21, 17)), (Conv(24, 24, size=(21, 17)), 3)], ids=str)
def test_many_windows(conv: Conv, groups: int) -> None:
    """More than one thread's portion, whose borders lie anywhere."""
    p = grouped(conv, groups, random_windows(conv, 250, 9), residual=True)
    whole = p.check()
    # A window's numbers are the same, to the bit, whoever its neighbours are.
    for i in (0, 100, 249):
        top, left, bottom, right, start = p.of.want[i].tolist()
        count = max(0, bottom - top) * max(0, right - left)
        want = torch.tensor([[top, left, bottom, right, 0]])
        assert p.of.residual is not None
        own = slice(start, start + count)
        alone = replace(p.of, have=p.of.have[i : i + 1], want=want, rows=count, residual=p.of.residual[own])
        same(Grouped(alone, groups).run(), whole[own])


def test_threads_share_the_groups_of_one_window() -> None:
    conv = Conv(256, 256, size=(9, 9))
    p = grouped(conv, 8, [((2, 2, 6, 6), (1, 1, 7, 7))])
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(p.check())
    finally:
        torch.set_num_threads(threads)
    same(results[0], results[1])
    same(results[0], results[2])


def test_grouped_patches_of_nothing() -> None:
    for conv, groups in (depthwise(3), (Conv(8, 8), 2), depthwise(3, (20, 1))):
        assert grouped(conv, groups, []).run().shape == (0, conv.outputs)
        assert grouped(conv, groups, [(NONE, NONE), ((1, 1, 4, 4), (3, 3, 3, 9))]).run().shape == (0, conv.outputs)
    grouped(*depthwise(16), [(NONE, (0, 0, 9, 11)), ((5, 5, 5, 9), (2, 2, 4, 4))]).check()
    for conv, groups in (depthwise(6, padding=(2, 2)), (Conv(6, 6, padding=(2, 2)), 2)):
        p = grouped(conv, groups, [(NONE, (0, 0, 2, 3))])
        p.of.base = p.of.base[:, :, :0, :1]  # a map of which all is padding
        assert p.of.bias is not None
        same(p.run(), p.of.bias.expand(6, 6))


def test_an_empty_rectangle_may_lie_anywhere() -> None:
    """Whatever its corners say, however far they are, nothing of the patches is read."""
    far = 2**63 - 1
    for conv, groups in (depthwise(9), (Conv(8, 8), 2)):
        p = grouped(conv, groups, [(NONE, (0, 0, 9, 11))])
        expected = p.check()
        for line in ([0, far, 9, 4, 0], [0, 4, 9, -far - 1, 0], [0, far, 9, -far - 1, far], [far, 0, -far - 1, 11, 0]):
            p.of.have = torch.tensor([line])
            same(p.run(), expected)


def test_strided_tables_and_numbers() -> None:
    for conv, groups in (depthwise(7), (Conv(8, 16), 2)):
        p = grouped(conv, groups, windows_of(conv), residual=True)
        expected, of = p.check(), p.of
        assert of.bias is not None and of.residual is not None
        of.patches = of.patches.repeat_interleave(2, 0)[::2]
        of.have, of.want = of.have.T.contiguous().T, of.want.T.contiguous().T
        of.weight, of.residual = of.weight.transpose(0, 1).contiguous().transpose(0, 1), of.residual.T.contiguous().T
        of.bias = of.bias.repeat_interleave(3)[::3]
        same(p.run(), expected)


@pytest.mark.parametrize("relu", [False, True])
def test_nan_and_infinities_go_where_torch_lets_them(relu: bool) -> None:
    for conv, groups in (depthwise(33), depthwise(17, (4, 2), (1, 2), (3, 1)), (Conv(64, 32), 2)):
        p = grouped(conv, groups, windows_of(conv), relu=relu, residual=True)
        base, patches, residual = p.of.base, p.of.patches, p.of.residual
        base[0, 0, 3, 2], base[0, 1, 0, 0], base[0, 2, 7, 9] = torch.nan, torch.inf, -torch.inf
        patches[::37, 3], patches[5::41, 4], patches[7::31, 0] = torch.nan, torch.inf, -torch.inf
        assert residual is not None
        residual[::13, 2] = torch.nan
        output, expected = p.run(), p.twin()
        assert torch.equal(output.isnan(), expected.isnan()) and 0 < expected.isnan().float().mean() < 0.9
        assert torch.equal(output.isinf(), expected.isinf())
        torch.testing.assert_close(output, expected.float(), rtol=1e-4, atol=1e-4, equal_nan=True)


def test_an_infinity_stays_in_its_group() -> None:
    """Groups that share a vector are multiplied with zeros of one another: infinity times zero would be NaN."""
    conv = Conv(16, 16)
    p = grouped(conv, 4, [((0, 0, 9, 11), (0, 0, 9, 11))])
    clean = p.run()
    p.of.patches[:, 5] = torch.inf
    output = p.run()
    own = torch.arange(16) // 4 == 1
    same(output[:, ~own], clean[:, ~own])
    assert not output[:, own].isfinite().all(1).any()


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(("conv", "groups"), [depthwise(16), (Conv(4, 8, (2, 3), (2, 1)), 2)], ids=str)
def test_grouped_patches_compiles_whole(conv: Conv, groups: int, dynamic: bool) -> None:
    def run(base: Tensor, patches: Tensor, have: Tensor, want: Tensor, rows: int, filters: Tensor) -> Tensor:
        output = ops.grouped_patches(
            base * 2,
            patches,
            have,
            want,
            rows,
            filters,
            channels=conv.outputs,
            groups=groups,
            kernel_size=conv.kernel,
            stride=conv.stride,
            padding=conv.padding,
        )
        return output.relu() + 1

    compiled = torch.compile(run, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for count in (5, 9, 17):
        p = grouped(conv, groups, windows_of(conv)[:count])
        of = p.of
        args = (of.base, of.patches, of.have, of.want, of.rows, ops.pack_grouped_filters(of.weight, groups))
        same(compiled(*args), run(*args))


def test_strides_beyond_the_map() -> None:
    """A single output takes no step, however long: no memory for it."""
    for channels, groups in ((4, 4), (4, 2)):
        conv = Conv(channels, channels, stride=(2**31 - 1, 2**31 - 1))
        grouped(conv, groups, [((0, 0, 3, 3), (0, 0, 1, 1))]).check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": 0}, "groups: expected a divisor"),
        ({"groups": 5}, "groups: expected a divisor of base's 8 channels and of channels 8, got 5"),
        ({"channels": 0}, "channels: expected at least 1"),
        ({"channels": 9}, "groups: expected a divisor"),
        ({"filters": torch.zeros(3)}, "filters: expected"),
        ({"bias": torch.zeros(3)}, "bias: expected"),
        ({"residual": torch.zeros(3)}, "residual: expected"),
        ({"rows": 5}, "want: "),
        ({"kernel_size": 0}, "kernel"),
        ({"base": torch.zeros(1, 8, 9, 11, dtype=torch.float64)}, "base: expected float32"),
    ],
)
def test_what_is_refused(changes: dict[str, object], message: str) -> None:
    p = grouped(Conv(8, 8), 2, [((0, 0, 3, 3), (0, 0, 2, 2))]).of
    given = {name: getattr(p, name) for name in ("base", "patches", "have", "want", "rows")}
    filters = ops.pack_grouped_filters(p.weight, 2)
    arguments = given | {"filters": filters, "channels": 8, "groups": 2, "kernel_size": 3, "padding": 1} | changes
    with pytest.raises(RuntimeError, match=message):
        ops.grouped_patches(**arguments)


def test_filters_that_are_refused() -> None:
    for weight, groups, message in (
        (torch.zeros(4, 2, 3), 2, "weight: expected"),
        (torch.zeros(4, 2, 3, 3).double(), 2, "weight: expected float32"),
        (torch.zeros(4, 2, 3, 3), 3, "groups: expected a divisor of the 4 outputs, got 3"),
        (torch.zeros(4, 2, 3, 3), 0, "groups: expected"),
    ):
        with pytest.raises(RuntimeError, match=message):
            ops.pack_grouped_filters(weight, groups)
