"""The sheet of an adversary: before, what was changed, magnified, and after, with what the network says of each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from zfcuda import render
from zfcuda.sheets.letters import letters, shortened

_SIDE = 224  # smaller pictures are shown enlarged to it, about
_GAP, _LINE = 10, 18
_INK, _FAINT = (32, 32, 32), (110, 110, 110)
_FACTORS = (1, 2, 3, 5, 10, 20, 30, 50, 100)


def magnified(change: Tensor) -> tuple[Image.Image, int]:
    """A change in pixel values of 255, [3,H,W], as a picture in which grey is none, and by what it was multiplied.

    The factor is such that most of it is neither black nor white.
    """
    most = render.robust_scale(change, 99.0)
    factor = max(factor for factor in _FACTORS if factor * most <= 127 or factor == 1)
    return render.projection(change * factor, scale=127.5), factor


def fool_sheet(tiles: Sequence[tuple[str, Image.Image, str]]) -> Image.Image:
    """Pictures of one size side by side, each with a head above and what is said of it below."""
    first = tiles[0][1]
    factor = max(1, _SIDE // max(first.size))
    wide, high = max(_SIDE, first.width * factor), first.height * factor
    font = letters(13)
    sheet = Image.new("RGB", (_GAP + len(tiles) * (wide + _GAP), 2 * _LINE + high + 2 * _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (head, picture, said) in enumerate(tiles):
        x = _GAP + i * (wide + _GAP)
        draw.text((x, _GAP // 2), shortened(font, head, wide), _FAINT, font)
        sheet.paste(render.enlarged(picture, factor), (x, _GAP + _LINE))
        draw.text((x, _GAP + _LINE + high + 2), shortened(font, said, wide), _INK, font)
    return sheet


def pixels_of(picture: Image.Image) -> Tensor:
    """A picture as float32 [3,H,W] of 0 to 255."""
    data = torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8)
    return data.view(picture.height, picture.width, 3).permute(2, 0, 1).float()
