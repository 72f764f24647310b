"""Inputs of the operators' tests, and how their results are compared."""

from __future__ import annotations

import torch
from torch import Tensor

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
LAYOUTS = ["contiguous", "channels_last", "strided", "channels_last_strided"]
# kernel, stride, padding, ceil_mode
POOLS = [
    (3, 2, 1, False),
    (3, 2, 0, True),
    (2, 2, 0, False),
    (3, 1, 1, False),
    ((3, 2), (1, 3), (1, 0), False),
    ((2, 5), (3, 2), (1, 2), True),
    (1, 1, 0, False),
    (5, 3, 2, True),
    ((16, 16), (7, 5), 8, False),
]
SIZES = [(2, 5, 13, 11), (1, 3, 17, 40), (1, 33, 35, 37)]


def laid_out(x: Tensor, layout: str) -> Tensor:
    if layout.startswith("channels_last"):
        x = x.contiguous(memory_format=torch.channels_last)
    if layout.endswith("strided"):
        wide = torch.empty(x.shape[0] * 2, x.shape[1], x.shape[2], x.shape[3] * 2, dtype=x.dtype, device=x.device)
        wide = wide.to(memory_format=torch.channels_last) if layout.startswith("channels_last") else wide
        view = wide[::2, :, :, ::2]
        return view.copy_(x)
    return x


def pairs(pool: tuple) -> tuple[list[int], list[int], list[int], bool]:
    k, s, p, ceil = pool
    return (*([v, v] if isinstance(v, int) else list(v) for v in (k, s, p)), ceil)


def fits(size: tuple[int, ...], pool: tuple) -> bool:
    kernel, _, padding, _ = pairs(pool)
    return all(size[2 + i] + 2 * padding[i] >= kernel[i] for i in (0, 1))


def picture(size: tuple[int, ...], dtype: torch.dtype, device: torch.device, kind: str = "noise") -> Tensor:
    """Noise; or "special": ties, NaN, infinities and long stretches below zero."""
    x = torch.randn(size, dtype=torch.float64)
    if kind == "special":
        x = (x * 2).round() / 2
        x[:, ::2] = -x[:, ::2].abs()
        flat = x.view(-1)
        flat[::17], flat[5::29], flat[7::31] = torch.nan, torch.inf, -torch.inf
        x[0, 0] = -torch.inf
    return x.to(device, dtype)


def same(a: Tensor, b: Tensor) -> None:
    if a.dtype == b.dtype and a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all()):
        return  # an order faster than assert_close, whose message is wanted only on failure
    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def near(a: Tensor, b: Tensor, roundings: int = 1) -> None:
    """Asserts equality within the rounding of the dtype; `roundings` more where large terms cancel."""
    tolerance = {torch.float32: 2e-6, torch.float64: 1e-13, torch.float16: 1e-3, torch.bfloat16: 1e-2}[a.dtype]
    tolerance *= roundings
    if a.dtype == b.dtype and a.shape == b.shape and torch.allclose(a, b, tolerance, tolerance, equal_nan=True):
        return
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def tables(device: torch.device, *corners: tuple[int, int, int, int]) -> tuple[Tensor, int]:
    """int64 [n,5] of the rectangles (top, left, bottom, right), one after the other; the positions in all."""
    lines, start = [], 0
    for top, left, bottom, right in corners:
        lines.append([top, left, bottom, right, start])
        start += max(0, bottom - top) * max(0, right - left)
    return torch.tensor(lines, dtype=torch.int64, device=device).reshape(-1, 5), start


# Per window: what is kept, what is read; the map is 7 x 9.
PATCHES = [
    ((2, 3, 5, 7), (1, 2, 6, 8)),  # the patch and a margin
    ((0, 0, 2, 2), (-2, -1, 3, 4)),  # over the corner
    ((5, 6, 7, 9), (4, 5, 9, 11)),  # over the opposite one
    ((3, 3, 3, 6), (2, 2, 5, 5)),  # nothing kept
    ((1, 4, 4, 2), (1, 1, 4, 8)),
    ((1, 1, 4, 4), (5, 6, 7, 9)),  # nothing of the patch wanted
    ((0, 0, 7, 9), (0, 0, 7, 9)),  # everything
    ((2, 2, 3, 3), (3, 3, 3, 3)),  # nothing wanted
    ((2, 2, 3, 3), (5, 5, 4, 9)),
    ((2, 2, 6, 6), (3, 3, 5, 5)),  # inside the patch
    ((2, 2, 6, 6), (-5, 0, -2, 4)),  # outside the map: above, below, left, right
    ((2, 2, 6, 6), (7, 0, 9, 4)),
    ((2, 2, 6, 6), (0, -9, 3, -4)),
    ((2, 2, 6, 6), (0, 9, 3, 10)),
    ((0, 2, 7, 3), (-1, -2, 9, 12)),  # a column; more than the map
    ((4, 0, 5, 9), (4, 0, 5, 9)),
]


NORMS = [
    (5, 5e-4, 0.75, 2.0),
    (3, 0.1, 0.5, 1.0),
    (4, 0.3, 1.0, 0.5),
    (1, 1e-2, 0.6, 1.0),
    (9, 1e-1, 0.75, 0.0),
    (64, 1.0, 0.3, 2.0),
]
