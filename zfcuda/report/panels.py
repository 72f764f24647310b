"""Draws an Explanation: each panel a picture with the text that stands in for it."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from zfcuda import render
from zfcuda.occlusion.map_data import Rectangle
from zfcuda.occlusion.map_pictures import drop
from zfcuda.report.cover import Cover
from zfcuda.report.explanation import Explanation, MethodMap, Unit

_TILE = 224  # pixels that a small map is enlarged to, at least
OUTLINE = (255, 214, 10)
# What the evidence is drawn of, in words; the first one is shown first.
QUANTITIES = {"log_odds": "log-odds", "score": "logit", "probability": "probability"}
# Whether a method has a sign -> the colours that its map is drawn in.
METHOD_COLOURS = {True: "diverging", False: "inferno"}
_FIRST = next(iter(QUANTITIES))


@dataclass(frozen=True)
class Panel:
    """A picture, what it shows in words, and whether its pixels are data (drawn with hard edges)."""

    image: Image.Image
    alt: str
    hard: bool = False


@dataclass(frozen=True)
class Evidence:
    """The drop of a quantity over the picture; `limit` is the drop that is drawn in full colour."""

    panel: Panel
    limit: float


@dataclass(frozen=True)
class DrawnUnit:
    """Where a feature map is active, its projection (None where that cannot be), and what its unit sees."""

    activity: Panel
    projection: Panel | None
    patch: Panel

    @property
    def shown(self) -> list[Panel]:
        """Those that there are."""
        return [panel for panel in (self.activity, self.projection, self.patch) if panel is not None]


@dataclass(frozen=True)
class Drawn:
    """All pictures of one explanation.

    `evidence` is by quantity; `activity`, `projection` and `patch`, of the unit that is followed, are None where there
    is none, `projection` also where that cannot be; `units` are per layer and unit; `methods` are by name, without
    those that were refused.
    """

    picture: Panel
    evidence: dict[str, Evidence]
    occluded: Panel
    activity: Panel | None
    projection: Panel | None
    patch: Panel | None
    probability: Panel
    labels: Panel
    legend: list[render.Label]
    units: list[list[DrawnUnit]]
    methods: dict[str, Panel]

    def named(self, stem: str) -> dict[str, Image.Image]:
        """Every picture by its file name."""
        panels = {
            "picture": self.picture,
            **{"evidence" if of == _FIRST else f"evidence-{of}": e.panel for of, e in self.evidence.items()},
            "occluded": self.occluded,
            "activity": self.activity,
            "projection": self.projection,
            "patch": self.patch,
            "probability": self.probability,
            "labels": self.labels,
            **{f"method-{name}": panel for name, panel in self.methods.items()},
        }
        return {f"{stem}-{key}.png": panel.image for key, panel in panels.items() if panel is not None}


def draw(e: Explanation) -> Drawn:
    """All panels of one explanation."""
    shown = render.picture(e.pixels)
    name = e.class_names[e.target]
    top, left, bottom, right = place = e.occlusion.rectangle(*e.occlusion.worst)
    where = f"rows {top} to {bottom - 1}, columns {left} to {right - 1}"
    labels, legend = render.label_map(e.occlusion.label, first=e.occlusion.target_label)
    activity = e.occlusion.activity
    followed = None if e.followed is None else _unit(shown, e.followed, f"{e.followed_layer}, map {e.followed.number}")
    return Drawn(
        picture=Panel(shown, f"{e.name}, as the network sees it"),
        evidence={of: _evidence(e, shown, of) for of in QUANTITIES},
        occluded=Panel(_occluded(shown, e.cover, place), f"{e.name} with {e.cover.words} over {where}"),
        activity=None
        if activity is None
        else _map(
            render.heatmap(activity, colours="inferno"),
            "Heat map: activity of the followed feature map for each position of the square",
        ),
        projection=None if followed is None else followed.projection,
        patch=None if followed is None else followed.patch,
        probability=_map(
            render.heatmap(e.occlusion.probability),
            f"Heat map: probability of {name} for each position of the square, lowest at {where}",
        ),
        labels=_map(labels, "Map of the most probable class for each position of the square"),
        legend=legend,
        units=[[_unit(shown, unit, f"{layer.name}, map {unit.number}") for unit in layer.units] for layer in e.layers],
        methods={one.method.name: _method(e, one, one.values) for one in e.methods if one.values is not None},
    )


def sheet(e: Explanation, drawn: Drawn) -> dict[str, Image.Image]:
    """Draws one picture for each layer, a column per unit: activity, projection (if any) and patch below each other."""
    out = {}
    for layer, units in zip(e.layers, drawn.units, strict=True):
        if units:
            # By rows; the units of a layer are all projected, or none is.
            rows = zip(*(unit.shown for unit in units), strict=True)
            tiles = [_fitted(panel.image, _TILE, hard=panel.hard) for row in rows for panel in row]
            out[layer.name] = render.grid(tiles, len(units), gap=8)
    return out


def coloured(values: Tensor, largest: float, *, signed: bool) -> Image.Image:
    """A map [H,W] divided by its largest magnitude, in colours that go with the square root of what is left."""
    share = (values / largest if largest else values).clamp(-1, 1)  # infinities take an end
    return render.heatmap(share.sign() * share.abs().sqrt(), -float(signed), 1.0, colours=METHOD_COLOURS[signed])


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


def _unit(shown: Image.Image, unit: Unit, what: str) -> DrawnUnit:
    return DrawnUnit(
        _map(render.heatmap(unit.activity, 0.0, colours="inferno"), f"Where {what} is active"),
        None if unit.projection is None else _projection(unit, unit.projection, what),
        _patch(shown, unit, what),
    )


def _projection(unit: Unit, signal: Tensor, what: str) -> Panel:
    top, left, bottom, right = unit.field or (0, 0, *signal.shape[1:])
    picture = render.projection(signal[:, top:bottom, left:right])
    return Panel(picture, f"Projection of {what}: the structure in the picture that excites it", hard=_small(picture))


def _patch(shown: Image.Image, unit: Unit, what: str) -> Panel:
    # 256 colours are enough for a patch this small, and halve the page.
    picture = _crop(shown, unit.field).quantize(256, dither=Image.Dither.NONE)
    seen = "The part of the picture" if unit.field else "The whole picture: it is not known what part of it is"
    return Panel(picture, f"{seen} that {what} sees there", hard=_small(picture))


def _occluded(shown: Image.Image, cover: Cover, place: Rectangle) -> Image.Image:
    out = shown.copy()
    out.paste(_crop(render.picture(cover.pixels), place), (place[1], place[0]))
    return out


def _evidence(e: Explanation, shown: Image.Image, of: str) -> Evidence:
    heat = drop(e.occlusion, of)
    limit = max(map(abs, render.value_range(heat)))
    what = f"the {QUANTITIES[of]} of {e.class_names[e.target]}"
    alt = f"By how much hiding each part of {e.name} lowers (red) or raises (blue) {what}"
    return Evidence(Panel(_outlined(render.overlay(shown, heat, limit=limit), e.truth), alt), limit)


def _method(e: Explanation, one: MethodMap, values: Tensor) -> Panel:
    """One method's map."""
    heat = coloured(values, one.largest, signed=one.method.signed)
    what = f"what {one.method.title} says of each pixel of {e.name}, for {e.class_names[e.target]}"
    return Panel(_outlined(heat, e.truth), f"Heat map: {what}", hard=_small(heat))


def _outlined(out: Image.Image, truth: Tensor | None) -> Image.Image:
    """The picture with the outline of a part on it, where that is known."""
    return out if truth is None else render.outlined(out, truth.bool(), OUTLINE, thick=True)


def _fitted(picture: Image.Image, side: int, *, hard: bool) -> Image.Image:
    picture = picture.convert("RGB")
    factor = side / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST if hard else Image.Resampling.BICUBIC)
