"""The maps of a layer side by side on one scale, with those marked that are zero everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from zfcuda import render
from zfcuda.sheets.numbered import Bar, numbered, offsets, round_columns

_WIDE = 1400  # pixels that the tiles of a row take together, about
_SMALLEST, _LARGEST = 30, 224  # sides of a tile of one map
_CELL = 12  # side of a tile of one number
_GREY, _RED = (214, 214, 214), (190, 30, 30)


@dataclass(frozen=True)
class ActivationSheet:
    """A picture of a layer, and what is in it.

    Attributes:
        picture: RGB.
        dead: the units whose map is zero everywhere.
        said: what is true of the layer, in a few words each.
    """

    picture: Image.Image
    dead: list[int]
    said: list[str]


def activation_sheet(values: Tensor, layer: str) -> ActivationSheet:
    """Draws what a layer gave for one image.

    All maps have one scale: from zero up, or where there are negative values from below zero to above it with zero in
    the middle. Its end is the 99.5th percentile of the magnitudes that are not zero, so that one strong place does not
    leave the rest dark.

    Args:
        values: [units,h,w] or [units], as zfcuda.activations(...)[layer][0] gives them.
        layer: what to call it.

    Raises:
        ValueError: the values are of another shape, or there are none.
    """
    if values.dim() not in (1, 3) or not values.numel():
        raise ValueError(
            f"layer: expected one with maps [units,h,w] or a vector [units] for each image, {layer!r} gives "
            f"{list(values.shape)}"
        )
    maps = values.detach().float().cpu()
    maps = maps if maps.dim() == 3 else maps[:, None, None]
    count, high, wide = maps.shape
    signed = bool((maps < 0).any())
    dead = (maps == 0).flatten(1).all(1).nonzero().flatten().tolist()
    end = render.robust_scale(maps, 99.5)
    columns = round_columns(count)
    side = _CELL if high * wide == 1 else min(_LARGEST, max(_SMALLEST, _WIDE // columns))
    tiles = [_tile(one, end, signed, side, unit in dead) for unit, one in zip(range(count), maps, strict=True)]
    one = "unit" if values.dim() == 1 else "map"
    said = _said(maps, layer, one, dead)
    lowest, highest = render.value_range(maps)
    low = _end(-end, lowest < -end, "below") if signed else "0"
    picture = numbered(
        render.grid(tiles, columns),
        tiles[0].size,
        rows=[str(unit) for unit in range(0, count, columns)],
        heads=offsets(columns),
        title=[f"{said[0]}, all on one scale; a {one} is its row plus its column", *said[1:]],
        bar=Bar(_colours(signed), low, _end(end, highest > end, "above")),
    )
    return ActivationSheet(picture, dead, said)


def _end(value: float, clipped: bool, beyond: str) -> str:
    return f"{value:.3g}{f' and {beyond}' if clipped else ''}"


def _colours(signed: bool) -> str:
    return "diverging" if signed else "inferno"


def _tile(map: Tensor, end: float, signed: bool, side: int, dead: bool) -> Image.Image:
    """One map, as large as fits into a square of `side`."""
    high, wide = map.shape
    longest = max(high, wide)
    factor = side // longest
    if not factor:
        map = F.adaptive_avg_pool2d(map[None], (max(1, high * side // longest), max(1, wide * side // longest)))[0]
        factor = 1
    if dead:
        return _crossed((map.shape[1] * factor, map.shape[0] * factor))
    return render.enlarged(render.heatmap(map, -end if signed else 0.0, end, colours=_colours(signed)), factor)


def _crossed(size: tuple[int, int]) -> Image.Image:
    """What stands in the place of a map that is zero everywhere: no colour of the scale."""
    tile = Image.new("RGB", size, _GREY)
    draw = ImageDraw.Draw(tile)
    right, bottom = size[0] - 1, size[1] - 1
    for ends in ((0, 0, right, bottom), (0, bottom, right, 0)):
        draw.line(ends, _RED, 1)
    return tile


def _said(maps: Tensor, layer: str, one: str, dead: list[int]) -> list[str]:
    count, high, wide = maps.shape
    low, top = render.value_range(maps)
    size = f" of {high} x {wide}" if one == "map" else ""
    said = [f"{layer}: {count} {one}s{size}, from {low:.3g} to {top:.3g}"]
    place = " everywhere" if one == "map" else ""
    share = f"{100 * len(dead) / count:.1f}".removesuffix(".0")
    verb = "is" if len(dead) == 1 else "are"
    crossed = f"{len(dead)} {verb} zero{place} for this picture ({share} %), crossed out in grey"
    said.append(crossed if dead else f"none is zero{place} for this picture")
    never = int((maps <= 0).flatten(1).all(1).sum()) - len(dead)
    if never:
        said.append(f"{never} {'is' if never == 1 else 'are'} nowhere above zero{' either' if dead else ''}")
    return said
