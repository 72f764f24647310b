"""The image that a map was made of, as a person sees it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor


class Shown:
    """Keeps a copy of an image [C,H,W] and turns it into pixels when they are asked for.

    The way back to pixels is the `restored` of the model's preprocess, where it has one
    (:meth:`zfcuda.data.Preprocess.restored`). Else values between 0 and 1 are taken as they are, and others from their
    smallest to their largest.
    """

    def __init__(self, image: Tensor, preprocess: Any) -> None:
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
        restored = getattr(self._preprocess, "restored", None)
        pixels = restored(self._image[None]) if callable(restored) else None
        expected = (1, *self._image.shape)
        if not isinstance(pixels, Tensor) or pixels.dtype != torch.uint8 or pixels.shape != expected:
            return _stretched(self._image)
        if getattr(self._preprocess, "order", "rgb") == "bgr":
            pixels = pixels.flip(1)
        return _in_colour(pixels[0])

    def __getstate__(self) -> dict[str, Tensor]:
        return {"pixels": self.pixels}  # a preprocess of the user's own may be nothing that can be pickled


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
