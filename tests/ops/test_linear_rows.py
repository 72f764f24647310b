"""The CPU's own linear layer (linear_rows) against its twin in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.ops.tensors import same
from tests.ops.test_conv_patches import LINEAR, within
from zfcuda.ops import patches as patch_ops
from zfcuda.ops import reference

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
ROWS = [1, 3, 6, 7, 8, 13, 14, 15, 700, 1500]


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
