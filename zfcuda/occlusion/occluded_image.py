"""OccludedImage: one image and its windows, from which the occluded copies are made."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
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

    def batch(self, windows: slice | list[int] | Tensor) -> Tensor:
        """Copies of the image with these windows covered, [n,C,H,W]."""
        return ops.occlude(self.image, self.fill, self.origins[windows], self.window)

    def beside_the_whole(self, windows: Tensor, place: int) -> Tensor:
        """The same with the whole image among them, [n+1,C,H,W]. windows: int64 [n]. place: the whole image's."""
        outside = self.origins.new_tensor([self.image.shape[1:]])  # nothing is left of a window there
        origins = self.origins[windows]
        origins = torch.cat([origins[:place], outside, origins[place:]])
        return ops.occlude(self.image, self.fill, origins, self.window)

    def changes(self) -> Tensor:
        """How much each window changes the image: the sum of the differences that it covers, float64 [n]."""
        difference = (self.image.double() - self.fill).abs().sum(0).nan_to_num(nan=1.0, posinf=1.0)
        sums = F.pad(difference.cumsum(0).cumsum(1), (1, 0, 1, 0))
        (top, left), (bottom, right) = self.origins.T, (self.origins + self.origins.new_tensor(self.window)).T
        rows, columns = self.image.shape[1:]
        top, bottom = top.clamp(0, rows), bottom.clamp(0, rows)
        left, right = left.clamp(0, columns), right.clamp(0, columns)
        return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]

    def at_border(self) -> Tensor:
        """Whether each window is one of the outermost, bool [n]."""
        low, high = self.origins.amin(0), self.origins.amax(0)
        return ((self.origins == low) | (self.origins == high)).any(1)
