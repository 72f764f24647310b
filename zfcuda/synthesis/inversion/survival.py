"""What is left of an image in another one: how far it is off, region by region, and where its parts have gone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Survival:
    """What is left of an image in another, in all of it and by the regions of a grid of g x g.

    Attributes:
        error: |image - image0| / |image0 - its mean colour|: 0 is the same image, 1 is as far from it as a plain grey.
        errors: [g,g], the same of each region, against the same size for an average region; so they show where.
        code_errors: [g,g], |code - code0| / |code0| of the part of the layer's map over each region, in the same way;
            None for a vector or a map smaller than the grid.
        shifts: int64 [g,g,2], by how many pixels (down, right) each region of the original has moved: where, at most
            half a region away, the image is most like it.
        likeness: [g,g], how alike they are there: their normalised correlation in brightness, 1 for the same but for
            brightness and contrast, about 0 for nothing in common. Where it is low the shift means nothing.
        shift: (down, right) of the whole, by phase correlation.
    """

    error: float
    errors: Tensor
    code_errors: Tensor | None
    shifts: Tensor
    likeness: Tensor
    shift: tuple[int, int]


def survival(original: Tensor, image: Tensor, code0: Tensor, code: Tensor, grid: int) -> Survival:
    """What is left of an original in an image.

    Args:
        original, image: [1,C,H,W] of one size, in pixels of 0 to 1.
        code0, code: a layer's answers to them.
    """
    plain = original - original.mean((2, 3), keepdim=True)
    maps = code0.ndim == 4 and min(code0.shape[2:]) >= grid
    before, after = (each.mean(1)[0].double().cpu() for each in (original, image))
    shifts, likeness = _moved(before, after, grid)
    return Survival(
        error=float((image - original).norm() / plain.norm().clamp_min(1e-12)),
        errors=_by_region(image - original, plain, grid),
        code_errors=_by_region(code - code0, code0, grid) if maps else None,
        shifts=shifts,
        likeness=likeness,
        shift=phase_shift(before, after),
    )


def phase_shift(first: Tensor, second: Tensor) -> tuple[int, int]:
    """By how many pixels (down, right) the second image [H,W] is the first one moved: the peak of phase correlation.

    Source: Kuglin & Hines, "The phase correlation image alignment method", 1975.
    """
    high, wide = first.shape
    sides = [torch.hann_window(side, periodic=False, device=first.device) for side in (high, wide)]
    window = (sides[0][:, None] * sides[1]).to(first)
    before, after = (torch.fft.fft2((each - each.mean()) * window) for each in (first, second))
    cross = after * before.conj()
    peak = int(torch.fft.ifft2(cross / cross.abs().clamp_min(1e-12)).real.argmax())
    down, right = divmod(peak, wide)
    return (down + high // 2) % high - high // 2, (right + wide // 2) % wide - wide // 2


def _regions(length: int, grid: int) -> list[slice]:
    return [slice(i * length // grid, (i + 1) * length // grid) for i in range(grid)]


def _by_region(difference: Tensor, size: Tensor, grid: int) -> Tensor:
    """The root mean square of a difference [1,K,h,w] in each region, against that of `size` everywhere."""
    rows, columns = (_regions(length, grid) for length in difference.shape[2:])
    squares = torch.stack(
        [torch.stack([difference[:, :, row, column].square().mean() for column in columns]) for row in rows]
    )
    return (squares / size.square().mean().clamp_min(1e-24)).sqrt().cpu()


def _moved(original: Tensor, image: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """Where each region of the original [H,W] is in the image, and how alike they are there."""
    rows, columns = (_regions(length, grid) for length in original.shape)
    shifts = torch.zeros(grid, grid, 2, dtype=torch.int64, device="cpu")
    likeness = torch.zeros(grid, grid, dtype=torch.float32, device="cpu")
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            part = original[row, column]
            top, left = (max(0, side.start - (side.stop - side.start) // 2) for side in (row, column))
            bottom, right = (side.stop + (side.stop - side.start) // 2 for side in (row, column))
            alike = _correlation(part, image[top:bottom, left:right])
            down, across = divmod(int(alike.argmax()), alike.shape[1])
            shifts[y, x] = torch.tensor((top + down - row.start, left + across - column.start), device="cpu")
            likeness[y, x] = alike.max()
    return shifts, likeness


def _correlation(part: Tensor, within: Tensor) -> Tensor:
    """The normalised correlation of a part [h,w] with every place of a larger image that it fits into."""
    size, shape = part.numel(), within.shape
    wanted, places = part - part.mean(), within - within.mean()
    spectrum = torch.fft.rfft2(places) * torch.fft.rfft2(wanted, s=shape).conj()
    products = torch.fft.irfft2(spectrum, s=shape)[: shape[0] - part.shape[0] + 1, : shape[1] - part.shape[1] + 1]
    mean, square = (_sums(each, part.shape) / size for each in (places, places.square()))
    spread = ((square - mean.square()).clamp_min(0) * size).sqrt() * wanted.norm()
    return torch.where(spread > 1e-9, products / spread.clamp_min(1e-9), torch.zeros_like(products)).float()


def _sums(values: Tensor, window: torch.Size) -> Tensor:
    """The sum [H-h+1,W-w+1] of values [H,W] over a window [h,w] at every place, from sums up to each value."""
    high, wide = window
    up_to = F.pad(values.cumsum(0).cumsum(1), (1, 0, 1, 0))
    return up_to[high:, wide:] - up_to[:-high, wide:] - up_to[high:, :-wide] + up_to[:-high, :-wide]


def median_shift(found: Survival) -> float:
    """How far regions have moved: the median of the lengths of their shifts, in pixels."""
    return float(found.shifts.double().norm(dim=2).flatten().median())
