"""What layers of a network give for many small batches, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from zfcuda.features.catching import Catching, calls_of


class LayerReader:
    """Gives the values of layers; made by :func:`reading`."""

    def __init__(self, catching: Catching) -> None:
        self._catching = catching
        self._apart: bool | None = None  # whether the images of a batch are known to be kept apart

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Images [N,C,H,W] -> by layer [N,units,h,w] or [N,units]; each image gets what it gets alone.

        Raises:
            ValueError: a layer gives NaN or infinity: nothing could be said of that.
        """
        if self._apart is None:
            self._apart = self._catching.coupling(images[:1]) is None
        parts = [
            self._catching(part.clone(), torch.arange(len(part)))  # a model may write to its image
            for part in images.split(len(images) if self._apart else 1)
        ]
        found = {layer: torch.cat([part[layer] for part in parts]) for layer in parts[0]}
        for layer, values in found.items():
            check_finite(layer, values)
        return found


def check_finite(layer: str, values: Tensor) -> None:
    """Refuses what a network gives where that is no number.

    Raises:
        ValueError: values hold NaN or infinity.
    """
    if not values.isfinite().all():
        raise ValueError(f"model: what {layer} gives holds NaN or infinity")


@contextmanager
def reading(model: nn.Module, layers: Sequence[str]) -> Iterator[LayerReader]:
    """Gives what reads layers of a model, which runs as in eval meanwhile and is left as it was.

    Raises:
        ValueError: (when it reads) a layer is not called, or gives no tensor.
    """
    names = list(dict.fromkeys(layers))
    with Catching(model, names, lambda _, value, __: value.clone(), all_calls=calls_of(model, names)) as catching:
        yield LayerReader(catching)
