"""The filters of a convolution as a picture: in colour where they read colours, else a tile for each input."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from zfcuda import render
from zfcuda.features.spectrum import fine_share, white_noise
from zfcuda.sheets.numbered import numbered, offsets, round_columns

_TILES = 1400  # pixels that the filters of a row take together, about
_LARGEST = 64  # pixels that one of them is enlarged to, about
_LONGEST = 1680  # pixels of the side of a sheet of tiles, about
_NARROWEST, _WIDEST = 4, 12  # pixels that a weight is wide there
_GAP = 2


@dataclass(frozen=True)
class FilterSheet:
    """A picture of filters.

    Attributes:
        picture: RGB.
        said: what is true of the filters, in a few words each.
    """

    picture: Image.Image
    said: list[str]


def slice_tiles(filters: Tensor, factor: int) -> list[Image.Image]:
    """[N,C,kh,kw] -> a grey tile for each channel of each filter, zero in middle grey, each filter by its own scale."""
    tiles = []
    for one in filters:
        scale = render.robust_scale(one, 100.0)
        tiles += [render.enlarged(render.projection(channel[None], scale=scale), factor) for channel in one]
    return tiles


def filter_sheet(filters: Tensor, layer: str) -> FilterSheet:
    """Draws filters, [O,I,kh,kw]: in colour, red, green and blue, or in grey where I is 3 or 1; else a row for each
    filter and a tile in it for each input, as many as fit.

    layer: what to call it.
    """
    count, channels, high, wide = filters.shape
    said = [f"{layer}: {count} filters of {channels} x {high} x {wide}", noise(filters)]
    scaled = "each on its own scale; grey is zero"
    if channels in (1, 3):
        columns = round_columns(count)
        factor = max(1, min(_LARGEST, _TILES // columns) // max(high, wide))
        gap = max(1, factor // 2)
        sheet = render.filters(filters, factor=factor, columns=columns)
        rows, heads = [str(i) for i in range(0, count, columns)], offsets(columns)
        where = "a filter is its row plus its column"
    else:
        longest = max(high, wide)
        gap = _GAP if longest > 1 else 0
        factor = min(_WIDEST, max(_NARROWEST, (_LONGEST // max(count, channels) - gap) // longest))
        most = _LONGEST // (longest * factor + gap)
        drawn = filters[:most, :most]
        sheet = render.grid(slice_tiles(drawn, factor), drawn.shape[1], gap=gap)
        rows, heads = ([str(i) for i in range(length)] for length in drawn.shape[:2])
        where = "a row for each filter, a column for each input"
        if drawn.shape != filters.shape:
            said.append(f"drawn: {len(drawn)} of the filters, {drawn.shape[1]} of the inputs")
    title = [f"{said[0]}, {scaled}; {where}", *said[1:]]
    return FilterSheet(
        numbered(sheet, (wide * factor, high * factor), rows=rows, heads=heads, title=title, gap=gap), said
    )


def noise(filters: Tensor) -> str:
    """A sentence about how noisy they are."""
    rows, columns = filters.shape[-2:]
    if rows == columns == 1:
        return "a filter of one place has no detail"
    share, expected = 100 * fine_share(filters), 100 * white_noise(rows, columns)
    if math.isnan(share):
        return "all weights are zero"
    return f"{share:.0f} % of their spectral energy is above half Nyquist, of white noise it would be {expected:.0f} %"
