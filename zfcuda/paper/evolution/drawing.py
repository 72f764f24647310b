"""Pictures of features as they come about: a block for each layer, a row for each unit, a column for each epoch."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from zfcuda import render
from zfcuda.paper.panels import laid_out, panel
from zfcuda.report.patches.drawing import BEYOND, TILE
from zfcuda.report.patches.joined import Drawn, LayerPatches

_GAP = 3


def blocks(
    moments: Sequence[Sequence[LayerPatches]],
    epochs: Sequence[int],
    headings: Sequence[str],
    units: int,
    *,
    patches: bool = False,
) -> Image.Image:
    """The strongest projection of each unit at each epoch, layer by layer.

    A unit that no picture excites at an epoch has an empty tile there.

    Args:
        moments: at each epoch the layers, in the same order, each with the same rows drawn.
        headings: what to call each layer.
        units: how many of the rows that are drawn are shown, in the order of the units.
        patches: below each row of projections show the patches that they are of.
    """
    drawn = []
    for place, (first, heading) in enumerate(zip(moments[0], headings, strict=True)):
        layers = [moment[place] for moment in moments]
        tiles: list[Image.Image] = []
        names: list[str] = []
        for row in sorted(first.rows[:units]):
            each = [_of(layer, row) for layer in layers]
            tiles += [_tile(one.projection if one else None) for one in each]
            names.append(f"{'' if names else 'unit '}{int(first.found.units[row])}")
            if patches:
                tiles += [_tile(one.patch if one else None) for one in each]
                names.append("")
        sheet = render.grid(tiles, len(epochs), gap=_GAP)
        heads = [f"epoch {epochs[0]}", *map(str, epochs[1:])]
        drawn.append(panel(sheet, heading, tile=(TILE, TILE), gap=_GAP, heads=heads, rows=names))
    return laid_out(drawn)


def _of(layer: LayerPatches, row: int) -> Drawn | None:
    return layer.drawn[row][0] if layer.drawn[row] and layer.found.values[row, 0] > 0 else None


def _tile(picture: Image.Image | None) -> Image.Image:
    """A tile of the full size; small fields of view, which are not square multiples of it, get a frame."""
    whole = Image.new("RGB", (TILE, TILE), BEYOND if picture is None else (255, 255, 255))
    if picture is not None:
        whole.paste(picture, ((TILE - picture.width) // 2, (TILE - picture.height) // 2))
    return whole
