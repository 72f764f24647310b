"""A picture of an image that a network's preprocess makes the same image of again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PIL import Image

from zfcuda.data.preprocess_facts import as_ours


def with_border(made: Image.Image, original: Image.Image, preprocess: Any) -> Image.Image:
    """What was made of the cut of a picture, with the border around it that the preprocess cuts off.

    A preprocess that scales a picture's short side to 256 and cuts out 224 would blur a picture of 224 x 224, and an
    adversary with it. Of one with that border it takes every pixel as it is.

    Args:
        made: the cut, as large as the network sees it.
        original: the picture that it was cut from, of any size.
        preprocess: picture -> Tensor [1,C,H,W].

    Returns:
        RGB; `made` itself where there is no border, or the preprocess does not say how large it is.
    """
    known = as_ours(preprocess)
    if known is None or (made.height, made.width) != known.sides:
        return made
    longest = max(known.sides)
    high, wide = (known.short_side * side // longest for side in known.sides)
    around = replace(known, size=(high, wide), short_side=max(high, wide)).crop(original).convert("RGB")
    around.paste(made, (round((wide - made.width) / 2), round((high - made.height) / 2)))
    return around
