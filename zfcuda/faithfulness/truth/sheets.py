"""Pictures side by side: a row for each picture or layer, a column for each method, all on one scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zfcuda import render

TILE = 96  # pixels
_GAP, _TOP, _LEFT = 3, 16, 80


def tile(map: Tensor, *, signed: bool, mask: np.ndarray | None = None, mark: bool = True) -> Image.Image:
    """A map [H,W] as a small picture.

    Every map is drawn on the scale -1 ... 1 of its own 99.5th percentile of magnitudes, so that a few extreme pixels
    do not leave the rest pale. A signed map is red above zero, blue below, and white at zero; one without a sign is
    dark at zero.

    Args:
        map: any values; of zeros alone, the picture of zero.
        signed: whether values below zero mean something.
        mask: bool [H,W], outlined.
        mark: rings the largest value.
    """
    scale = render.robust_scale(map) or 1.0
    low, colours = (-1.0, "diverging") if signed else (0.0, "inferno")
    out = render.heatmap(map.detach().cpu().double() / scale, low, 1.0, colours=colours)
    out = out.resize((TILE, TILE), Image.Resampling.BOX)
    ink = (20, 20, 20) if signed else (255, 255, 255)
    if mask is not None:
        out = outlined(out, mask, ink)
    if mark and float(map.amax()) > float(map.amin()):
        y, x = divmod(int(map.flatten().argmax()), map.shape[1])
        x, y = (round((place + 0.5) * TILE / side) for place, side in ((x, map.shape[1]), (y, map.shape[0])))
        draw = ImageDraw.Draw(out)
        for radius, colour in ((5, (255, 255, 255)), (4, (0, 120, 60))):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour)
    return out


def outlined(picture: Image.Image, mask: np.ndarray, colour: tuple[int, int, int]) -> Image.Image:
    """A picture with the outline of a mask (bool, of any size) in it."""
    inside = np.asarray(Image.fromarray(mask).resize(picture.size, Image.Resampling.NEAREST))
    padded = np.pad(inside, 1)
    within = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    pixels = np.array(picture)
    pixels[inside & ~within] = colour
    return Image.fromarray(pixels)


def sheet(rows: Sequence[tuple[str, Sequence[Image.Image]]], columns: Sequence[str]) -> Image.Image:
    """Rows of tiles, each with its name, under the names of their columns; in 256 colours, so that a file is small."""
    step = TILE + _GAP
    out = Image.new("RGB", (_LEFT + len(columns) * step, _TOP + len(rows) * step), (255, 255, 255))
    draw, font = ImageDraw.Draw(out), ImageFont.load_default()
    for k, name in enumerate(columns):
        draw.text((_LEFT + k * step + TILE // 2, _TOP // 2), name, (0, 0, 0), font, anchor="mm")
    for j, (name, tiles) in enumerate(rows):
        draw.text((_LEFT - 4, _TOP + j * step + TILE // 2), name, (0, 0, 0), font, anchor="rm", align="right")
        for k, one in enumerate(tiles):
            out.paste(one, (_LEFT + k * step, _TOP + j * step))
    return out.quantize(256, dither=Image.Dither.NONE)


def small(picture: Image.Image, mask: np.ndarray | None = None) -> Image.Image:
    """A picture as a tile, the mask outlined."""
    out = picture.convert("RGB").resize((TILE, TILE), Image.Resampling.LANCZOS)
    return out if mask is None else outlined(out, mask, (255, 230, 0))
