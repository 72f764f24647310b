"""Draws Figure 2: a sheet for each layer, projections beside patches, and one of the projections of all layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from zfcuda import render
from zfcuda.paper.excitation.crops import Crops
from zfcuda.report.explanation import Form
from zfcuda.report.patches.drawing import BEYOND, TILE
from zfcuda.sheets.letters import letters, shortened

_INK, _PAPER = (32, 32, 32), (255, 255, 255)
_GAP, _BETWEEN, _APART = 3, 12, 26  # between tiles, the two grids of a unit, and units
_MARGIN, _HEAD, _LINE = 12, 30, 20
_SMALL = 56  # a tile on the sheet of all layers
_FILTERS, _FILTER = 12, 88  # so many in a row there, so large
_PERCENTILE = 99.0  # of a unit's magnitudes is drawn full black or white
_HARD = 4  # enlarged so many times, pixels stay squares


def layer_sheet(crops: Crops, rows: Sequence[int], title: str, said: Sequence[str]) -> Image.Image:
    """Some units of a layer: nine projections, or the one filter, on the left, their patches on the right.

    Args:
        rows: which units, by their rows in the crops.
        said: what stands under each.
    """
    cards = []
    for row, text in zip(rows, said, strict=True):
        patches = _grid([_patch(crops, row, place, TILE) for place in _places(crops, row)], crops, TILE)
        both = [_projections(crops, row, TILE), patches] if crops.form else [patches]
        cards.append(_named(render.grid(both, len(both), gap=_BETWEEN), text))
    columns = 2 if len(cards) > 1 else 1
    return _headed(render.grid(cards, columns, gap=_APART), title)


def projections_sheet(layers: Sequence[tuple[str, Crops, Sequence[int]]]) -> Image.Image:
    """The projections of all layers, a row of units for each, under its title; without any photograph."""
    bands = []
    for title, crops, rows in layers:
        if crops.form is Form.FILTER:
            every = [_filter(crops, row, _FILTER) for row in range(len(crops.units))]
            bands.append(_headed(render.grid(every, _FILTERS, gap=_GAP), title))
        elif crops.form:
            cards = [_named(_projections(crops, row, _SMALL), f"unit {int(crops.units[row])}") for row in rows]
            bands.append(_headed(render.grid(cards, len(cards), gap=_APART // 2), title))
    if not bands:
        return _headed(Image.new("RGB", (600, 1), _PAPER), "No layer can be projected back to the pixels.")
    width = max(band.width for band in bands)
    whole = Image.new("RGB", (width, sum(band.height for band in bands)), _PAPER)
    top = 0
    for band in bands:
        whole.paste(band, (0, top))
        top += band.height
    return whole


def _places(crops: Crops, row: int) -> list[int]:
    """The places of a unit that have a patch."""
    return (crops.indices[row] >= 0).nonzero().flatten().tolist()


def _projections(crops: Crops, row: int, side: int) -> Image.Image:
    """The grid of a unit's projections; where all are the filter, that alone, as large."""
    if crops.form is Form.FILTER:
        columns = _columns(crops)
        return _filter(crops, row, columns * side + (columns - 1) * _GAP)
    signals = crops.projections[row].float()
    scale = render.robust_scale(signals, _PERCENTILE)
    tiles = []
    for place in _places(crops, row):
        drawn = np.array(render.projection(signals[place], scale=scale))
        drawn[~crops.inside[row, place].numpy()] = BEYOND
        tiles.append(_tile(Image.fromarray(drawn), side))
    return _grid(tiles, crops, side)


def _filter(crops: Crops, row: int, side: int) -> Image.Image:
    """A unit's filter: any of its projections that lies within the picture."""
    best = max(_places(crops, row), key=lambda place: int(crops.inside[row, place].sum()), default=0)
    return _tile(render.projection(crops.projections[row, best].float(), percentile=100.0), side)


def _patch(crops: Crops, row: int, place: int, side: int) -> Image.Image:
    pixels = crops.patches[row, place].permute(1, 2, 0).contiguous().numpy()
    return _tile(Image.fromarray(pixels), side)


def _tile(picture: Image.Image, side: int) -> Image.Image:
    """As large as a tile, the longer side."""
    scale = side / max(picture.size)
    how = Image.Resampling.NEAREST if scale >= _HARD else Image.Resampling.LANCZOS
    wide, high = (max(1, round(each * scale)) for each in picture.size)
    return picture.resize((wide, high), how)


def _grid(tiles: list[Image.Image], crops: Crops, side: int) -> Image.Image:
    top = crops.indices.shape[1]
    return render.grid(tiles + [Image.new("RGB", (side, side), _PAPER)] * (top - len(tiles)), _columns(crops), gap=_GAP)


def _columns(crops: Crops) -> int:
    return math.ceil(math.sqrt(crops.indices.shape[1]))


def _named(picture: Image.Image, text: str) -> Image.Image:
    """A picture with a line below."""
    font = letters(13)
    whole = Image.new("RGB", (picture.width, picture.height + _LINE), _PAPER)
    whole.paste(picture, (0, 0))
    ImageDraw.Draw(whole).text((0, picture.height + 3), shortened(font, text, picture.width), _INK, font)
    return whole


def _headed(picture: Image.Image, title: str) -> Image.Image:
    """A picture with a heading above, and a margin around."""
    font = letters(16)
    wide, high = picture.width + 2 * _MARGIN, picture.height + _HEAD + _MARGIN
    whole = Image.new("RGB", (wide, high), _PAPER)
    ImageDraw.Draw(whole).text((_MARGIN, 7), shortened(font, title, picture.width), _INK, font)
    whole.paste(picture, (_MARGIN, _HEAD))
    return whole
