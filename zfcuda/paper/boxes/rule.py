"""How a map of the pixels becomes a box: the rule of class activation mapping, with two settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from torch import Tensor

from zfcuda.paper.boxes.components import Box, largest_component
from zfcuda.synthesis.priors import gaussian_blur


@dataclass(frozen=True)
class Rule:
    """The box around the largest component of what is at least a share of a map's maximum (Zhou et al. 2016).

    The map is blurred before: maps of single pixels have no components otherwise. What speaks against the class is
    left out.

    Attributes:
        blur: standard deviation of a Gaussian, as a share of the image's shorter side.
        share: of the maximum. Zhou et al. take 0.2.
    """

    blur: float
    share: float


_BLURS = (1 / 128, 1 / 64, 1 / 32, 1 / 16)
_SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
#: The rules that a method is tuned over.
RULES = tuple(Rule(blur, share) for blur, share in product(_BLURS, _SHARES))


def boxes(map: Tensor, rules: Sequence[Rule] = RULES) -> list[Box]:
    """A box for each rule around a map [H,W]; the whole of it where nothing in it is positive."""
    positive = map.detach().double().cpu().clamp(min=0)
    height, width = positive.shape
    blurred = {
        blur: gaussian_blur(positive[None, None], blur * min(height, width))[0, 0].numpy()
        for blur in {rule.blur for rule in rules}
    }
    found = []
    for rule in rules:
        values = blurred[rule.blur]
        most = float(values.max())
        box = largest_component(values >= rule.share * most) if most > 0 else None
        found.append(box or (0, 0, height, width))
    return found


def overlap(first: Box | Sequence[Box], second: Box | Sequence[Box]) -> np.ndarray:
    """Intersection over union of boxes [...,4], as many as broadcasting gives."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    inside = np.clip(high - low, 0, None).prod(-1)
    sizes = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    share: np.ndarray = inside / np.maximum(sizes - inside, 1e-12)
    return share
