"""OccludedImage: one image and its windows, from which the occluded copies are made."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zfcuda import ops


@dataclass(frozen=True)
class OccludedImage:
    """An image with an occluder at each place of a grid; `len` counts the windows.

    Attributes:
        image: [C,H,W].
        fill: [C,H,W], what covers the image.
        origins: int64 [n,2] on the image's device, (y, x) of each window's first pixel.
        window: (rows, columns) in pixels.
    """

    image: Tensor
    fill: Tensor
    origins: Tensor
    window: tuple[int, int]

    def __len__(self) -> int:
        return len(self.origins)

    def batch(self, windows: slice | list[int]) -> Tensor:
        """Copies of the image with these windows covered, [n,C,H,W]."""
        return ops.occlude(self.image, self.fill, self.origins[windows], self.window)
