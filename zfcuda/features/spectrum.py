"""How noisy filters are: how much of their spectral energy lies in fine detail."""

from __future__ import annotations

import torch
from torch import Tensor

HALF_NYQUIST = 0.25  # cycles per pixel
_AT_ONCE = 64  # filters, of which some networks have gigabytes


def energies(filters: Tensor, frequency: float = HALF_NYQUIST) -> tuple[Tensor, Tensor]:
    """The spectral energy above a frequency, and all of it: float64 [N] each, of [N,...,kh,kw].

    A filter is continued beyond its borders by reflection, without its border row twice, so that it has no jumps
    there: of k rows the frequencies are then 0, 1/(2k - 2), ..., 1/2 cycles per pixel, the ends included, and a
    constant and a checkerboard have one frequency each whatever their size. The energy of a frequency is the squared
    magnitude of the discrete Fourier transform of that continuation; one is above another where its vertical or its
    horizontal part is. The energies of the input channels of a filter are added.

    frequency: in cycles per pixel; half Nyquist is a quarter, above which a picture of half the size could hold none.
    """
    rows, columns = filters.shape[-2:]
    fine = _above(rows, frequency)[:, None] | _above(columns, frequency)
    parts = []
    for some in filters.detach().split(_AT_ONCE):
        wide = some.to("cpu", torch.float64).reshape(len(some), -1, rows, columns)
        power = torch.fft.fft2(_reflected(_reflected(wide, -2), -1)).abs().square().sum(1)
        parts.append(torch.stack([(power * fine).sum((1, 2)), power.sum((1, 2))]))
    above, total = torch.cat(parts, 1)
    return above, total


def fine_share(filters: Tensor) -> float:
    """The share of the filters' spectral energy above half Nyquist, 0 ... 1; NaN where all weights are zero.

    Smooth filters have little there, and filters that have learnt nothing have what :func:`white_noise` has.

    filters: [N,...,kh,kw]. See :func:`energies` for what is added up.
    """
    above, total = energies(filters)
    return float(above.sum() / total.sum())


def white_noise(rows: int, columns: int, frequency: float = HALF_NYQUIST) -> float:
    """The share above a frequency that independent weights of one variance have, on average."""
    return 1.0 - _coarse(rows, frequency) * _coarse(columns, frequency)


def _coarse(length: int, frequency: float) -> float:
    """The share of white noise at or below a frequency, in one dimension."""
    unit = torch.eye(length, dtype=torch.float64)
    power = torch.fft.fft(_reflected(unit, -1)).abs().square().sum(0)
    return float(power[~_above(length, frequency)].sum() / power.sum())


def _reflected(values: Tensor, dim: int) -> Tensor:
    """a b c d -> a b c d c b."""
    return torch.cat([values, values.flip(dim).narrow(dim, 1, max(0, values.shape[dim] - 2))], dim)


def _above(length: int, frequency: float) -> Tensor:
    """Which frequencies of a reflected line are above one, bool [period]."""
    period = max(1, 2 * length - 2)
    place = torch.arange(period)
    return torch.minimum(place, period - place) > frequency * period
