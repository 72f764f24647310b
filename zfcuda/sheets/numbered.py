"""A sheet of tiles with numbers and a title, so that by itself it says what it shows and which tile is which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw

from zfcuda import render
from zfcuda.sheets.letters import Font, letters
from zfcuda.sheets.letters import width as width_of

_INK = (32, 32, 32)
_PAPER = (255, 255, 255)
_MARGIN = 10
_SIZE = 13  # of the letters, in pixels
_LINE = 18
_BAR = (180, 10)
_COLUMNS = ((8, 32), (16, 384), (32, 2048), (64, math.inf))  # so many in a row, of so many at most
_NARROWEST = 640  # so that titles need few lines


@dataclass(frozen=True)
class Bar:
    """A bar of colours with the values at its two ends, in words."""

    colours: str
    low: str
    high: str


def numbered(
    sheet: Image.Image,
    tile: tuple[int, int],
    *,
    rows: Sequence[str],
    heads: Sequence[str],
    title: Sequence[str],
    bar: Bar | None = None,
    gap: int = 2,
) -> Image.Image:
    """A sheet of :func:`zfcuda.render.grid` with a name before each row, and one over each column.

    Args:
        tile: the width and height of its tiles.
        rows, heads: the names, those of rows in one line or several. Heads that would run into one another are left
            out, evenly.
        title: sentences above, a line each, or several where one is too long.
        bar: stands under the title.
        gap: pixels between tiles.
    """
    font = letters(_SIZE)
    wide, high = tile
    left = _MARGIN + max(width_of(font, line) for name in rows for line in name.split("\n")) + 6
    width = max(_NARROWEST, left + sheet.width + _MARGIN)
    lines = [line for sentence in title for line in _lines(font, sentence, width - 2 * _MARGIN)]
    head = _MARGIN + _LINE * (len(lines) + (bar is not None)) + 4
    top = head + _LINE
    whole = Image.new("RGB", (width, top + sheet.height + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(whole)
    for i, line in enumerate(lines):
        draw.text((_MARGIN, _MARGIN + i * _LINE), line, _INK, font)
    if bar is not None:
        _draw_bar(whole, draw, font, bar, _MARGIN + len(lines) * _LINE)
    each = 1 + max(width_of(font, name) for name in heads) // (wide + gap)  # 1: all of them fit
    for i, name in enumerate(heads):
        if i % each == 0:
            draw.text((left + i * (wide + gap) + (wide - width_of(font, name)) // 2, head), name, _INK, font)
    each = 1 + _SIZE // (high + gap)
    for i, name in enumerate(rows):
        if i % each == 0:
            parts = name.split("\n")
            y = top + i * (high + gap) + high // 2 - _LINE * len(parts) // 2
            for k, part in enumerate(parts):
                draw.text((left - 6 - width_of(font, part), y + k * _LINE), part, _INK, font)
    whole.paste(sheet, (left, top))
    return whole


def round_columns(count: int) -> int:
    """How many tiles stand in a row: a round number, so that a tile is read off as its row plus its column."""
    return min(count, next(columns for columns, most in _COLUMNS if count <= most))


def offsets(columns: int) -> list[str]:
    """What to write over the columns where a tile's number is that of its row plus that of its column."""
    return [f"+{i}" if i else "0" for i in range(columns)]


def _lines(font: Font, sentence: str, width: int) -> list[str]:
    """A sentence in lines of at most this width; a word that is longer has one of its own."""
    lines = [""]
    for word in sentence.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        lines[-1:] = [longer] if not lines[-1] or width_of(font, longer) <= width else [lines[-1], word]
    return lines


def _draw_bar(sheet: Image.Image, draw: ImageDraw.ImageDraw, font: Font, bar: Bar, y: int) -> None:
    x = _MARGIN
    draw.text((x, y), bar.low, _INK, font)
    x += width_of(font, bar.low) + 6
    colours = render.heatmap(torch.linspace(0, 1, _BAR[0]).expand(_BAR[1], -1), 0.0, 1.0, colours=bar.colours)
    sheet.paste(colours, (x, y + 3))
    draw.text((x + _BAR[0] + 6, y), bar.high, _INK, font)
