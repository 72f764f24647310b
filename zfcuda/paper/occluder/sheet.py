"""The sheet of Figure 7: a row of five panels for each picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from PIL import Image, ImageDraw

from zfcuda import render
from zfcuda.paper.occluder.cases import class_name
from zfcuda.paper.occluder.panels import OTHERS, Panels
from zfcuda.paper.occluder.watched import Projected
from zfcuda.report.subject import subject_of
from zfcuda.sheets.letters import letters, shortened, width

_PANEL, _GAP, _MARGIN = 220, 18, 14  # pixels
_INK, _FAINT, _PAPER, _FRAME = (32, 32, 32), (96, 96, 96), (255, 255, 255), (0, 0, 0)
_SIZE, _LINE, _BAR = 14, 19, 12
_LEGEND = 5  # classes named under a panel, at most
_BELOW = 3  # lines under a panel, at least

_HEADS = {
    "a": ("(a) the picture, covered where", "the class is least probable"),
    "b": ("(b) total activity of the", "strongest feature map"),
    "c": ("(c) that map's projection (framed)", "and those of other pictures"),
    "d": ("(d) probability of the class", "by the occluder's place"),
    "e": ("(e) most probable class", "by the occluder's place"),
}


def sheet(rows: Sequence[Panels], *, pictures: bool) -> Image.Image:
    """Draws the panels.

    Every map is as large as the picture: a pixel shows the value for the occluder whose centre is nearest. White
    outlines are of the part that the class depends on, where it is known.

    pictures: whether panel (a), the picture itself, is among them.
    """
    letters_of = "abcde" if pictures else "bcde"
    font = letters(_SIZE)
    wide = 2 * _MARGIN + len(letters_of) * (_PANEL + _GAP) - _GAP
    top = _MARGIN + 2 * _LINE + 10
    above = _LINE + 6
    highs = [above + _PANEL + 12 + max(_BELOW, min(_LEGEND, one.map.label.unique().numel())) * _LINE for one in rows]
    whole = Image.new("RGB", (wide, top + sum(highs) + _GAP * len(rows)), _PAPER)
    draw = ImageDraw.Draw(whole)
    for column, letter in enumerate(letters_of):
        for line, words in enumerate(_HEADS[letter]):
            draw.text((_MARGIN + column * (_PANEL + _GAP), _MARGIN + line * _LINE), words, _INK, font)
    y = top
    for one, high in zip(rows, highs, strict=True):
        draw.line((_MARGIN, y - 5, wide - _MARGIN, y - 5), (200, 200, 200))
        draw.text((_MARGIN, y), shortened(font, _title(one), wide - 2 * _MARGIN), _INK, font)
        for column, letter in enumerate(letters_of):
            _PANELS[letter](whole, draw, (_MARGIN + column * (_PANEL + _GAP), y + above), one)
        y += high + _GAP
    return whole


def _title(one: Panels) -> str:
    m, case = one.map, one.case
    name = shortened(letters(_SIZE), case.name.rpartition("/")[2], _PANEL)
    kind = "" if case.known else ", the network's answer"
    probability = f"probability {float(m.base_probability):.2f} with nothing covered"
    square = f"square of {m.window[0]} pixels, steps of {m.stride[0]}"
    followed = f"{one.watched.layer}, map {one.watched.unit}"
    return f"{name}: {class_name(case.gallery, case.target)}{kind}; {probability}; {square}; {followed}"


def _picture(whole: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], one: Panels) -> None:
    m = one.map
    shown = one.case.gallery.picture(one.case.index).resize(m.size[::-1])
    top, left, bottom, right = m.rectangle(*m.worst)
    shown.paste((128, 128, 128), (left, top, right, bottom))
    shown = _fitted(shown)
    whole.paste(shown, at)
    answer = _name(one, int(m.label[m.worst]))
    _caption(draw, at, [f"there: {float(m.probability[m.worst]):.2f}; answer: {answer}"])


def _activity(whole: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], one: Panels) -> None:
    assert one.map.activity is not None
    values = one.map.activity
    _heat(whole, at, one, "activity")
    _bar(whole, draw, at, "inferno", render.value_range(values), one.watched.activity)


def _probability(whole: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], one: Panels) -> None:
    _heat(whole, at, one, "probability")
    _bar(whole, draw, at, "viridis", render.value_range(one.map.probability), float(one.map.base_probability))


def _heat(whole: Image.Image, at: tuple[int, int], one: Panels, kind: str) -> None:
    drawn = _fitted(one.map.image(kind), hard=True)
    if one.part is not None:
        drawn = render.outlined(render.outlined(drawn, one.part, _FRAME, thick=True), one.part, _PAPER)
    whole.paste(drawn, at)


def _bar(
    whole: Image.Image,
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    colours: str,
    ends: tuple[float, float],
    tick: float,
) -> None:
    """A bar of colours, the values at its ends, and a mark at the value with nothing covered."""
    font, (x, y) = letters(_SIZE), (at[0], at[1] + _PANEL + 14)
    ramp = torch.linspace(0, 1, _PANEL).expand(_BAR, -1)
    whole.paste(render.heatmap(ramp, 0.0, 1.0, colours=colours), (x, y))
    low, high = ends
    share = 0.0 if high <= low else min(1.0, max(0.0, (tick - low) / (high - low)))
    place = x + round(share * (_PANEL - 1))
    draw.polygon([(place - 5, y - 8), (place + 5, y - 8), (place, y - 1)], _INK)
    *words, whole_picture = (f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}" for value in (*ends, tick))
    draw.text((x, y + _BAR + 3), words[0], _INK, font)
    draw.text((x + _PANEL - width(font, words[1]), y + _BAR + 3), words[1], _INK, font)
    draw.text((x, y + _BAR + 3 + _LINE), f"mark: nothing covered, {whole_picture}", _FAINT, font)


def _projections(whole: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], one: Panels) -> None:
    if one.projection is None:
        _lines(draw, (at[0], at[1] + 4), f"No projection: {one.refusal}")
        return
    subject = subject_of(one.case.gallery.model, preprocess=one.case.gallery.pictures.preprocess)
    side = (_PANEL - 6) // 2

    def drawn(each: Projected) -> Image.Image:
        top, left, bottom, right = each.box
        signal = subject.in_colour(each.signal[None])[0][:, top:bottom, left:right]
        return render.projection(signal).resize((side, side), Image.Resampling.BICUBIC)

    for place, each in enumerate([one.projection, *list(one.others.values())[:OTHERS]]):
        x, y = at[0] + place % 2 * (side + 6), at[1] + place // 2 * (side + 6)
        whole.paste(drawn(each), (x, y))
        if not place:
            draw.rectangle((x - 2, y - 2, x + side + 1, y + side + 1), outline=_FRAME, width=3)
    how = ["by guided backpropagation"] if one.projection.guided else []
    others = ", ".join(str(index) for index in one.others)
    _caption(draw, at, [f"others: pictures {others}" if others else "no other picture excites it", *how])


def _labels(whole: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], one: Panels) -> None:
    m, font = one.map, letters(_SIZE)
    _, legend = render.label_map(m.label, first=m.target_label)
    _heat(whole, at, one, "label")
    x, y = at[0], at[1] + _PANEL + 6
    for line, entry in enumerate(legend[:_LEGEND]):
        last = line == _LEGEND - 1 and len(legend) > _LEGEND
        count = sum(each.count for each in legend[line:]) if last else entry.count
        name = f"{len(legend) - line} others" if last else "others" if entry.index < 0 else _name(one, entry.index)
        share = f"{100 * count / m.label.numel():.0f} %"
        if not last:
            draw.rectangle((x, y + line * _LINE + 3, x + 12, y + line * _LINE + 15), entry.colour, _INK)
        draw.text((x + 20, y + line * _LINE), shortened(font, name, _PANEL - 70), _INK, font)
        draw.text((x + _PANEL - width(font, share), y + line * _LINE), share, _INK, font)


def _name(one: Panels, label: int) -> str:
    return class_name(one.case.gallery, label) if len(one.map.base_logits) > 1 else one.map.label_name(label)


def _caption(draw: ImageDraw.ImageDraw, at: tuple[int, int], lines: Sequence[str]) -> None:
    font = letters(_SIZE)
    for line, words in enumerate(lines):
        draw.text((at[0], at[1] + _PANEL + 6 + line * _LINE), shortened(font, words, _PANEL), _INK, font)


def _lines(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str) -> None:
    """A sentence in lines of a panel's width."""
    font, line, y = letters(_SIZE), "", at[1]
    for word in [*text.split(), ""]:
        if not word or width(font, f"{line} {word}") > _PANEL:
            draw.text((at[0], y), line, _INK, font)
            line, y = word, y + _LINE
        else:
            line = f"{line} {word}".strip()


def _fitted(picture: Image.Image, *, hard: bool = False) -> Image.Image:
    """A picture in a square of a panel's side; the shorter side is centred."""
    scale = _PANEL / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    how = Image.Resampling.NEAREST if hard else Image.Resampling.BICUBIC
    return picture.convert("RGB").resize(size, how)


_PANELS: dict[str, Callable[[Image.Image, ImageDraw.ImageDraw, tuple[int, int], Panels], None]] = {
    "a": _picture,
    "b": _activity,
    "c": _projections,
    "d": _probability,
    "e": _labels,
}
