"""Some training pictures of each class, drawn by seed: the folds of a learning curve."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def draw(labels: Tensor, per_class: int, *, fold: int = 0, seed: int = 0, up_to: bool = False) -> Tensor:
    """The numbers of so many pictures of each class, ascending.

    A draw of more pictures holds that of fewer, of the same fold and seed; a class is drawn alike whatever others
    there are.

    Args:
        labels: int64 [N], the class of each picture.
        up_to: take all of a class that has fewer.

    Returns:
        int64 [per_class x classes].

    Raises:
        ValueError: a class has fewer pictures.
    """
    found = []
    for label in labels.unique().tolist():
        inside = (labels == label).nonzero().flatten()
        if len(inside) < per_class and not up_to:
            raise ValueError(
                f"per_class: expected at most {len(inside)}, as class {label} has no more, got {per_class}"
            )
        order = np.random.default_rng([seed, fold, label]).permutation(len(inside))[:per_class]
        found.append(inside[torch.from_numpy(order)])
    return torch.cat(found).sort().values


def usual_counts(smallest: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... pictures a class, as far as the smallest class has them."""
    steps = (factor * 10**power for power in range(9) for factor in (1, 2, 5))
    return [count for count in steps if count <= smallest]
