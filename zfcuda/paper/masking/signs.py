"""The signs of how features change under a mask, and how alike they are between pictures."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_NOISE = 1e-6  # of the largest feature: below that a change is one of rounding


class Agreement(NamedTuple):
    """How alike the sign vectors of M masked pictures are, float32 [M,M].

    Attributes:
        distance: the paper's normalised Hamming distance: the share of all units whose signs, -1, 0 or 1, differ. It
            is the smaller the fewer units change at all.
        kappa: Cohen's kappa (1960): how much more often signs agree than they would by chance, with as many units up,
            down and unchanged in each picture; 1 where all agree, 0 by chance, NaN where nothing changes in either.
        opposite: of the units that change in both, the share whose signs are opposite; NaN where none change in both.
    """

    distance: Tensor
    kappa: Tensor
    opposite: Tensor


def signs(features: Tensor, masked: Tensor) -> Tensor:
    """The signs of the change (section 4.3: of features less those of the masked picture), int8 [M,D].

    Args:
        features: [...] of the picture; masked: [M,...] of its masked versions.

    A change of less than a millionth of the largest feature counts as none: a unit that does not see the mask may
    differ by rounding.
    """
    change = (features[None] - masked).flatten(1)
    small = _NOISE * features.abs().max()
    return torch.where(change.abs() > small, change.sign(), torch.zeros_like(change)).to(torch.int8)


def agreement(vectors: Tensor) -> Agreement:
    """Compares all pairs of sign vectors int8 [M,D]."""
    up, down = (vectors > 0).float(), (vectors < 0).float()
    moved = up + down
    still = 1 - moved
    same = up @ up.T + down @ down.T + still @ still.T
    both = moved @ moved.T
    opposite = up @ down.T + down @ up.T
    count = vectors.shape[1]
    shares = [each.sum(1) / count for each in (up, down, still)]
    chance = sum((torch.outer(share, share) for share in shares), torch.zeros(()))
    return Agreement(1 - same / count, (same / count - chance) / (1 - chance), opposite / both)
