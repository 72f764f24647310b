"""Draws an Explanation: each panel a picture with the text that stands in for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn import functional

from zfcuda import render
from zfcuda.report.explain import Explanation, Rectangle, Unit

_TILE = 224  # pixels that a small map is enlarged to, at least
_OUTLINE = (255, 214, 10)
_FILL = (128, 128, 128)  # the occluder, as explain() makes it


@dataclass(frozen=True)
class Panel:
    """A picture, what it shows in words, and whether its pixels are data (drawn with hard edges)."""

    image: Image.Image
    alt: str
    hard: bool = False


@dataclass(frozen=True)
class Drawn:
    """All pictures of one explanation.

    `evidence_limit` is the change of the score drawn in full colour; `units` holds (activity, projection, patch) per
    layer and unit.
    """

    picture: Panel
    evidence: Panel
    evidence_limit: float
    occluded: Panel
    activity: Panel
    projection: Panel | None
    patch: Panel | None
    probability: Panel
    labels: Panel
    legend: list[render.Label]
    units: list[list[tuple[Panel, Panel, Panel]]]

    def named(self, stem: str) -> dict[str, Image.Image]:
        """Every picture by its file name."""
        out = {
            f"{stem}-{key}.png": panel.image
            for key in (
                "picture",
                "evidence",
                "occluded",
                "activity",
                "projection",
                "patch",
                "probability",
                "labels",
            )
            if (panel := getattr(self, key)) is not None
        }
        return out


def draw(e: Explanation) -> Drawn:
    """All panels of one explanation."""
    shown = render.picture(e.pixels)
    evidence, limit = _evidence(e, shown)
    name = e.class_names[e.target]
    top, left, bottom, right = place = e.occluder(*e.worst)
    where = f"rows {top} to {bottom - 1}, columns {left} to {right - 1}"
    labels, legend = render.label_map(e.occlusion.label, first=e.target_label)
    activity = e.occlusion.activity
    followed = e.followed
    return Drawn(
        picture=Panel(shown, f"{e.name}, as the network sees it"),
        evidence=Panel(evidence, f"The regions of {e.name} that speak for {name} in red, against it in blue"),
        evidence_limit=limit,
        occluded=Panel(_occluded(shown, place), f"{e.name} with a grey square over {where}"),
        activity=_map(
            render.heatmap(
                torch.zeros_like(e.occlusion.probability) if activity is None else activity, colours="inferno"
            ),
            "Heat map: activity of the followed feature map for each position of the square",
        ),
        projection=None if followed is None else _projection(followed, f"{e.followed_layer}, map {followed.number}"),
        patch=None if followed is None else _patch(shown, followed, f"{e.followed_layer}, map {followed.number}"),
        probability=_map(
            render.heatmap(e.occlusion.probability),
            f"Heat map: probability of {name} for each position of the square, lowest at {where}",
        ),
        labels=_map(labels, "Map of the most probable class for each position of the square"),
        legend=legend,
        units=[
            [
                (
                    _map(
                        render.heatmap(unit.activity, 0.0, colours="inferno"),
                        f"Where {layer.name}, map {unit.number} is active",
                    ),
                    _projection(unit, f"{layer.name}, map {unit.number}"),
                    _patch(shown, unit, f"{layer.name}, map {unit.number}"),
                )
                for unit in layer.units
            ]
            for layer in e.layers
        ],
    )


def first_filters(e: Explanation) -> Panel | None:
    """The weights of the first convolution; None where they have not 1 or 3 input channels."""
    if e.filters.shape[1] not in (1, 3):
        return None
    side = max(e.filters.shape[-2:])
    sheet = render.filters(e.filters, factor=max(1, round(56 / side)), columns=min(len(e.filters), 12))
    return Panel(sheet, f"The {len(e.filters)} filters of the first layer, {side} pixels wide", hard=True)


def sheet(e: Explanation, drawn: Drawn) -> dict[str, Image.Image]:
    """Draws one picture for each layer, with a column per unit: activity, projection and patch below each other."""
    out = {}
    for layer, units in zip(e.layers, drawn.units, strict=True):
        if units:
            rows = [[_fitted(unit[i].image, _TILE, hard=unit[i].hard) for unit in units] for i in range(3)]
            out[layer.name] = render.grid([tile for row in rows for tile in row], len(units), gap=8)
    return out


def _map(picture: Image.Image, alt: str) -> Panel:
    return Panel(render.enlarged(picture, max(1, round(_TILE / 2 / max(picture.size)))), alt, hard=True)


def _crop(picture: Image.Image, field: Rectangle | None) -> Image.Image:
    """What a unit sees; the whole picture where that is not known."""
    if field is None:
        return picture
    top, left, bottom, right = field
    return picture.crop((left, top, right, bottom))


def _small(picture: Image.Image) -> bool:
    return max(picture.size) < 64


def _projection(unit: Unit, what: str) -> Panel:
    top, left, bottom, right = unit.field or (0, 0, *unit.projection.shape[1:])
    picture = render.projection(unit.projection[:, top:bottom, left:right])
    return Panel(picture, f"Projection of {what}: the structure in the picture that excites it", hard=_small(picture))


def _patch(shown: Image.Image, unit: Unit, what: str) -> Panel:
    # 256 colours are enough for a patch this small, and halve the page.
    picture = _crop(shown, unit.field).quantize(256, dither=Image.Dither.NONE)
    seen = "The part of the picture" if unit.field else "The whole picture: it is not known what part of it is"
    return Panel(picture, f"{seen} that {what} sees there", hard=_small(picture))


def _occluded(shown: Image.Image, place: Rectangle) -> Image.Image:
    top, left, bottom, right = place
    out = shown.copy()
    ImageDraw.Draw(out).rectangle((left, top, right - 1, bottom - 1), fill=_FILL)
    return out


def _evidence(e: Explanation, shown: Image.Image) -> tuple[Image.Image, float]:
    high, wide = e.pixels.shape[-2:]
    heat = e.occlusion.heatmap((high, wide)).float().cpu()
    # One value per step of the occluder, then smoothly stretched: the map knows no finer detail.
    steps = (math.ceil(high / e.stride), math.ceil(wide / e.stride))
    heat = functional.adaptive_avg_pool2d(heat[None], steps)[0]
    limit = max(map(abs, render.value_range(heat)))
    out = render.overlay(shown, heat, limit=limit)
    if e.truth is None:
        return out, limit
    mask = e.truth.cpu().numpy().astype(bool)
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge = np.pad(mask & ~inner, 1)
    edge = edge[1:-1, 1:-1] | edge[:-2, 1:-1] | edge[1:-1, :-2]  # two pixels thick
    pixels = np.array(out)
    pixels[edge] = _OUTLINE
    return Image.fromarray(pixels), limit


def _fitted(picture: Image.Image, side: int, *, hard: bool) -> Image.Image:
    picture = picture.convert("RGB")
    factor = side / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST if hard else Image.Resampling.BICUBIC)
