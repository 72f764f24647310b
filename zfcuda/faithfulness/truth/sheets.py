"""Pictures side by side: a row for each picture or layer, a column for each method, all on one scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from zfcuda import render
from zfcuda.sheets.numbered import numbered

TILE = 96  # pixels
_GAP = 3


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
        out = render.outlined(out, torch.from_numpy(mask), ink)
    if mark and float(map.amax()) > float(map.amin()):
        y, x = divmod(int(map.flatten().argmax()), map.shape[1])
        x, y = (round((place + 0.5) * TILE / side) for place, side in ((x, map.shape[1]), (y, map.shape[0])))
        draw = ImageDraw.Draw(out)
        for radius, colour in ((5, (255, 255, 255)), (4, (0, 120, 60))):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour)
    return out


def sheet(rows: Sequence[tuple[str, Sequence[Image.Image]]], columns: Sequence[str]) -> Image.Image:
    """Rows of tiles, each with its name, under the names of their columns; in 256 colours, so that a file is small."""
    empty = Image.new("RGB", (TILE, TILE), (255, 255, 255))
    every = [one for _, tiles in rows for one in [*tiles, *[empty] * (len(columns) - len(tiles))]]
    grid, names = render.grid(every, len(columns), gap=_GAP), [name for name, _ in rows]
    out = numbered(grid, (TILE, TILE), rows=names, heads=columns, title=[], gap=_GAP)
    return out.quantize(256, dither=Image.Dither.NONE)


def small(picture: Image.Image, mask: np.ndarray | None = None) -> Image.Image:
    """A picture as a tile, the mask outlined."""
    out = picture.convert("RGB").resize((TILE, TILE), Image.Resampling.LANCZOS)
    return out if mask is None else render.outlined(out, torch.from_numpy(mask), (255, 230, 0))
