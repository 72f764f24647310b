"""The images of a network as a person sees them."""

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


def pixels_of(images: Tensor, preprocess: Preprocess | None) -> Tensor:
    """Images [N,C,H,W] as uint8 [N,3,H,W], red, green, blue; grey where they have neither one nor three channels.

    preprocess: the way back to pixels. None: values between 0 and 1 are taken as they are, and others from an image's
        smallest to its largest.
    """
    if preprocess is None or len(preprocess.mean) != images.shape[1]:
        return _stretched(images)
    pixels = preprocess.restored(images)
    return _in_colour(pixels.flip(1) if preprocess.order == "bgr" else pixels)


class Shown:
    """Keeps a copy of an image [C,H,W] and turns it into pixels, as pixels_of does, when they are asked for."""

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
        """uint8 [3,H,W]."""
        return pixels_of(self._image[None], self._preprocess)[0]

    def __getstate__(self) -> dict[str, Tensor]:
        return {"pixels": self.pixels}  # the image itself takes four times as much


def _in_colour(maps: Tensor) -> Tensor:
    """[N,C,H,W] -> [N,3,H,W]"""
    if maps.shape[1] == 3:
        return maps
    grey = maps if maps.shape[1] == 1 else maps.float().mean(1, keepdim=True).to(maps.dtype)
    return grey.expand(-1, 3, -1, -1).contiguous()


def _stretched(images: Tensor) -> Tensor:
    """Any values [N,C,H,W] -> uint8 [N,3,H,W], without waiting for a GPU."""
    maps = _in_colour(images.float())
    if not maps.numel():
        return maps.to(torch.uint8)
    low, high = maps.amin((1, 2, 3), keepdim=True), maps.amax((1, 2, 3), keepdim=True)
    stretched = torch.where(high > low, (maps - low) / (high - low), 0.5)
    return (255 * torch.where((low < 0) | (high > 1), stretched, maps)).round().to(torch.uint8)
