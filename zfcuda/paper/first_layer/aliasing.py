"""What of a stride shows in projections: energy at the frequencies of its grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: Cycles per pixel at which strides leave their grids: a first one of 4 at 1/4 and 1/2, pooling by 2 behind it at 1/8
#: and 3/8 besides; a first one of 2 at 1/2, pooling behind it at 1/4 besides. At 1/8 none can be told: it lies on the
#: slope of the energy of coarse things.
FREQUENCIES = (1 / 4, 3 / 8, 1 / 2)
_FINEST = 64  # points of a spectrum at least, both ways
_BESIDE = 1 / 16  # cycles per pixel from a line to its surroundings, midway to the next line
_LINE, _AROUND = 1 / 32, 1 / 64  # a line is so wide both ways, and each of its surroundings


def spectrum(projection: Tensor) -> tuple[Tensor, Tensor]:
    """How the energy of a projection lies over frequencies, vertical and horizontal ones taken together.

    projection: [C,h,w], cut out where it is not zero; its channels are added up.

    Returns:
        (frequencies, cycles per pixel, 0 ... 1/2 [F], shares of the energy float64 [F], which sum to 1, or are all zero
        of an empty one)
    """
    length = max(_FINEST, *(-(-side // 16) * 16 for side in projection.shape[1:]))
    power = torch.fft.fft2(projection.detach().cpu().double(), (length, length)).abs().square().sum(0)
    lines = power.sum(0) + power.sum(1)
    half = length // 2
    folded = lines[: half + 1].clone()
    folded[1:half] += lines[half + 1 :].flip(0)
    whole = float(folded.sum())
    return torch.arange(half + 1) / length, folded / whole if whole else folded


def excess(frequencies: Tensor, shares: Tensor, at: Sequence[float] = FREQUENCIES) -> list[float]:
    """The share of the energy that stands out at each of some frequencies above its surroundings; may be negative.

    A line, 1/32 cycle per pixel wide both ways, is held against the geometric mean of what lies 1/16 below and above,
    so that energy that falls or rises evenly leaves nothing. Above 1/2 the spectrum goes on as its mirror.
    """
    density = density_of(shares)
    ends = (frequencies == 0) | (frequencies == 0.5)

    def around(centre: float) -> float:
        """The mean density near a frequency, the mirror of what lies below 1/2 above it."""
        near = ((frequencies - centre).abs() <= _AROUND + 1e-9).double()
        near += ((1 - frequencies - centre).abs() <= _AROUND + 1e-9).double() * ~ends
        return float((density * near).sum() / near.sum())

    found = []
    for line in at:
        inside = (frequencies - line).abs() <= _LINE + 1e-9
        surroundings = (around(line - _BESIDE) * around(line + _BESIDE)) ** 0.5
        points = float(torch.where(ends, 0.5, 1.0)[inside].sum())
        found.append(float(shares[inside].sum()) - surroundings * points)
    return found


def density_of(shares: Tensor) -> Tensor:
    """The energy per point of a folded spectrum [...,F], whose ends have no twin to be folded onto."""
    density = shares.clone()
    density[..., [0, -1]] *= 2
    return density
