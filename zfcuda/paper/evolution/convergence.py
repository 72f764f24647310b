"""How near a layer is to what it becomes in the end: its filters, and what it says of pictures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zfcuda.features.activations import activations
from zfcuda.paper.gallery import Gallery

#: From which cosine, or similarity, on two are called the same.
ALIKE = 0.9
_AT_ONCE = 16  # pictures
_FINEST = 28  # places of a map each way that are compared; of larger maps every second, third, ...


def filter_cosines(weights: Sequence[Tensor]) -> Tensor:
    """The cosine of each filter to what it is in the end, float64 [moments,filters]; of one that is zero it is 0.

    weights: of one layer at each moment, [filters,...]; the last is the end.
    """
    rows = torch.stack([each.detach().to("cpu", torch.float64).flatten(1) for each in weights])
    return torch.cosine_similarity(rows, rows[-1:], dim=2)


def way_to_go(weights: Sequence[Tensor], start: Tensor) -> list[float]:
    """How far a layer is from its end at each moment, as a share of the way there from its start: 1 ... 0.

    Unlike a cosine it says nothing of how large the start is beside what is learned: weights that never moved far have
    it as well. It passes 1 where a layer first moves away from its end; NaN where start and end are the same.
    """
    end = weights[-1]
    whole = float((start - end).norm())
    return [float((each - end).norm()) / whole if whole else math.nan for each in weights]


def gram(gallery: Gallery, layers: Sequence[str]) -> dict[str, Tensor]:
    """The products of what a layer says of each picture with what it says of each other, float64 [N,N] by layer.

    Of maps of more than 28 x 28 places a regular grid of places is taken.
    """
    found: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for start in range(0, len(gallery), _AT_ONCE):
        some = range(start, min(len(gallery), start + _AT_ONCE))
        said = activations(gallery.model, gallery.images(some), list(layers))
        for layer, values in said.items():
            if values.dim() == 4:
                step = max(1, *(-(-side // _FINEST) for side in values.shape[2:]))
                values = values[..., ::step, ::step]
            found[layer].append(values.flatten(1).detach().cpu().float())
    rows = {layer: torch.cat(parts).double() for layer, parts in found.items()}
    return {layer: each @ each.T for layer, each in rows.items()}


def cka(first: Tensor, second: Tensor) -> float:
    """How alike two layers see pictures: linear centred kernel alignment, of their products [N,N]; N of 4 or more.

    The estimate without bias of Song et al. 2012 ("Feature Selection via Dependence Maximization"), as Kornblith et
    al. 2019 ("Similarity of Neural Network Representations Revisited") and Nguyen et al. 2021 have it: 1 for codes
    that are the same up to rotation and scale, about 0 for unrelated ones, however long they are. NaN where a layer
    says the same of every picture.
    """
    norm = math.sqrt(max(0.0, _hsic(first, first)) * max(0.0, _hsic(second, second)))
    return _hsic(first, second) / norm if norm else math.nan


def _hsic(first: Tensor, second: Tensor) -> float:
    count = len(first)
    if count < 4:
        raise ValueError(f"pictures: expected at least 4 to compare codes by, got {count}")
    k, m = (each - torch.diag(each.diagonal()) for each in (first, second))
    whole = float(k.sum() * m.sum()) / ((count - 1) * (count - 2))
    shared = 2 * float(k.sum(0) @ m.sum(0)) / (count - 2)
    return (float((k * m).sum()) + whole - shared) / (count * (count - 3))


def lasting(epochs: Sequence[int], values: Sequence[float], *, least: float = ALIKE) -> int:
    """The first epoch from which on a value stays at or above the least; the last epoch where it comes only there."""
    found = epochs[-1]
    for epoch, value in zip(reversed(epochs), reversed(values), strict=True):
        if not value >= least:
            break
        found = epoch
    return found


def half_way(epochs: Sequence[int], to_go: Sequence[float]) -> float:
    """The epoch at which half of the way is gone, between two moments as if it went straight; NaN where none went.

    epochs: those of to_go, 0 for the start among them.
    """
    for later in range(1, len(epochs)):
        before, after = to_go[later - 1], to_go[later]
        if before > 0.5 >= after:
            return epochs[later - 1] + (epochs[later] - epochs[later - 1]) * (before - 0.5) / (before - after)
    return math.nan


def rank_correlation(values: Sequence[float]) -> tuple[float, float]:
    """How a value rises with its place: Spearman's coefficient, and how often chance alone gives as large a one.

    Chance is the order: all orders of up to 8 values, else 20,000 drawn ones with a fixed seed; the second number is
    the share of those whose coefficient is as far from 0 or farther. Of fewer than 3 values, or equal ones, both are
    NaN.
    """
    count = len(values)
    ranks = _ranks(np.asarray(values, dtype=np.float64))
    if count < 3 or np.ptp(ranks) == 0 or not np.isfinite(values).all():
        return math.nan, math.nan
    places = np.arange(count) - (count - 1) / 2
    if count <= 8:
        orders = np.array(list(itertools.permutations(range(count))))
    else:
        orders = np.random.default_rng(0).permuted(np.tile(np.arange(count), (20_000, 1)), axis=1)
    centred = (ranks - ranks.mean()) / ranks.std() / places.std() / count
    found = float(places @ centred)
    return found, float((np.abs(centred[orders] @ places) >= abs(found) - 1e-9).mean())


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 1, equal values sharing the mean of theirs."""
    less, equal = ((op(values[:, None], values)).sum(1) for op in (np.greater, np.equal))
    return np.asarray(less + (equal + 1) / 2)
