"""Sheets of tiles with a heading, names of rows and columns, laid out side by side on one picture."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from zfcuda.sheets.letters import letters, shortened, width

WIDTH = 1240  # pixels of a whole picture, about
_INK, _GREY, _PAPER = (32, 32, 32), (96, 96, 96), (255, 255, 255)
_HEADING, _NAME = 17, 14  # pixels of letters
_LINE = 22
_BETWEEN = 28  # panels
_MARGIN = 12


def panel(
    sheet: Image.Image,
    heading: str,
    *,
    below: str = "",
    tile: tuple[int, int] = (0, 0),
    gap: int = 0,
    heads: Sequence[str] = (),
    rows: Sequence[str] = (),
) -> Image.Image:
    """A sheet of :func:`zfcuda.render.grid` with a heading over it.

    Args:
        below: a second line, in grey.
        tile, gap: those of the sheet, where its columns have heads or its rows names.
        heads, rows: a word for each column and each row.
    """
    small = letters(_NAME)
    left = max((width(small, name) for name in rows), default=-8) + 8
    top = _LINE * (1 + bool(below) + bool(heads)) + 2
    whole = Image.new("RGB", (left + max(sheet.width, width(letters(_HEADING), heading)), top + sheet.height), _PAPER)
    draw = ImageDraw.Draw(whole)
    draw.text((left, 0), heading, _INK, letters(_HEADING))
    if below:
        draw.text((left, _LINE), shortened(small, below, whole.width - left), _GREY, small)
    for place, name in enumerate(heads):
        x = left + place * (tile[0] + gap) + (tile[0] - width(small, name)) // 2
        draw.text((x, top - _LINE + 1), name, _INK, small)
    for place, name in enumerate(rows):
        y = top + place * (tile[1] + gap) + (tile[1] - _NAME) // 2 - 2
        draw.text((left - 8 - width(small, name), y), name, _INK, small)
    whole.paste(sheet, (left, top))
    return whole


def laid_out(panels: Sequence[Image.Image], *, wide: int = WIDTH) -> Image.Image:
    """Panels in lines from left to right, as many in each as fit."""
    lines: list[list[Image.Image]] = []
    room = 0
    for each in panels:
        if not lines or each.width > room:
            lines.append([])
            room = wide - 2 * _MARGIN
        lines[-1].append(each)
        room -= each.width + _BETWEEN
    widths = [sum(each.width + _BETWEEN for each in line) - _BETWEEN for line in lines]
    heights = [max(each.height for each in line) + _BETWEEN for line in lines]
    whole = Image.new("RGB", (max(widths) + 2 * _MARGIN, sum(heights) - _BETWEEN + 2 * _MARGIN), _PAPER)
    y = _MARGIN
    for line, high in zip(lines, heights, strict=True):
        x = _MARGIN
        for each in line:
            whole.paste(each, (x, y))
            x += each.width + _BETWEEN
        y += high
    return whole
