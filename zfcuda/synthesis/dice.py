"""Random numbers by image: what image number i gets depends on the seed and on i, and not on how many there are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zfcuda.inputs import integer


class Dice:
    """A generator for each image of a batch; image i of seed s is image 0 of seed s + i.

    Drawn on the CPU, so that every device gets the same.

    Raises:
        TypeError: seed is no integer.
        ValueError: it has more than 63 bits.
    """

    def __init__(self, seed: int, count: int, device: torch.device | str = "cpu") -> None:
        seed = integer("seed", seed)
        if not -(2**63) <= seed < 2**63 - count:
            raise ValueError(f"seed: expected at most 63 bits, got {seed}")
        self.device = torch.device(device)
        self._each = [torch.Generator("cpu").manual_seed(seed + i) for i in range(count)]

    def __len__(self) -> int:
        return len(self._each)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32 [N,*shape]."""
        return self._drawn(torch.randn, shape)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers evenly spread over 0 to 1, float32 [N,*shape]."""
        return self._drawn(torch.rand, shape)

    def _drawn(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        # Named, as a program may have other defaults.
        each = [draw(shape, generator=one, dtype=torch.float32, device="cpu") for one in self._each]
        return torch.stack(each).to(self.device)
