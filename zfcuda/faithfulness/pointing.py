"""The pointing game: does the largest value of a map lie on what the picture is about?"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from zfcuda.faithfulness.checks import Values, checked_map, checked_mask, checked_tolerance


def pointing_game(map: Values, mask: Values, tolerance: float = 15) -> bool:
    """Whether the largest value of a map lies on a mask, or within some pixels of it (Zhang et al. 2016, section 4.1).

    Where several pixels share the largest value, all of them have to: a map that cannot decide, like one that is the
    same everywhere, does not hit by luck. (An argmax takes the first, which favours whatever lies at the top left.)
    The disc is closed: a pixel exactly `tolerance` away hits. TorchRay's is open, and with it 0 never hits.

    Args:
        map: [H,W], of any real dtype.
        mask: bool [H,W], a Tensor or an array.
        tolerance: pixels, Euclidean distance between pixel centres. The usual 15 is meant for images of about
            224 x 224.

    Raises:
        TypeError, ValueError: naming the argument: the map is not finite, the mask empty or of another size, the
            tolerance negative.
    """
    values = checked_map(map)
    near = _near(checked_mask(mask, values.shape), checked_tolerance(tolerance))
    return bool(near[values == values.amax()].all())


def pointing_chance(mask: Values, tolerance: float = 15) -> float:
    """How often a pixel chosen at random hits in the pointing game: the share of pixels within `tolerance` of the mask.

    Raises:
        TypeError, ValueError: as :func:`pointing_game`.
    """
    return float(_near(checked_mask(mask), checked_tolerance(tolerance)).double().mean())


def _near(mask: Any, tolerance: float) -> Tensor:
    """bool [H,W]: which pixels are within the tolerance of the mask."""
    height, width = mask.shape
    near = torch.zeros_like(mask)
    tolerance = min(tolerance, math.hypot(height, width))
    # How many pixels of the mask are left of each column, so that a stretch of a row is one difference.
    before = torch.zeros(height, width + 1, dtype=torch.int64)
    before[:, 1:] = mask.cumsum(1)
    column = torch.arange(width)
    for up in range(min(int(tolerance), height - 1) + 1):
        half = int(math.sqrt(tolerance * tolerance - up * up))
        hit = before[:, (column + half + 1).clamp(max=width)] > before[:, (column - half).clamp(min=0)]
        near[up:] |= hit[: height - up]
        near[: height - up] |= hit[up:]
    return near
