"""Pictures with one attribute changed, all else as it was."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from zfcuda.data.parts import Parts

LIGHTNESS, CONTRAST, SIZE, CLUTTER = "lightness", "contrast", "size", "clutter"
LEFT_OUT, COVERED, AS_IT_IS = "left out", "covered", "as it is"
#: What is covered beside the pieces.
PART, OBJECT, REST = "defining part", "object", "object but not the part"
AS_PART, AS_OBJECT, AS_REST = (
    "background as large as the part",
    "background as large as the object",
    "background as large as the rest",
)

_LIGHTER = (-90, -60, -30, 0, 30, 60, 90)
_STRONGER = (0.1, 0.2, 0.4, 0.7, 1.0, 1.4, 2.0, 3.0)
_LARGER = (0.4, 0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0)
_CLUTTER = ("clutter", "blade")
_SEVERAL = ("arm", "trinket")

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Edit:
    """A picture with one thing changed.

    Attributes:
        what: the attribute, LEFT_OUT or COVERED.
        amount: levels of 255 added; the factor of the contrast or of the size; the share of the clutter that is left
            out; or which piece it is.
        picture: RGB.
        share: of the pixels, how many differ from the original.
    """

    what: str
    amount: float | str
    picture: Image.Image
    share: float


def of_pixels(picture: Image.Image) -> Iterator[Edit]:
    """A picture in other lights and contrasts, RGB of any size.

    Values beyond 0 and 255 are clipped. Contrast is changed about the picture's mean colour.
    """
    pixels = np.asarray(picture, dtype=np.float32)
    for by in _LIGHTER:
        yield _edit(LIGHTNESS, by, picture, pixels + by)
    middle = pixels.mean(axis=(0, 1))
    for factor in _STRONGER:
        yield _edit(CONTRAST, factor, picture, middle + factor * (pixels - middle))


def of_parts(parts: Parts, index: int, grey: Colour, *, seed: int = 0) -> Iterator[Edit]:
    """A drawn picture with its object in other sizes, with less clutter, without each piece, and with each covered.

    A change of size keeps the middle of the defining part where it is; what comes in around a smaller picture is grey.

    Args:
        grey: what covers.
        seed: of the order in which clutter goes, and of the places in the background.
    """
    drawn = parts.draw(index)
    picture = drawn.image
    pixels = np.asarray(picture)
    dice = random.Random(f"{seed} {index}")
    y, x = (float(axis.mean()) + 0.5 for axis in np.nonzero(drawn.part_mask))
    for factor in _LARGER:
        yield _edit(SIZE, factor, picture, np.asarray(_scaled(picture, factor, x, y, grey)))

    groups: dict[str, list[str]] = {}
    for name in parts.pieces(index):
        groups.setdefault(group_of(name), []).append(name)
    clutter = groups.pop(CLUTTER, [])
    dice.shuffle(clutter)
    for share in (0.0, 0.5, 1.0):
        fewer = parts.draw(index, without=clutter[: round(share * len(clutter))]).image
        yield _edit(CLUTTER, share, picture, np.asarray(fewer))
    groups[CLUTTER] = clutter

    without = {name: np.asarray(parts.draw(index, without=pieces).image) for name, pieces in groups.items() if pieces}
    without[PART] = np.asarray(parts.draw(index, part=False).image)
    for name, bare in without.items():
        shown = (bare != pixels).any(axis=2)
        if not shown.any():  # behind another piece
            continue
        yield _edit(LEFT_OUT, name, picture, bare)
        yield _edit(COVERED, name, picture, _covered(pixels, drawn.part_mask if name == PART else shown, grey))

    rest = drawn.object_mask & ~drawn.part_mask
    for name, mask in ((OBJECT, drawn.object_mask), (REST, rest)):
        yield _edit(COVERED, name, picture, _covered(pixels, mask, grey))
    for name, mask in ((AS_PART, drawn.part_mask), (AS_OBJECT, drawn.object_mask), (AS_REST, rest)):
        somewhere = elsewhere(drawn.object_mask, int(mask.sum()), dice)
        if somewhere is not None:
            yield _edit(COVERED, name, picture, _covered(pixels, somewhere, grey))


def group_of(piece: str) -> str:
    """What pieces of Parts are called together: "clutter 3" and "blade 1" are clutter, "top trinket" is a trinket."""
    word = piece.split()[0]
    last = piece.split()[-1]
    return CLUTTER if word in _CLUTTER else f"{last}s" if last in _SEVERAL else word


def elsewhere(taken: np.ndarray, area: int, dice: random.Random) -> np.ndarray | None:
    """So many pixels in one place that is not taken, around a random one; bool [H,W]. None: there is no room."""
    free = np.argwhere(~taken)
    if area < 1 or len(free) < area:
        return None
    middle = free[dice.randrange(len(free))]
    nearest = np.argsort(((free - middle) ** 2).sum(axis=1), kind="stable")[:area]
    mask = np.zeros_like(taken)
    mask[tuple(free[nearest].T)] = True
    return mask


def _edit(what: str, amount: float | str, before: Image.Image, pixels: np.ndarray) -> Edit:
    after = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    share = float((after != np.asarray(before)).any(axis=2).mean())
    return Edit(what, amount, Image.fromarray(after), share)


def _covered(pixels: np.ndarray, mask: np.ndarray, grey: Colour) -> np.ndarray:
    return np.where(mask[:, :, None], np.array(grey, dtype=np.uint8), pixels)


def _scaled(picture: Image.Image, factor: float, x: float, y: float, grey: Colour) -> Image.Image:
    """A picture enlarged about one of its places, which stays where it is."""
    if factor == 1:
        return picture
    there = (1 / factor, 0.0, x - x / factor, 0.0, 1 / factor, y - y / factor)
    if factor > 1:
        return picture.transform(picture.size, Image.Transform.AFFINE, there, Image.Resampling.BICUBIC, fillcolor=grey)
    # Made smaller, pixels are averaged: picking some of them would add edges that the picture does not have.
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    small = Image.new("RGB", picture.size, grey)
    small.paste(picture.resize(size, Image.Resampling.BICUBIC), (round(x - x * factor), round(y - y * factor)))
    return small
