"""Cut out patches, and sheets of them: projections on the left, patches on the right, as in the paper's Fig. 2."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

from zfcuda import render

TILE = 84  # pixels of a patch on a sheet, the longer side
BEYOND = (226, 223, 215)  # the colour of what lies beyond the border of the picture
_GAP = 3
_BETWEEN = 14  # between the projections of a unit and its patches; twice that between units
_HARD = 4  # enlarged so many times or more, pixels stay squares

Box = tuple[int, int, int, int]  # top, left, bottom, right


def shown_box(box: Sequence[int], size: tuple[int, int]) -> Box:
    """What is shown of what a unit sees: all of it, also beyond the border; no more than the picture's own side.

    size: (width, height) of the picture.
    """
    top, left, bottom, right = box
    wide, high = size
    if bottom - top >= high:
        top, bottom = 0, high
    if right - left >= wide:
        left, right = 0, wide
    return top, left, bottom, right


def framed(inside: Image.Image, at: tuple[int, int], box: Box) -> Image.Image:
    """The part of a box that lies in the picture, whose corner is at (left, top) there, in a frame as large as it."""
    top, left, bottom, right = box
    frame = Image.new("RGB", (max(1, right - left), max(1, bottom - top)), BEYOND)
    frame.paste(inside, (at[0] - left, at[1] - top))
    return frame


def cut_out(picture: Image.Image, box: Box) -> Image.Image:
    """The part of a picture that a box shows."""
    top, left, bottom, right = max(0, box[0]), max(0, box[1]), min(picture.height, box[2]), min(picture.width, box[3])
    return framed(picture.crop((left, top, right, bottom)), (left, top), box)


def tile(picture: Image.Image) -> Image.Image:
    """A picture as large as a tile."""
    scale = TILE / max(picture.size)
    how = Image.Resampling.NEAREST if scale >= _HARD else Image.Resampling.LANCZOS
    wide, high = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((wide, high), how)


def card(projections: Sequence[Image.Image | None], patches: Sequence[Image.Image], top: int) -> Image.Image:
    """One unit: its projections on the left, where there are, and the patches on the right, in the same order."""
    columns = math.ceil(math.sqrt(top))
    empty = Image.new("RGB", (TILE, TILE), (255, 255, 255))

    def grid(pictures: Sequence[Image.Image | None]) -> Image.Image:
        every = [picture or empty for picture in pictures] + [empty] * (top - len(pictures))
        return render.grid(every, columns, gap=_GAP)

    both = [grid(projections)] if any(projections) else []
    return render.grid([*both, grid(patches)], len(both) + 1, gap=_BETWEEN)


def sheet(cards: Sequence[Image.Image]) -> Image.Image:
    """The units of a layer on one sheet, about as wide as it is high."""
    wide, high = cards[0].size
    columns = max(1, round(math.sqrt(len(cards) * high / wide)))
    return render.grid(cards, min(columns, len(cards)), gap=2 * _BETWEEN)
