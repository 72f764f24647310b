"""A picture with what there is around the part that the network sees, and that part changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample

from zfcuda.data.preprocess import INTERPOLATIONS, Preprocess, crop_box
from zfcuda.data.preprocess_facts import as_ours
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.invariance.changes import Change

_PADDING = {"reflect": "reflection", "mean": "zeros", "edge": "border"}


@dataclass(frozen=True)
class Canvas:
    """A picture as far as it is there, at the scale at which the network sees it.

    Attributes:
        pixels: [1,C,H,W]; of a picture whole numbers of 0 to 255, else what the network takes, in float64.
        top, left: where what the network sees begins.
        size: (height, width) of that.
        mean: [1,C,1,1], the colour that covers what is to be covered.
        image: of such pixels what the network takes.
    """

    pixels: Tensor
    top: int
    left: int
    size: tuple[int, int]
    mean: Tensor
    image: Callable[[Tensor], Tensor]

    def changed(self, changes: Sequence[Change]) -> Tensor:
        """What the network gets of the changed picture, [len(changes),C,H,W], on the CPU.

        Colours between pixels are interpolated bicubically, and those of a picture are rounded to whole numbers, as in
        a file: shifts by whole pixels, flips and quarters of the circle move pixels and change none.
        """
        return self.image(self.seen(changes))

    def seen(self, changes: Sequence[Change]) -> Tensor:
        """The same in pixels."""
        borders = {change.border for change in changes}
        shown = self.pixels.new_empty(len(changes), self.pixels.shape[1], *self.size)
        for border in borders:
            places = [place for place, change in enumerate(changes) if change.border == border]
            shown[places] = self._moved([changes[place] for place in places], border)
        discs = [place for place, change in enumerate(changes) if change.disc]
        if discs:
            shown[discs] = torch.where(inside_disc(self.size), shown[discs], self.mean)
        return shown

    def beyond(self, change: Change) -> float:
        """The share of what is shown that the picture does not have."""
        outside = (self._places([change])[0].abs() > 1).any(-1)
        return float((outside & inside_disc(self.size) if change.disc else outside).float().mean())

    @property
    def as_picture(self) -> bool:
        """Whether its pixels are those of a picture, 0 to 255."""
        return self.pixels.dtype == torch.float32

    def picture(self, change: Change) -> Image.Image:
        """What the network sees of the changed picture, RGB; only of a canvas in pixels of 0 to 255."""
        pixels = self.seen([change])[0].to(torch.uint8).permute(1, 2, 0).numpy()
        return Image.fromarray(pixels.squeeze()).convert("RGB")

    def _moved(self, changes: Sequence[Change], border: str) -> Tensor:
        places = self._places(changes).to(self.pixels.dtype)
        ground = self.mean if border == "mean" else torch.zeros_like(self.mean)
        many = (self.pixels - ground).expand(len(changes), -1, -1, -1)
        moved = grid_sample(many, places, mode="bicubic", padding_mode=_PADDING[border], align_corners=False) + ground
        return moved.round().clamp(0, 255) if self.as_picture else moved

    def _places(self, changes: Sequence[Change]) -> Tensor:
        """Where each pixel comes from, float64 [n,H,W,2] (x, y), -1 to 1 across the canvas."""
        high, wide = self.size
        y = torch.arange(high, dtype=torch.float64) + 0.5 - high / 2
        x = torch.arange(wide, dtype=torch.float64) + 0.5 - wide / 2
        here = torch.stack([x.expand(high, wide), y[:, None].expand(high, wide), torch.ones(high, wide)], dim=-1)
        there = here @ torch.stack([change.source() for change in changes]).transpose(1, 2)[:, None]
        middle = torch.tensor([self.left + wide / 2, self.top + high / 2], dtype=torch.float64)
        whole = torch.tensor([self.pixels.shape[3], self.pixels.shape[2]], dtype=torch.float64)
        return 2 * (there + middle) / whole - 1


def inside_disc(size: tuple[int, int]) -> Tensor:
    """The largest disc around the centre, bool [H,W]."""
    high, wide = size
    y = torch.arange(high)[:, None] + 0.5 - high / 2
    x = torch.arange(wide) + 0.5 - wide / 2
    return x * x + y * y <= (min(size) / 2) ** 2


def shown_share(points: Tensor, size: tuple[int, int], changes: Sequence[Change]) -> Tensor:
    """The share of some places of a picture that each change leaves in view, float64 [len(changes)].

    Args:
        points: float64 [n,2], (x, y) in pixels from the centre of what the network sees; at least one.
        size: (height, width) of that.
    """
    half = torch.tensor([size[1], size[0]], dtype=torch.float64) / 2
    found = []
    for change in changes:
        source = change.source()
        there = (points - source[:, 2]) @ torch.linalg.inv(source[:, :2]).T
        inside = there.norm(dim=1) <= float(half.min()) if change.disc else (there.abs() <= half).all(1)
        found.append(inside.double().mean())
    return torch.stack(found)


def canvas_of(gallery: Gallery, index: int, margin: int) -> Canvas:
    """The canvas of a picture of a gallery.

    Args:
        margin: how many pixels beyond what the network sees are wanted, each way; there may be fewer.

    Raises:
        ValueError, TypeError: it cannot be read.
    """
    preprocess = as_ours(gallery.pictures.preprocess)
    picture = gallery.pictures.whole(index)
    if picture is not None and preprocess is not None:
        return _of_picture(picture, preprocess, margin)
    image = gallery.pictures.image(index).double().cpu()[None]
    mean = torch.zeros(1, image.shape[1], 1, 1, dtype=torch.float64)
    return Canvas(image, 0, 0, (image.shape[2], image.shape[3]), mean, lambda pixels: pixels.float())


def _of_picture(picture: Image.Image, preprocess: Preprocess, margin: int) -> Canvas:
    high, wide = preprocess.sides
    picture = picture.convert("L") if len(preprocess.mean) == 1 else picture
    left, top, right, bottom = crop_box(picture.size, (high, wide), preprocess.short_side)
    across, down = (right - left) / wide, (bottom - top) / high  # pixels of the picture for each that is seen
    before = [_room(left, across, margin), _room(top, down, margin)]
    after = [_room(picture.width - right, across, margin), _room(picture.height - bottom, down, margin)]
    box = (left - before[0] * across, top - before[1] * down, right + after[0] * across, bottom + after[1] * down)
    size = (wide + before[0] + after[0], high + before[1] + after[1])
    inside = (max(0.0, box[0]), max(0.0, box[1]), min(picture.width, box[2]), min(picture.height, box[3]))
    shown = picture if inside == (0, 0, *size) == (0, 0, *picture.size) else None
    shown = shown or picture.resize(size, INTERPOLATIONS[preprocess.interpolation], box=inside)
    pixels = np.atleast_3d(np.array(shown)).transpose(2, 0, 1)
    mean = torch.tensor(preprocess.mean)
    reverse = preprocess.order == "bgr"

    def image(pixels: Tensor) -> Tensor:
        return preprocess.normalized(pixels.flip(1) if reverse else pixels)

    mean = 255 * (mean.flip(0) if reverse else mean).view(1, -1, 1, 1)
    return Canvas(
        torch.from_numpy(pixels.copy()).float()[None], before[1], before[0], (high, wide), mean.round(), image
    )


def _room(length: float, pixel: float, margin: int) -> int:
    """How many whole pixels of the network's there are in a length of the picture's, at most the margin."""
    return max(0, min(margin, int(length / pixel + 1e-6)))
