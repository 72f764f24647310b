"""Random numbers by image: what image number i gets depends on the seed and on i, and not on how many there are."""

from __future__ import annotations

import torch
from torch import Tensor


class Dice:
    """A generator for each image of a batch; image i of seed s is image 0 of seed s + i.

    Drawn on the CPU, so that every device gets the same.
    """

    def __init__(self, seed: int, count: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._each = [torch.Generator().manual_seed(seed + i) for i in range(count)]

    def __len__(self) -> int:
        return len(self._each)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32 [N,*shape]."""
        return torch.stack([torch.randn(*shape, generator=each) for each in self._each]).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers evenly spread over 0 to 1, float32 [N,*shape]."""
        return torch.stack([torch.rand(*shape, generator=each) for each in self._each]).to(self.device)
