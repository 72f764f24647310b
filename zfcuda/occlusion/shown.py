"""The image that a map was made of, as a person sees it."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from zfcuda.data import Preprocess
from zfcuda.data.preprocess_facts import as_ours
from zfcuda.data.preprocessing import preprocess_of


def way_back(model: nn.Module) -> Preprocess | None:
    """What turns the images of a model into pixels again; None where its preprocess is not known to do so."""
    try:
        return as_ours(preprocess_of(model))
    except (TypeError, ValueError):  # none that is understood: no reason to refuse a map
        return None


class Shown:
    """Keeps a copy of an image [C,H,W] and turns it into pixels when they are asked for.

    preprocess: the way back to pixels. None: values between 0 and 1 are taken as they are, and others from their
        smallest to their largest.
    """

    def __init__(self, image: Tensor, preprocess: Preprocess | None) -> None:
        self._image, self._preprocess = image.clone(), preprocess

    @staticmethod
    def of_pixels(pixels: Tensor) -> Shown:
        """What was restored before: uint8 [3,H,W]."""
        shown = Shown.__new__(Shown)
        shown.__dict__["pixels"] = pixels
        return shown

    @cached_property
    def pixels(self) -> Tensor:
        """uint8 [3,H,W], red, green, blue; grey where the image has neither one nor three channels."""
        preprocess = self._preprocess
        if preprocess is None or len(preprocess.mean) != len(self._image):
            return _stretched(self._image)
        pixels = preprocess.restored(self._image[None])[0]
        return _in_colour(pixels.flip(0) if preprocess.order == "bgr" else pixels)

    def __getstate__(self) -> dict[str, Tensor]:
        return {"pixels": self.pixels}  # the image itself takes four times as much


def _in_colour(maps: Tensor) -> Tensor:
    """[C,H,W] -> [3,H,W]"""
    if maps.shape[0] == 3:
        return maps
    grey = maps if maps.shape[0] == 1 else maps.float().mean(0, keepdim=True).to(maps.dtype)
    return grey.expand(3, -1, -1).contiguous()


def _stretched(image: Tensor) -> Tensor:
    """Any values [C,H,W] -> uint8 [3,H,W]"""
    maps = _in_colour(image.float())
    low, high = maps.amin(), maps.amax()
    if low < 0 or high > 1:
        maps = (maps - low) / (high - low) if high > low else torch.full_like(maps, 0.5)
    return (255 * maps).round().to(torch.uint8)
