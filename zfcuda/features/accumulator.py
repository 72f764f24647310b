"""What a pass over pictures fills, and what it says in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from zfcuda.features.loading import Skipped


class Accumulator(Protocol):
    """What a pass fills. Its answer must not depend on the order in which pictures come.

    Attributes:
        question: what it answers, as in "strongest_patches".
        settings: what its answer depends on besides pictures, model and layers; JSON takes it.
    """

    question: str
    settings: dict[str, Any]

    def reduce(self, layer: str, activation: Tensor, indices: Tensor) -> Any:
        """Makes what is kept of a layer's output for some pictures, while the model runs.

        What comes behind the layer may overwrite the activation: a copy, or something that is computed from it. Of a
        layer that is called several times it gets the last call.

        Args:
            activation: [n,K,h,w] or [n,K], on the layer's device.
            indices: int64 [n], the numbers of the pictures, ascending, on the CPU.
        """

    def add(self, indices: Tensor, found: Mapping[str, Any], size: tuple[int, int]) -> None:
        """Takes what was made of some pictures.

        Args:
            indices: int64 [n], their numbers, ascending, on the CPU; those of a later call may be smaller.
            found: layer -> what reduce() made.
            size: (H, W) of their images.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """All that it holds."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes the place of what it held."""

    def merge(self, state: Mapping[str, Tensor]) -> None:
        """Adds what another one holds, of other pictures."""


@dataclass(frozen=True)
class Passed:
    """What a pass came to. seen: pictures that were run. skipped: those left out, by number."""

    seen: int
    skipped: list[Skipped]
