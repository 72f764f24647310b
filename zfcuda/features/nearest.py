"""The nearest codes to a query, exactly: matrix products choose candidates, whose distances are computed directly.

|c - q|^2 = |c|^2 + |q|^2 - 2 c.q is quick, and where the three terms are large and their sum is small nothing but
rounding is left of it. So the product only excludes what cannot be among the nearest, whatever its rounding did; the
rest is summed up as (c - q)^2, in float64, and chosen by that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from zfcuda.features.values import values_of
from zfcuda.inputs import integer

_BLOCK = 4 << 20  # float64 numbers in one block of codes, of products or of differences: 32 MiB
_QUERIES = 1024
_EPS = torch.finfo(torch.float64).eps


def nearest(codes: Any, query: Any, k: int = 9) -> tuple[Tensor, Tensor]:
    """The k codes nearest to each query, by Euclidean distance (L2), nearest first; ties go to the lower index.

    The choice is exact: that of sqrt(sum((code - query)^2)), each difference, square and sum in float64. A query that
    is among the codes is its own nearest, at distance 0. Takes a few hundred MB beside the codes, however many there
    are.

    In pixel space it is the same call on pixels: ``nearest(images.flatten(1), image.flatten(1))``; for pictures there
    is :func:`zfcuda.features.pixels.pixels`.

    Args:
        codes: what :func:`zfcuda.codes` returns, or a Tensor [N,D] of a floating dtype, on any device.
        query: the same, [Q,D], or one code [D].
        k: how many, at most N.

    Returns:
        (indices int64 [Q,k] into the codes, distances float64 [Q,k]), on the codes' device; Q is 1 for a query [D].

    Raises:
        TypeError: codes or query is neither; k is no integer.
        ValueError: the query has another width, k is less than 1 or more than there are codes, or something is NaN,
            infinite or empty.
    """
    values = values_of(codes)
    asked = values_of(query[None] if isinstance(query, Tensor) and query.dim() == 1 else query, "query")
    k = integer("k", k)
    if asked.shape[1] != values.shape[1]:
        raise ValueError(f"query: expected a width of {values.shape[1]}, as the codes have, got {asked.shape[1]}")
    if not 1 <= k <= len(values):
        raise ValueError(f"k: expected 1 to {len(values)}, as many as there are codes, got {k}")
    home = values.device
    if home.type not in ("cpu", "cuda"):  # no float64 there
        values = values.cpu()
    with torch.no_grad():
        centre = _middle(values)
        found = [_nearest(values, block.to(values.device), centre, k) for block in asked.split(_QUERIES)]
    return torch.cat([index for index, _ in found]).to(home), _distances([square for _, square in found]).to(home)


def _distances(squares: list[Tensor]) -> Tensor:
    distances = torch.cat(squares).sqrt()
    if not distances.isfinite().all():
        raise ValueError("codes: expected distances within float64, got values whose squares are beyond it")
    return distances


def _nearest(values: Tensor, query: Tensor, centre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The nearest of values [N,D] to queries [Q,D]: indices and squared distances, both [Q,k]."""
    # Any one point may be subtracted from both; near the middle the products are small, and so is their rounding.
    shifted = query.double() - centre
    shifted_square = shifted.square().sum(1, keepdim=True)
    best = shifted.new_full((len(query), k), torch.inf)  # squared distances, ascending
    index = torch.full_like(best, -1, dtype=torch.int64)
    for first, block in _blocks(values, len(query)):
        inner = block.double() - centre
        size = inner.square().sum(1) + shifted_square  # [Q,R]
        rough = torch.addmm(size, shifted, inner.T, alpha=-2)
        # Twice what the rounding of the sums of D products, of the shift and of the direct sums can come to together.
        margin = size.mul_(2 * (values.shape[1] + 16) * _EPS)
        highest = torch.cat([best, (rough + margin).nan_to_num_(nan=torch.inf)], 1)
        limit = highest.kthvalue(k, dim=1, keepdim=True).values
        possible = ~(rough - margin > limit)  # not a number: possible
        row, column = possible.nonzero(as_tuple=True)
        squares = _squares(block, query, row, column)
        best, index = _merged(best, index, row, column + first, squares)
    return index, best


def _blocks(values: Tensor, queries: int) -> Iterator[tuple[int, Tensor]]:
    """(first index, rows) of blocks of codes, in order."""
    rows = max(1, _BLOCK // max(values.shape[1], queries))
    for first in range(0, len(values), rows):
        yield first, values[first : first + rows]


def _squares(block: Tensor, query: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """The squared distances of pairs: query `row` and code `column` of a block."""
    pairs = max(1, _BLOCK // block.shape[1])
    parts = [
        _sum((block[columns].double() - query[rows].double()).square_())
        for rows, columns in zip(row.split(pairs), column.split(pairs), strict=True)
    ]
    return torch.cat(parts)


def _sum(x: Tensor) -> Tensor:
    """[P,D] -> [P], in pairs: equal rows give equal sums wherever they stand, which torch.sum does not promise."""
    while x.shape[1] > 1:
        half = x.shape[1] // 2
        halved = x[:, :half] + x[:, half : 2 * half]
        if x.shape[1] % 2:
            halved[:, 0] += x[:, -1]
        x = halved
    return x[:, 0]


def _merged(best: Tensor, index: Tensor, row: Tensor, place: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """The k best of what there is and of new pairs: rows ascending, places beyond all those that there are."""
    queries, k = best.shape
    counts = torch.bincount(row, minlength=queries)
    column = k + torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    width = k + int(counts.max())
    every = best.new_full((queries, width), torch.inf)
    names = index.new_full((queries, width), -1)
    every[:, :k], names[:, :k] = best, index
    every[row, column], names[row, column] = squares, place
    # Stable, so that of equal distances the first, which has the lowest index, stays first.
    order = every.sort(dim=1, stable=True).indices[:, :k]
    return every.gather(1, order), names.gather(1, order)


def _middle(values: Tensor) -> Tensor:
    """A point among the codes, float64 [D]: the mean of up to some two thousand of them."""
    return values[:: max(1, len(values) // 1024)].double().mean(0)
