"""The values that pixels can have in a network's own input units, and the way to pictures and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda import render
from zfcuda.data.mean_image import centre
from zfcuda.data.pictures import Picture, as_picture
from zfcuda.data.preprocess import Preprocess
from zfcuda.data.preprocessing import preprocess_of
from zfcuda.data.transforms import image_of

_SIDE = 64  # of the black, white and red pictures that a preprocess is asked about


@dataclass(frozen=True)
class PixelRange:
    """What the darkest and the brightest pixels are to a network.

    Attributes:
        low, high: float32 [C,1,1], or [C,H,W] where they differ from place to place (a mean picture): images of another
            size have the middle of it, larger ones its mean colour; None: there is no limit.
        reversed: whether blue is the first channel.
        inverted: whether black has the high value.
    """

    low: Tensor | None = None
    high: Tensor | None = None
    reversed: bool = False
    inverted: bool = False

    @staticmethod
    def of(model: nn.Module, limits: Any = None, preprocess: Any = None) -> PixelRange:
        """The range of a model's images.

        Args:
            model: unwrapped.
            limits: (low, high), each a number or a tensor [C]; None: what the model's preprocess makes of black and
                white, and no limit where it has none, or makes the same of both (a norm of each picture by itself).
            preprocess: picture -> Tensor [1,C,H,W]; None: the model's own.

        Raises:
            TypeError, ValueError: limits is no such pair, or a low one is not below its high one.
        """
        preprocess = preprocess_of(model) if preprocess is None else preprocess
        black = white = None
        is_reversed = is_inverted = False
        if preprocess is not None:
            black, white, red = (
                image_of(preprocess, Image.new("RGB", (_SIDE, _SIDE), colour), "model: its preprocess")[0].float()
                for colour in ("black", "white", "red")
            )
            share = (red - black).flatten(1).mean(1) / (white - black).flatten(1).mean(1)
            is_reversed = len(share) == 3 and bool(share[2] > share[0])
            is_inverted = bool(white.mean() < black.mean())
            if not bool((black != white).flatten(1).any(1).all() and black.isfinite().all() and white.isfinite().all()):
                black = white = None  # each picture is normalised by itself: nothing is black or white to the network
        if limits is not None:
            low, high = _pair(limits)
        elif black is None or white is None:
            return PixelRange()
        elif isinstance(preprocess, Preprocess) and preprocess.mean_image is not None:
            shape = tuple(preprocess.mean_image.shape)
            ends = (torch.full((1, *shape), value, dtype=torch.uint8, device="cpu") for value in (0, 255))
            low, high = (preprocess.normalized(end)[0] for end in ends)
        else:
            low = torch.minimum(black, white).amin((1, 2), keepdim=True)
            high = torch.maximum(black, white).amax((1, 2), keepdim=True)
        return PixelRange(low, high, is_reversed, is_inverted)

    def to(self, images: Tensor) -> PixelRange:
        """The same on the device of images [N,C,H,W].

        Raises:
            ValueError: it is one of another number of channels.
        """
        if self.low is None or self.high is None:
            return self
        for end in (self.low, self.high):
            if len(end) not in (1, images.shape[1]):
                raise ValueError(f"limits: expected one or {images.shape[1]} numbers each, got {len(end)}")
        return PixelRange(self.low.to(images.device), self.high.to(images.device), self.reversed, self.inverted)

    def clamp(self, images: Tensor) -> Tensor:
        """Images [N,C,H,W] with what is outside set to the nearest value inside."""
        ends = self._ends(images)
        return images if ends is None else images.maximum(ends[0]).minimum(ends[1])

    def of_unit(self, values: Tensor) -> Tensor:
        """Values of 0 to 1 [N,C,H,W] as images; as they are where there is no limit."""
        ends = self._ends(values)
        if ends is None:
            return values
        low, high = reversed(ends) if self.inverted else ends
        return low + (high - low) * values

    def span(self, images: Tensor) -> Tensor:
        """How far apart black and white are, [C,1,1] or [C,H,W]; without limits, the images' own extremes [1,1,1]."""
        ends = images.aminmax() if self.low is None else self._ends(images)
        assert ends is not None
        return (ends[1] - ends[0]).reshape(-1, *(ends[0].shape[1:] or (1, 1)))

    def unit(self, images: Tensor) -> Tensor:
        """Images as values of 0, black, to 1; without limits their smallest and largest value are 0 and 1."""
        ends = self._ends(images)
        if ends is None:
            low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
            return (images - low) / (high - low).clamp_min(1e-12)
        low, high = reversed(ends) if self.inverted else ends
        return (images - low) / (high - low)

    def image(self, picture: Picture) -> Tensor:
        """A picture in its full size as an image [1,C,H,W], float32, not scaled and not cut.

        Args:
            picture: a PIL picture, a path or an array uint8 [H,W,C].

        Raises:
            TypeError, ValueError: it is none that can be read; the range is not known.
        """
        if self.low is None:
            raise ValueError(
                "image: expected a Tensor, since the model has no .preprocess that says what its pixels are, got a "
                "picture"
            )
        shown = as_picture(picture, "image").convert("L" if len(self.low) == 1 else "RGB")
        pixels = torch.from_numpy(np.atleast_3d(np.array(shown))).permute(2, 0, 1)[None].float() / 255
        return self.of_unit(pixels.flip(1) if self.reversed else pixels)

    def picture(self, image: Tensor) -> Image.Image:
        """An image [C,H,W] as people see it, each value rounded to the nearest of 256."""
        values = self.unit(image.detach().float()[None])[0]
        return render.picture(values.flip(0) if self.reversed else values)

    def _ends(self, images: Tensor) -> tuple[Tensor, Tensor] | None:
        """The lowest and highest values of each pixel of images [N,C,H,W]."""
        if self.low is None or self.high is None:
            return None
        return _fitting(self.low.to(images), images), _fitting(self.high.to(images), images)


def _fitting(end: Tensor, images: Tensor) -> Tensor:
    """One end of the range, of the size of images, as :meth:`zfcuda.Preprocess.restored` takes a mean picture."""
    high, wide = images.shape[2:]
    if end.shape[1:] in ((1, 1), (high, wide)):
        return end
    middle = centre(end, high, wide)
    return end.mean((1, 2), keepdim=True) if middle is None else middle


def _pair(limits: Any) -> tuple[Tensor, Tensor]:
    try:
        low, high = (torch.as_tensor(limit, dtype=torch.float32).detach().clone() for limit in limits)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"limits: expected a pair (low, high) of numbers or tensors [C], got {limits!r}") from None
    low, high = (limit.reshape(-1, 1, 1) if limit.ndim < 2 else limit for limit in (low, high))
    for limit in (low, high):
        if limit.ndim != 3:
            raise ValueError(f"limits: expected numbers or tensors [C], got shape {list(limit.shape)}")
    if not (low < high).all() or not (low.isfinite().all() and high.isfinite().all()):
        raise ValueError(f"limits: expected finite numbers, every low below its high, got {limits!r}")
    return low, high
