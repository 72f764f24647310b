"""All layers of a training measured at all its moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from zfcuda.paper.cache import Cache
from zfcuda.paper.evolution.convergence import ALIKE, cka, filter_cosines, gram, half_way, lasting, way_to_go
from zfcuda.paper.evolution.history import History
from zfcuda.paper.evolution.layers import Learning
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.result import Row


@dataclass(frozen=True)
class Measured:
    """What the layers of a network are at each moment, beside what they are in the end.

    Attributes:
        epochs: the moments; 0, the initial network, among them where it is known.
        start: the first of them in words.
        cosines: layer -> float64 [moments,filters], the cosine of each filter to the last.
        to_go: layer -> of the weights, the share of the way that is to go.
        alike: layer -> how alike its codes of the pictures are to the last ones (linear CKA, 1: the same).
        moved: layer -> how far the weights went, in lengths of what they were at first.
    """

    epochs: list[int]
    start: str
    cosines: dict[str, Tensor]
    to_go: dict[str, list[float]]
    alike: dict[str, list[float]]
    moved: dict[str, float]

    def lasting(self) -> dict[str, int]:
        """Layer -> the epoch from which on the mean cosine of its filters to the last stays above 0.9."""
        return {name: lasting(self.epochs, each.mean(1).tolist()) for name, each in self.cosines.items()}

    def summary(self) -> list[Row]:
        """A row for each layer: when it has converged, by each measure."""
        return [
            {
                "layer": name,
                "filters": cosines.shape[1],
                f"mean cosine to the end, {self.start}": _rounded(float(cosines[0].mean())),
                f"mean cosine above {ALIKE} from epoch": lasting(self.epochs, cosines.mean(1).tolist()),
                f"codes alike above {ALIKE} from epoch": lasting(self.epochs, self.alike[name]),
                "half of the way of the weights by epoch": _rounded(half_way(self.epochs, self.to_go[name])),
                "way of the weights, in lengths of their start": _rounded(self.moved[name]),
            }
            for name, cosines in self.cosines.items()
        ]

    def course(self) -> list[Row]:
        """A row for each layer at each moment."""
        return [
            {
                "layer": name,
                "epoch": epoch,
                "mean cosine to the end": _rounded(float(cosines[place].mean())),
                f"share of filters with cosine above {ALIKE}": _rounded(
                    float((cosines[place] > ALIKE).double().mean())
                ),
                "share of the way of the weights to go": _rounded(self.to_go[name][place]),
                "likeness of the codes to the last": _rounded(self.alike[name][place]),
            }
            for name, cosines in self.cosines.items()
            for place, epoch in enumerate(self.epochs)
        ]


def measured(past: History, layers: Sequence[Learning], images: Tensor, cache: Cache) -> Measured:
    """Measures layers at all moments of a training.

    images: [N,C,H,W], those whose codes are compared.
    """
    models = [*([past.initial] if past.initial else []), *past.models]
    epochs = [*([0] if past.initial else []), *past.epochs]
    outputs = [layer.output for layer in layers]
    grams = []
    for model in models:
        seen = Gallery(model, images)
        facts = {"layers": outputs}
        grams.append(cache.tensors(seen, "grams", facts, partial(gram, seen, outputs)))
    weights = {layer.name: [_weight(model, layer.name) for model in models] for layer in layers}
    return Measured(
        epochs,
        "at the start" if past.initial else f"at epoch {epochs[0]}",
        {name: filter_cosines(each) for name, each in weights.items()},
        {name: way_to_go(each, each[0]) for name, each in weights.items()},
        {layer.name: [cka(each[layer.output], grams[-1][layer.output]) for each in grams] for layer in layers},
        {name: float((each[-1] - each[0]).norm() / each[0].norm()) for name, each in weights.items()},
    )


def _weight(model: torch.nn.Module, name: str) -> Tensor:
    return model.get_submodule(name).weight.detach().double()  # type: ignore[union-attr,operator]


def _rounded(value: float) -> float | None:
    return None if value != value else round(value, 3)
