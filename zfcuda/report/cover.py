"""What covers the picture: for the network, as pixels on the page, and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zfcuda import render
from zfcuda.occlusion.fill import FILLS, Filling
from zfcuda.report.subject import Subject

Paint = str | int | Sequence[int]
PAINTS = ("grey", *FILLS)
_GREY = 128 / 255
_WORDS = {
    "grey": "a grey square",
    "mean": "a square of the picture's mean colour",
    "blur": "a square of the blurred picture",
    "noise": "a square of noise",
}


@dataclass(frozen=True)
class Cover:
    """What covers one picture.

    Attributes:
        kind: one of PAINTS, or "colour".
        fill: the same as :func:`zfcuda.occlusion_map` takes it, in the network's values.
        values: [C,H,W], what the network gets.
        pixels: [3,H,W] in 0..1, what that looks like.
        words: what to call the square, "a grey square".
    """

    kind: str
    fill: str | list[float] | Tensor
    values: Tensor
    pixels: Tensor
    words: str

    @property
    def per_channel(self) -> list[float] | None:
        """The network's value of each channel; None where they differ from place to place."""
        return _one_each(self.values)

    @property
    def colour(self) -> tuple[int, int, int] | None:
        """Red, green and blue, 0 ... 255; None where they differ from place to place."""
        one = _one_each(self.pixels.mul(255).round())
        return None if one is None else (int(one[0]), int(one[1]), int(one[2]))


def checked_paint(paint: Paint) -> str | tuple[int, int, int]:
    """One of PAINTS, or red, green and blue.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(paint, str):
        paint = "grey" if paint == "gray" else paint
        if paint in PAINTS:
            return paint
    else:
        colour: tuple[Any, ...] = tuple(paint) if isinstance(paint, Sequence) else (paint,) * 3
        if len(colour) == 3 and all(isinstance(v, int) and 0 <= v <= 255 for v in colour):
            return colour[0], colour[1], colour[2]
    raise ValueError(f"fill: expected one of {', '.join(PAINTS)}, or red, green and blue from 0 to 255, got {paint!r}")


def cover_of(subject: Subject, picture: Image.Image, image: Tensor, grey: Tensor, paint: Paint, window: int) -> Cover:
    """What covers a picture.

    Args:
        image: [1,C,H,W], the picture as the network gets it; grey: [C,H,W], the same of a middle grey one.
        paint: one of PAINTS; a number or three, red, green and blue, from 0 to 255.
        window: side of the square.
    """
    paint = checked_paint(paint)
    if paint in FILLS:
        assert isinstance(paint, str)
        values = Filling(paint, image[0], (window, window)).of(image[0])
        return Cover(paint, paint, values, subject.pixels(values.float().cpu(), picture), _WORDS[paint])
    if paint == "grey":
        values, words = grey.to(image), _WORDS["grey"]
        pixels = torch.full((3, *image.shape[-2:]), _GREY)
    else:
        assert isinstance(paint, tuple)
        view, pixels, _ = subject.view(Image.new("RGB", picture.size, paint))
        values, words = view[0].to(image), f"a square of the colour {render.hex_colour(paint)}"
    kind = paint if isinstance(paint, str) else "colour"
    return Cover(kind, _one_each(values) or values, values, pixels, words)


def _one_each(values: Tensor) -> list[float] | None:
    """The value of each channel [C,H,W]; None where one differs from place to place."""
    flat = values.flatten(1)
    return flat[:, 0].tolist() if torch.equal(flat, flat[:, :1].expand_as(flat)) else None
