"""What fires: the methods of zfcuda.features, on the photograph and on crops of several photographs."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image

import zfcuda
from benchmarks.methods.scene import PHOTOGRAPHS, Scene, Shown, Trial, timed
from zfcuda import render
from zfcuda.data.collection import Collection
from zfcuda.report.patches.drawing import cut_out, shown_box, tile

MIDDLE, LAST, VECTOR = "_blocks.4._relu1", "_relu1", "_flatten"  # layers of the network
PATCHES = "_blocks.4._relu1"  # its units see 67 pixels
_UNITS, _TOP = 6, 6


def trials() -> dict[str, Trial]:
    """A trial for each method, those that need another's answer behind it."""
    return {
        "activations": _activations,
        "filters": _filters,
        "dead_units": _dead_units,
        "strongest_patches": _strongest_patches,
        "codes": _codes,
        "nearest": _nearest,
        "embed": _embed,
        "mosaic": _mosaic,
    }


def _activations(scene: Scene) -> Shown:
    from zfcuda.features.activation_sheet import activation_sheet

    found, seconds = timed(lambda: zfcuda.activations(scene.model, scene.image, [MIDDLE])[MIDDLE])
    maps = found[0]
    sheet = activation_sheet(maps[:48], MIDDLE)
    dead = int((maps == 0).flatten(1).all(1).sum())
    return Shown("activations", sheet.picture, seconds, f"{dead} of {len(maps)} maps of {MIDDLE} are zero everywhere")


def _filters(scene: Scene) -> Shown:
    from zfcuda.features.filter_sheet import filter_sheet

    found, seconds = timed(lambda: zfcuda.filters(scene.model))
    sheet = filter_sheet(found, "_conv_stem")
    return Shown("filters", sheet.picture, seconds, sheet.said[-1])


def _dead_units(scene: Scene) -> Shown:
    """A column for each layer: the shares of its units, sorted, from those active nowhere at the bottom."""
    rows, seconds = timed(lambda: list(zfcuda.dead_units(scene.model, scene.crops)))
    layers: dict[str, list[float]] = {}
    for row in rows:
        layers.setdefault(row.layer, []).append(float(row.share_active))
    high = 96
    columns = []
    for shares in layers.values():
        order = torch.tensor(sorted(shares, reverse=True))
        columns.append(order[torch.linspace(0, len(order) - 1, high).round().long()])
    heat = render.heatmap(torch.stack(columns, 1), 0.0, 1.0).resize((560, 240), Image.Resampling.NEAREST)
    kinds = {kind: sum(row.kind == kind for row in rows) for kind in ("dead", "rare", "saturated")}
    said = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    return Shown("dead_units", heat, seconds, f"of {len(rows):,} units {said}, over {len(scene.crops)} pictures")


def _strongest_patches(scene: Scene) -> Shown:
    """A row for each of some units: what it sees in the pictures that excite it most."""
    found, seconds = timed(lambda: zfcuda.strongest_patches(scene.model, scene.crops, [PATCHES], top=_TOP)[PATCHES])
    best = found.values[:, 0].argsort(descending=True)[:_UNITS].tolist()
    seen = Collection.of(scene.crops, model=scene.model)
    tiles = [
        tile(cut_out(seen.picture(index), shown_box(box, seen.picture(index).size)))
        for unit in best
        for index, box in zip(found.indices[unit].tolist(), found.boxes[unit].tolist(), strict=True)
    ]
    return Shown("strongest_patches", render.grid(tiles, _TOP, gap=3), seconds)


def _all_codes(scene: Scene) -> Any:
    return zfcuda.codes(scene.model, scene.crops, VECTOR)


def _codes(scene: Scene) -> Shown:
    """A row for each picture, a column for each of the first numbers of its code."""
    found, seconds = timed(lambda: _all_codes(scene))
    values = found.values[:, :300]
    heat = render.heatmap(values.sqrt(), 0.0, colours="inferno")
    many, wide = found.values.shape
    return Shown("codes", heat.resize((600, 2 * many), Image.Resampling.NEAREST), seconds, f"{many} codes of {wide}")


def _nearest(scene: Scene) -> Shown:
    """The crop in front, then the nearest ones by code; below the same by pixels."""
    found = _all_codes(scene)
    query = 5  # of the first photograph
    small = torch.stack([zfcuda.Preprocess(32, 32)(crop)[0].flatten() for crop in scene.crops])
    (near, _), seconds = timed(lambda: zfcuda.nearest(found, found.values[query : query + 1], k=8))
    by_pixels, _ = zfcuda.nearest(small, small[query], k=8)
    tiles = [
        scene.crops[i].resize((72, 72), Image.Resampling.LANCZOS) for i in [*near[0].tolist(), *by_pixels[0].tolist()]
    ]
    return Shown("nearest", render.grid(tiles, 8, gap=3), seconds)


def _labels(scene: Scene) -> list[int]:
    each = len(scene.crops) // len(PHOTOGRAPHS)
    return [number for number in range(len(PHOTOGRAPHS)) for _ in range(each)]


def _embed(scene: Scene) -> Shown:
    from zfcuda.features.scatter import scatter

    found = _all_codes(scene)
    points, seconds = timed(lambda: zfcuda.embed(found))
    return Shown("embed", scatter(points, _labels(scene), PHOTOGRAPHS), seconds, f"{len(points)} codes")


def _mosaic(scene: Scene) -> Shown:
    points = zfcuda.embed(_all_codes(scene))
    picture, seconds = timed(lambda: zfcuda.mosaic(scene.crops, points, columns=12))
    return Shown("mosaic", picture, seconds)
