"""How alike the nine patches of a unit are, and how alike their projections; and how alike those of different units.

The second is what any two crops of a layer share, as projections share that they fade towards the border of the field.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_CELLS = 8  # each way, in which the energy of edges is counted
_ALIKE = 1e-9  # of the mean square: less variance is rounding
_LEAST = 0.25  # of the field, that two have to share within their pictures


def pixels(images: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """The mean correlation of pairs of crops, pixel by pixel: of those of one unit, and of those of two units.

    Args:
        images: [U,top,C,h,w].
        inside: bool [U,top,h,w], the pixels that count: of a pair, those that count for both.

    Returns:
        (float64 [U] of the pairs of each unit, float64 [U] of its crops with those of the next unit); NaN where there
        is no pair that can be compared.
    """
    channels = images.shape[2]
    values = images.double().flatten(2)
    weights = inside[:, :, None].expand(-1, -1, channels, -1, -1).double().flatten(2)
    return _of_pairs(values, weights)


def edges(images: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """The same of where their edges are: of the energy of differences between neighbours, in 8 x 8 cells.

    It asks the same of a patch, whose edges may all be there, and of a projection, which should have a few of them
    alone; and it asks not for the same pixels.
    """
    grey = images.double().mean(2)
    both = inside[..., 1:, 1:] & inside[..., :-1, 1:] & inside[..., 1:, :-1]
    down, along = grey[..., 1:, 1:] - grey[..., :-1, 1:], grey[..., 1:, 1:] - grey[..., 1:, :-1]
    energy = torch.where(both, down.square() + along.square(), 0.0)
    size = (min(_CELLS, energy.shape[2]), min(_CELLS, energy.shape[3]))
    if min(size) < 2:
        nothing = torch.full((len(images),), float("nan"), dtype=torch.float64)
        return nothing, nothing
    cells, shares = (functional.adaptive_avg_pool2d(each, size).flatten(2) for each in (energy, both.double()))
    counted = (shares > 0.5).double()
    return _of_pairs((cells / shares.clamp(min=1e-9)).sqrt(), counted)


def _of_pairs(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Of crops [U,top,D] within each unit, and between it and the next."""
    top = values.shape[1]
    y, x = torch.triu_indices(top, top, 1)
    within = _correlations(values, weights, values, weights)[:, y, x].nanmean(1)
    if len(values) < 2:
        return within, torch.full_like(within, float("nan"))
    between = _correlations(values, weights, values.roll(-1, 0), weights.roll(-1, 0)).flatten(1).nanmean(1)
    return within, between


def _correlations(a: Tensor, counted: Tensor, b: Tensor, counted_too: Tensor) -> Tensor:
    """[U,m,D] and [U,n,D] -> [U,m,n], over what counts for both; NaN where that is too little, or all the same."""
    a, b = a * counted, b * counted_too
    shared = counted @ counted_too.mT
    n = shared.clamp(min=1)
    means, means_too = a @ counted_too.mT / n, counted @ b.mT / n
    power, power_too = a.square() @ counted_too.mT / n, counted @ b.square().mT / n
    variance, variance_too = power - means.square(), power_too - means_too.square()
    varied = (variance > _ALIKE * power) & (variance_too > _ALIKE * power_too)
    enough = shared >= _LEAST * a.shape[2]
    scale = (variance.clamp(min=0) * variance_too.clamp(min=0)).sqrt()
    return torch.where(varied & enough, (a @ b.mT / n - means * means_too) / scale, float("nan"))
