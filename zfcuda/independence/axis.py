"""Axis: where in a tensor the images of a batch lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

# Images in the batch of a proof, which nothing computes: a prime that no size of a model is likely to be a multiple of.
IMAGES = 19


class CoupledError(Exception):
    """What couples the images of a batch, or is not known not to."""


@dataclass(frozen=True)
class Axis:
    """Dimension `dim` has outer * IMAGES * inner elements, and number (o * IMAGES + n) * inner + i is of image n."""

    dim: int
    outer: int = 1
    inner: int = 1

    @property
    def size(self) -> int:
        return self.outer * IMAGES * self.inner

    def at(self, dim: int) -> Axis:
        return replace(self, dim=dim)

    def same_for_all(self, constant: Tensor) -> bool:
        """Whether a tensor that lies along this axis gives every image the same."""
        size = constant.shape[self.dim]
        if size == 1 or constant.stride(self.dim) == 0:
            return True
        if size != self.size or constant.is_meta:
            return False
        of_images = constant.detach().unflatten(self.dim, (self.outer, IMAGES, self.inner))
        first = of_images.narrow(self.dim + 1, 0, 1)
        return bool(((of_images == first) | ((of_images != of_images) & (first != first))).all())

    def reshaped(self, old: torch.Size, new: torch.Size) -> Axis:
        """The axis where a tensor of the old shape is seen in the new one."""
        before, total = self.outer, 1
        for size in old[: self.dim]:
            before *= size
        for size in old:
            total *= size
        passed = 1
        for dim, size in enumerate(new):
            if size > 1 and before % passed == 0:
                outer = before // passed
                if size % (outer * IMAGES) == 0 and total % (passed * size) == 0:
                    inner = size // (outer * IMAGES)
                    rest = total // (passed * size)
                    if before * IMAGES * inner * rest == total:
                        return Axis(dim, outer, inner)
            passed *= size
        raise CoupledError("takes the images of a batch apart")
