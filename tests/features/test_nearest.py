"""The nearest codes, against sorting exact distances: computed in whole numbers of Python, or in float64."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import zfcuda
from zfcuda.features import nearest as module


@pytest.fixture(params=[0, 600], ids=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setattr(module, "_BLOCK", request.param)
        monkeypatch.setattr(module, "_QUERIES", 3)


def exact(codes: Tensor, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """By distances in rational numbers, so that nothing is rounded before the root."""
    from fractions import Fraction

    def whole(rows: Tensor) -> list[list[Fraction]]:
        return [[Fraction(x) for x in row] for row in rows.double().tolist()]

    indices, distances = [], []
    inner = whole(codes)
    for q in whole(query):
        squares = [sum((a - b) ** 2 for a, b in zip(c, q, strict=True)) for c in inner]
        order = sorted(range(len(inner)), key=lambda i: (squares[i], i))[:k]
        indices.append(order)
        distances.append([math.sqrt(squares[i]) for i in order])
    return torch.tensor(indices), torch.tensor(distances, dtype=torch.float64)


def check(codes: Tensor, query: Tensor, k: int) -> None:
    indices, distances = zfcuda.nearest(codes, query, k)
    expected = exact(codes, query, k)
    assert indices.dtype == torch.int64 and distances.dtype == torch.float64
    assert torch.equal(indices.cpu(), expected[0])
    torch.testing.assert_close(distances.cpu(), expected[1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.usefixtures("blocks")
def test_against_sorting(dtype: torch.dtype, device: torch.device) -> None:
    codes = torch.randn(90, 13, device=device).to(dtype)
    check(codes, torch.randn(7, 13, device=device).to(dtype), 9)
    check(codes, codes[5:9], 1)
    check(codes, codes[:2], 90)


@pytest.mark.parametrize("offset", [1e4, 1e8, 1e12])
@pytest.mark.usefixtures("blocks")
def test_an_offset_that_the_matrix_product_cancels_at(offset: float) -> None:
    """Two clouds far apart, so that no shift of all makes them small, and neighbours that differ in the last bits."""
    steps = torch.randint(-4, 5, (60, 16), dtype=torch.float64) * 2.0**-8
    codes = torch.cat([steps + offset, steps.roll(1, 0) - offset])
    check(codes, codes[[3, 70]] + 2.0**-9, 9)


@pytest.mark.usefixtures("blocks")
def test_near_equal_distances() -> None:
    """All codes lie on a sphere around the query, but for differences below the rounding of float32."""
    directions = torch.nn.functional.normalize(torch.randn(80, 12, dtype=torch.float64), dim=1)
    radii = 1000 * (1 + torch.randperm(80).double()[:, None] * 2.0**-44)
    query = torch.full((1, 12), 3.0, dtype=torch.float64)
    codes = query + directions * radii
    found, distances = zfcuda.nearest(codes, query, 20)
    true = (codes - query).square().sum(1).sqrt()
    assert (distances.diff() >= 0).all()
    torch.testing.assert_close(true[found[0]], true.sort().values[:20], rtol=1e-15, atol=0)


@pytest.mark.usefixtures("blocks")
def test_ties_go_to_the_lower_index() -> None:
    few = torch.randn(4, 11)
    codes = few[torch.randint(4, (100,))]
    check(codes, few[:2], 40)
    check(torch.ones(30, 3), torch.zeros(2, 3), 5)
    signs = torch.randint(0, 2, (50, 9)) * 2.0 - 1  # all corners of a cube are equally far from its middle
    check(signs, torch.zeros(1, 9), 7)


def test_float32_is_not_rounded_before_the_choice() -> None:
    codes = torch.tensor([[16777216.0, 1.0], [16777216.0, 0.5], [0.0, 0.0]])
    indices, distances = zfcuda.nearest(codes, torch.zeros(2), 3)
    assert indices.tolist() == [[2, 1, 0]] and distances[0, 0] == 0
    # The query keeps its own precision.
    assert zfcuda.nearest(codes[:2], torch.tensor([16777216.0, 0.75 + 2**-40], dtype=torch.float64), 1)[0] == 0


def test_what_is_taken_for_codes() -> None:
    values = torch.randn(20, 6)
    for codes in (values, SimpleNamespace(values=values), values.requires_grad_()):
        with torch.inference_mode():
            indices, distances = zfcuda.nearest(codes, SimpleNamespace(values=values[:3]), 2)
        assert indices.shape == distances.shape == (3, 2) and indices[:, 0].tolist() == [0, 1, 2]
        assert not distances.requires_grad
    assert zfcuda.nearest(values, values[4], k=1)[0].tolist() == [[4]]
    assert zfcuda.nearest(values, values)[0].shape == (20, 9)
    assert zfcuda.nearest(values, values[:1], torch.tensor(3))[0].shape == (1, 3)


@pytest.mark.parametrize(
    ("codes", "query", "k", "error", "said"),
    [
        (torch.ones(4, 3), torch.ones(2), 1, ValueError, r"query: expected a width of 3, as the codes have, got 2"),
        (torch.ones(4, 3), torch.ones(3), 5, ValueError, r"k: expected 1 to 4, as many as there are codes, got 5"),
        (torch.ones(4, 3), torch.ones(3), 0, ValueError, r"k: expected 1 to 4.* got 0"),
        (torch.ones(4, 3), torch.ones(3), 1.5, TypeError, r"k: expected an integer, got 1.5"),
        (torch.tensor([[1.0], [math.nan], [math.inf]]), torch.ones(1), 1, ValueError, r"codes: .* in rows 1, 2$"),
        (torch.ones(4, 1), torch.tensor([math.nan]), 1, ValueError, r"query: expected finite values, .* in row 0"),
        (torch.ones(4, 3, 2), torch.ones(2), 1, ValueError, r"codes: expected \[N,D\].*flatten\(1\)"),
        (torch.ones(0, 3), torch.ones(3), 1, ValueError, r"codes: expected at least one row"),
        (torch.ones(4, 3), torch.ones(0, 3), 1, ValueError, r"query: expected at least one row"),
        (torch.ones(4, 3, dtype=torch.int64), torch.ones(3), 1, TypeError, r"codes: expected a floating dtype"),
        (torch.ones(4, 3).numpy(), torch.ones(3), 1, TypeError, r"codes: expected codes.*from_numpy"),
        (torch.ones(4, 3), "cat.jpg", 1, TypeError, r"query: expected codes"),
        (torch.ones(4, 3), torch.ones(3).to_sparse(), 1, TypeError, r"query: expected a dense Tensor"),
        (
            torch.full((2, 2), 1e200, dtype=torch.float64),
            torch.zeros(2),
            1,
            ValueError,
            r"codes: expected distances within",
        ),
    ],
)
def test_bad_input_is_named(codes: Any, query: Any, k: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        zfcuda.nearest(codes, query, k)


def test_products_exclude_nearly_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few distances are computed directly: that is what makes it quick."""
    counted = []
    whole = module._squares

    def counting(block: Tensor, query: Tensor, row: Tensor, column: Tensor) -> Tensor:
        counted.append(len(row))
        return whole(block, query, row, column)

    monkeypatch.setattr(module, "_squares", counting)
    codes = torch.randn(4000, 32) + 1e3
    zfcuda.nearest(codes, codes[:50] + 0.01, 9)
    assert sum(counted) <= 50 * 9 * 2
