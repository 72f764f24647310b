"""Numbers of the filters of a first layer: how large, how coarse, how different from each other."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zfcuda.features.spectrum import energies, white_noise

#: The bands, from the coarsest: below 1/8, up to 1/4 and above 1/4 cycle per pixel.
BANDS = ("low", "mid", "high")
_LOW, _HIGH = 1 / 8, 1 / 4
_NOISY = 0.9  # of the share of white noise above 1/4 cycle per pixel


def rms(filters: Tensor) -> Tensor:
    """The root mean square of each filter, float64 [N], which the paper's clipping keeps at 0.1 or below."""
    return filters.detach().cpu().double().flatten(1).square().mean(1).sqrt()


def band_shares(filters: Tensor) -> Tensor:
    """The share of each filter's spectral energy in each band, float64 [N,3]; NaN where all weights are zero.

    A frequency counts by the larger one of its vertical and its horizontal part; see
    :func:`zfcuda.features.spectrum.energies` for what it is of a filter.
    """
    above_low, total = energies(filters, _LOW)
    above_high, _ = energies(filters, _HIGH)
    return torch.stack([total - above_low, above_low - above_high, above_high], 1) / total[:, None]


def bands(filters: Tensor) -> list[str]:
    """The band of each filter: the one that most of its energy is in."""
    return [BANDS[place] for place in band_shares(filters).nan_to_num().argmax(1).tolist()]


def mid_energy(filters: Tensor) -> Tensor:
    """Each filter's share of energy in the middle band, in units of what white noise of its size has, float64 [N]."""
    high, wide = filters.shape[-2:]
    return band_shares(filters)[:, 1] / (white_noise(high, wide, _LOW) - white_noise(high, wide, _HIGH))


def noisy(filters: Tensor) -> Tensor:
    """Which filters are like noise, bool [N]: nine tenths of white noise's share above 1/4 cycle per pixel, or more."""
    return band_shares(filters)[:, 2] >= _NOISY * white_noise(*filters.shape[-2:])


def likeness(rows: Tensor) -> Tensor:
    """The mean absolute cosine of each of the rows [N,D] to the others, float64 [N]; NaN of one that is zero."""
    rows = rows.detach().cpu().double().flatten(1)
    lengths = rows.norm(dim=1, keepdim=True)
    alive = (lengths > 0).flatten()
    unit = rows[alive] / lengths[alive]
    found = torch.full((len(rows),), math.nan, dtype=torch.float64)
    if len(unit) > 1:
        found[alive] = ((unit @ unit.T).abs().sum(1) - 1) / (len(unit) - 1)
    return found


def chance_likeness(length: int) -> float:
    """The mean absolute cosine of two random directions of so many dimensions."""
    return math.exp(math.lgamma(length / 2) - math.lgamma((length + 1) / 2)) / math.sqrt(math.pi)


def answers_likeness(maps: Tensor) -> Tensor:
    """The mean absolute correlation of what a filter answers with what each other one does, float64 [filters].

    Unlike the cosine of their weights it is the same measure for filters of any size.

    maps: [N,filters,h,w]; pictures and places are taken together.
    """
    rows = maps.detach().cpu().double().transpose(0, 1).flatten(1)
    return likeness(rows - rows.mean(1, keepdim=True))
