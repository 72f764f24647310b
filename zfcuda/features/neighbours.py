"""A sheet of nearest neighbours: a picture, and beside it those nearest to it in one space above those in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from zfcuda.features.mosaic import square
from zfcuda.sheets.letters import letters, shortened, width

_SIDE = 112  # of a picture, in pixels
_GAP = 6
_LINE = 17
_INK, _FAINT = (32, 32, 32), (110, 110, 110)

Neighbour = tuple[Image.Image, str]


def neighbours(queries: Sequence[tuple[Neighbour, Mapping[str, Sequence[Neighbour]]]]) -> Image.Image:
    """Queries, each with a row of neighbours for each space.

    Args:
        queries: ((picture, caption), name of a space -> its neighbours, nearest first) of each; at least one.

    Returns:
        An RGB picture.
    """
    font = letters(13)
    titles = [name for _, rows in queries for name in rows]
    most = max(len(row) for _, rows in queries for row in rows.values())
    left = _SIDE + 5 * _GAP
    step = _SIDE + _GAP
    line = 2 * _LINE + _SIDE + _GAP  # title, picture, caption
    wide = max(left + most * step, left + max(width(font, title) for title in titles) + _GAP)
    high = sum(len(rows) * line + 3 * _GAP for _, rows in queries)
    sheet = Image.new("RGB", (wide + _GAP, high), "white")
    draw = ImageDraw.Draw(sheet)

    def place(one: Neighbour, x: int, y: int) -> None:
        sheet.paste(square(one[0], _SIDE), (x, y))
        draw.text((x, y + _SIDE + 1), shortened(font, one[1], _SIDE), _FAINT, font)

    y = 2 * _GAP
    for query, rows in queries:
        place(query, _GAP, y + _LINE)
        for title, row in rows.items():
            draw.text((left, y), title, _INK, font)
            for i, one in enumerate(row):
                place(one, left + i * step, y + _LINE)
            y += line
        y += 3 * _GAP
    return sheet
