"""Examples of boxes around maps, and the bars of what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw

from zfcuda import render
from zfcuda.methods import method
from zfcuda.paper.boxes.compared import CENTRE, WHOLE, Fit
from zfcuda.paper.boxes.components import Box
from zfcuda.paper.boxes.measured import Boxed, map_of
from zfcuda.paper.boxes.rule import overlap
from zfcuda.paper.estimate import interval
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.plots import COLOURS, plotted
from zfcuda.sheets.letters import letters, shortened

#: In what colour the box of each is drawn.
INKS = {"object": COLOURS[5], "part": COLOURS[4]}
_WORDS = {"object": "the object", "part": "the part that tells the class"}
_WIDTH, _GAP, _MARGIN, _SIZE, _LINE = 1200, 12, 14, 14, 19
_MOST = 232  # pixels of a tile, at most
_PAPER, _INK = (255, 255, 255), (32, 32, 32)


def sheet(gallery: Gallery, some: Sequence[Boxed], found: Sequence[Fit], methods: Sequence[str]) -> Image.Image:
    """A row for each picture: itself with the true boxes, a map and its boxes for each method, the centre boxes."""
    columns = ["true boxes", *(method(name).title for name in methods), CENTRE]
    side = min(_MOST, (_WIDTH - 2 * _MARGIN + _GAP) // len(columns) - _GAP)
    high = side + _LINE + _GAP
    whole = Image.new(
        "RGB", (2 * _MARGIN + len(columns) * (side + _GAP) - _GAP, _MARGIN + 2 * _LINE + 8 + len(some) * high), _PAPER
    )
    draw, font = ImageDraw.Draw(whole), letters(_SIZE)
    x = _MARGIN
    for wanted, words in _WORDS.items():
        draw.rectangle((x, _MARGIN + 2, x + 14, _MARGIN + 14), outline=INKS[wanted], width=3)
        draw.text((x + 22, _MARGIN - 2), words, _INK, font)
        x += 22 + round(font.getlength(words)) + 30
    draw.text((x, _MARGIN - 2), "below: intersection over union with the true box", _INK, font)
    for column, name in enumerate(columns):
        at = (_MARGIN + column * (side + _GAP), _MARGIN + _LINE + 2)
        draw.text(at, shortened(font, name, side), _INK, font)
    for number, one in enumerate(some):
        y = _MARGIN + 2 * _LINE + 6 + number * high
        picture = gallery.picture(one.index).resize(one.size[::-1])
        true = [("picture " + str(one.index), picture, one.true)]
        of_maps = [(name, _heat(gallery, one, name), _by(one, found, name)) for name in methods]
        for column, (name, tile, boxes) in enumerate([*true, *of_maps, (CENTRE, picture, _by(one, found, CENTRE))]):
            x = _MARGIN + column * (side + _GAP)
            whole.paste(_boxed(tile, boxes, one.size, side), (x, y))
            fit = ", ".join(f"{wanted} {float(overlap(box, one.true[wanted])):.2f}" for wanted, box in boxes.items())
            draw.text((x, y + side + 1), shortened(font, fit if column else name, side), _INK, font)
    return whole


def bars(found: Sequence[Fit]) -> Image.Image | None:
    """Mean overlap and share found, for each method and the two boxes that look at nothing; None without matplotlib."""

    def draw(axes: Any) -> None:
        order = sorted(
            {fit.name for fit in found}, key=lambda name: (name in (CENTRE, WHOLE), -sum(_means(found, name)))
        )
        rows = {(fit.wanted, fit.name): fit.row() for fit in found}
        for ax, value, words in (
            (axes[0, 0], "mean IoU", "mean intersection over union"),
            (axes[0, 1], "share from 0.5", "share of pictures with 0.5 or more"),
        ):
            for turn, wanted in enumerate(INKS):
                places = [place + 0.4 * turn - 0.2 for place in range(len(order))]
                some = [rows[wanted, name] for name in order]
                heights = [row[value] for row in some]
                spread = [
                    [max(0.0, row[value] - row[interval(value)][0]) for row in some],
                    [max(0.0, row[interval(value)][1] - row[value]) for row in some],
                ]
                ax.bar(places, heights, 0.38, yerr=spread, color=INKS[wanted], capsize=3, label=_WORDS[wanted])
            ax.set_xticks(range(len(order)), [name.replace(" ", "\n") for name in order])
            ax.set_ylabel(words)
            ax.set_ylim(0, 1.05)
            ax.grid(axis="y", alpha=0.3)
            ax.set_axisbelow(True)
        axes[0, 0].legend(frameon=False)

    return plotted(draw, columns=2, size=(max(10.0, 1.1 * len({fit.name for fit in found})), 4.2))


def _means(found: Sequence[Fit], name: str) -> list[float]:
    return [fit.mean for fit in found if fit.name == name]


def _by(one: Boxed, found: Sequence[Fit], name: str) -> dict[str, Box]:
    return {fit.wanted: fit.box(one) for fit in found if fit.name == name}


def _heat(gallery: Gallery, one: Boxed, name: str) -> Image.Image:
    """What a box is drawn around: what speaks for the class, up to the 99.5th percentile."""
    values = map_of(gallery, one.index, name).detach().cpu().clamp(min=0)
    return render.heatmap(values, 0.0, render.robust_scale(values) or 1.0, colours="inferno")


def _boxed(tile: Image.Image, boxes: dict[str, Box], size: tuple[int, int], side: int) -> Image.Image:
    scale = side / max(size)
    out = tile.convert("RGB").resize((round(size[1] * scale), round(size[0] * scale)), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(out)
    for wanted, (top, left, bottom, right) in boxes.items():
        corners = tuple(round(each * scale) for each in (left, top, right, bottom))
        outer = (corners[0], corners[1], corners[2] - 1, corners[3] - 1)
        draw.rectangle(outer, outline=(0, 0, 0), width=4)
        inner = (outer[0] + 1, outer[1] + 1, outer[2] - 1, outer[3] - 1)
        draw.rectangle(inner, outline=INKS[wanted], width=2)
    return out
