"""The pictures of correspondence: shares over tolerances, and the matches themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from zfcuda.faithfulness.intervals import bootstrap
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.matching.measure import LEARNED, PIXELS, SHUFFLED
from zfcuda.paper.matching.pairs import Pair
from zfcuda.paper.matching.scores import Matched
from zfcuda.paper.plots import COLOURS, plotted
from zfcuda.paper.points import Landmarks

TOLERANCES = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3)
_RIGHT, _WRONG, _TRUE, _INK, _PAPER = (0, 158, 60), (213, 40, 20), (255, 255, 255), (20, 20, 20), (255, 255, 255)
_TILE, _GAP, _HEAD = 280, 8, 22


def curves(matched: Mapping[str, Matched], layers: Sequence[str], alpha: float) -> Image.Image | None:
    """Two panels for each kind of pairs: shares over tolerances by layer, and by layer against the controls.

    None without matplotlib.
    """

    def draw(axes: Any) -> None:
        for (kind, each), line in zip(matched.items(), axes, strict=True):
            for place, layer in enumerate(layers):
                shade = _shade(place / max(1, len(layers) - 1))
                name = f" {layer}"  # a legend leaves out what begins with "_"
                line[0].plot(TOLERANCES, _means(each, f"{LEARNED}:{layer}"), color=shade, marker=".", label=name)
            for guess, style in zip(each.guesses(), _LINES, strict=False):
                line[0].plot(TOLERANCES, _means(each, guess), color="0.35", linestyle=style, linewidth=1.2, label=guess)
            line[0].set_xlabel("tolerance, as a share of the object's longer side")
            line[0].set_ylabel("share of points found")
            line[0].axvline(alpha, color="0.85", zorder=0)
            for source, colour in zip((LEARNED, SHUFFLED, PIXELS), COLOURS, strict=False):
                shares = [each.shares(f"{source}:{layer}", alpha) for layer in layers]
                means = [float(np.mean(value)) for value in shares]
                line[1].plot(layers, means, color=colour, marker="o", label=_NAMES[source])
                ends = np.array([bootstrap(value) for value in shares]).T
                line[1].fill_between(layers, ends[0], ends[1], color=colour, alpha=0.18, linewidth=0)
            for guess, style in zip(each.guesses(), _LINES, strict=False):
                line[1].axhline(float(np.mean(each.shares(guess, alpha))), color="0.35", linestyle=style, linewidth=1.2)
            line[1].set_xlabel("layer")
            line[1].tick_params(axis="x", labelsize=8, rotation=0 if max(map(len, layers)) < 8 else 30)
            for axis in line:
                axis.set_ylim(bottom=0)
                axis.grid(alpha=0.3)
            line[0].set_title(f"pairs of {kind}: by tolerance", fontsize=10)
            line[1].set_title(f"pairs of {kind}: within {alpha:g} of the side (95 % intervals)", fontsize=10)
        axes[0][0].legend(fontsize=7, loc="upper left", ncols=2)
        axes[0][1].legend(fontsize=8, loc="best")

    return plotted(draw, rows=len(matched), columns=2, size=(11.0, 4.0 * len(matched)))


_LINES: tuple[Any, ...] = ("-.", "--", ":", (0, (1, 3)))
_NAMES = {LEARNED: "features", SHUFFLED: "features, weights shuffled", PIXELS: "pixels of the same size"}


def _means(matched: Matched, source: str) -> list[float]:
    return [float(np.mean(matched.shares(source, alpha))) for alpha in TOLERANCES]


def _shade(place: float) -> tuple[float, float, float]:
    """From light to dark blue: the deeper the layer, the darker."""
    light, dark = (0.62, 0.79, 0.94), (0.02, 0.13, 0.38)
    red, green, blue = (a + (b - a) * place for a, b in zip(light, dark, strict=True))
    return red, green, blue


def matches(
    gallery: Gallery,
    marks: Landmarks,
    shown: Sequence[tuple[Pair, Mapping[str, Sequence[Sequence[float]]]]],
    sources: Mapping[str, str],
    alpha: float,
) -> Image.Image:
    """A row for each pair: the picture with its points, then the other with what each source matched.

    Args:
        shown: pairs, and what Matcher found of each.
        sources: heading -> source.
    """
    columns = 1 + len(sources)
    whole = Image.new(
        "RGB", (_GAP + columns * (_TILE + _GAP), _HEAD + len(shown) * (_TILE + _GAP) + _HEAD + _GAP), _PAPER
    )
    pen = ImageDraw.Draw(whole)
    for column, name in enumerate(["points of one picture", *sources]):
        pen.text((_GAP + column * (_TILE + _GAP), 5), name, fill=_INK)
    for row, (pair, found) in enumerate(shown):
        top = _HEAD + row * (_TILE + _GAP)
        first = [marks[pair.first].points[name] for name in pair.names]
        right = [marks[pair.second].points[name] for name in pair.names]
        radius = alpha * marks[pair.second].side
        whole.paste(_tile(gallery, pair.first, first, None, 0.0), (_GAP, top))
        for column, source in enumerate(sources.values(), start=1):
            tile = _tile(gallery, pair.second, found[source], right, radius)
            whole.paste(tile, (_GAP + column * (_TILE + _GAP), top))
    said = (
        f"A number is a point. Green: found within {alpha:g} of the object's longer side; red: not, with a line to "
        "where it is."
    )
    pen.text((_GAP, whole.height - _HEAD), said, fill=_INK)
    return whole


def _tile(
    gallery: Gallery,
    index: int,
    places: Sequence[Sequence[float]],
    right: Sequence[Sequence[float]] | None,
    radius: float,
) -> Image.Image:
    picture = gallery.picture(index).convert("RGB")
    scale = (_TILE / picture.height, _TILE / picture.width)
    tile = picture.resize((_TILE, _TILE), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(tile)

    def moved(place: Sequence[float]) -> tuple[float, float]:
        return (place[1] + 0.5) * scale[1], (place[0] + 0.5) * scale[0]

    colours = []
    for number, place in enumerate(places):
        good = right is None or float(np.hypot(*(np.array(place) - right[number]))) <= radius
        colours.append(_RIGHT if good else _WRONG)
        if right is not None and not good:
            pen.line((*moved(place), *moved(right[number])), fill=_WRONG, width=2)
            x, y = moved(right[number])
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=_TRUE, outline=_WRONG)
    for number, (place, colour) in enumerate(zip(places, colours, strict=True)):
        x, y = moved(place)
        pen.ellipse((x - 8, y - 8, x + 8, y + 8), fill=colour if right is not None else _INK, outline=_TRUE)
        pen.text((x, y), str(number + 1), fill=_TRUE, anchor="mm")
    return tile
