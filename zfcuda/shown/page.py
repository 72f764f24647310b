"""A result as HTML for a notebook: one piece without scripts, nothing from elsewhere, whatever the result's size."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import islice
from typing import Any

from PIL import Image

from zfcuda import render
from zfcuda.complaint import one_line, writable
from zfcuda.shown.display import Display, Table, View

_BYTES = 160_000  # of all pictures together, as files; in base64 a third more
_LARGEST, _SMALLEST = 256, 160  # pixels of the longer side of a picture
_LARGE, _SMALLER = 2, 176  # of so many pictures; of more, that they are not too many for a line
_WIDEST = 800  # of a sheet, whose tiles have no detail to lose
_MOST = 280_000  # characters of a page, after which no further table is begun
_COLUMNS, _TABLES, _FACTS = 12, 6, 16
_LONGEST = 300  # characters of a caption, a cell or a fact
_TEXT = 4000  # of what cannot be drawn
_LEFT = "text-align:left;vertical-align:top"
_SMALL = "font-size:85%;opacity:.85"


def page(result: Any, display: Callable[[], Display], share: int = 1) -> str:
    """The HTML of a result; its text where it cannot be drawn. Never raises, and is shorter than 300 kB.

    share: how many results are shown together, in that size.
    """
    try:
        return _page(display(), share)
    except Exception:
        try:
            said = repr(result)
        except Exception:
            said = type(result).__name__
        return f"<pre>{escape(writable(said[:_TEXT]))}</pre>"


def text(value: object) -> str:
    """Anything as one line that is no markup and not too long."""
    line = one_line(str(value))
    return escape(writable(line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3].rstrip()}..."))


def _image(view: View, alt: str, beside: int, share: int) -> str:
    """An <img> that carries its own data.

    beside: how many pictures stand side by side, for which they are made smaller.
    """
    largest = _LARGEST if beside <= _LARGE else _SMALLER
    largest = _WIDEST // min(beside, 2) if view.sheet else largest
    picture = view.picture
    longest = max(picture.size)
    if longest < _SMALLEST:
        picture = render.enlarged(picture, round(_SMALLEST / longest))
    if max(picture.size) > largest:
        picture = picture.copy()
        picture.thumbnail((largest, largest))
    data = base64.b64encode(_png(picture, _BYTES // beside // share)).decode()
    return f'<img alt="{text(alt)}" src="data:image/png;base64,{data}" style="width:{picture.width}px;max-width:100%">'


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    """Names and what stands beside them."""
    rows = "".join(
        f'<tr><th style="{_LEFT}">{text(name)}</th><td style="{_LEFT}">{text(value)}</td></tr>'
        for name, value in islice(facts, _FACTS)
    )
    return f"<table>{rows}</table>" if rows else ""


def _beside(*parts: str) -> str:
    """Parts from left to right, one below the other where there is no room."""
    return f'<div style="display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start">{"".join(parts)}</div>'


def _page(display: Display, share: int) -> str:
    views = list(islice(display.views, display.few))
    figures = [_figure(view, display.title, len(views), share) for view in views]
    more = display.total - len(views)
    rest = f'<div style="{_SMALL}">The first {len(views)} of {display.total:,}.</div>' if views and more > 0 else ""
    title = f'<div style="font-weight:600">{text(display.title)}</div>'
    parts = [title, _beside(*figures, _facts(display.facts)), rest]
    tables = 0
    for table in display.tables[:_TABLES]:
        made = _table(table)
        if sum(map(len, parts)) + len(made) > _MOST // share:
            break
        parts.append(made)
        tables += 1
    if tables < len(display.tables):
        parts.append(f'<div style="{_SMALL}">and {len(display.tables) - tables:,} tables more</div>')
    return f"<div>{''.join(parts)}</div>"


def _figure(view: View, title: str, beside: int, share: int) -> str:
    said = [f"{view.caption}: " if view.caption else ""]
    bar = ""
    if view.bar is not None:
        said.append(f"from {view.bar.low} to {view.bar.high}")
        bar = (
            f'<div style="height:.6em;background:{render.gradient(view.bar.colours)}"></div>'
            f'<div style="display:flex;justify-content:space-between"><span>{text(view.bar.low)}</span>'
            f"<span>{text(view.bar.high)}</span></div>"
        )
    alt = f"{title}. {''.join(said)}".strip(" :")
    caption = f"<div>{text(view.caption)}</div>" if view.caption else ""
    return (
        f'<div style="max-width:100%">{_image(view, alt, beside, share)}'
        f'<div style="{_SMALL}">{bar}{caption}</div></div>'
    )


def _table(table: Table) -> str:
    heads = "".join(f'<th style="{_LEFT}">{text(each)}</th>' for each in table.heads[:_COLUMNS])
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in table.rows[: table.most])
    rest = len(table.rows) - table.most
    more = f'<div style="{_SMALL}">and {rest:,} rows more</div>' if rest > 0 else ""
    title = f"<div>{text(table.title)}</div>" if table.title else ""
    return f"{title}<table><tr>{heads}</tr>{body}</table>{more}"


def _cells(row: Sequence[Any]) -> str:
    return "".join(
        f'<td style="text-align:{"right" if isinstance(each, int | float) else "left"}">{text(_written(each))}</td>'
        for each in row[:_COLUMNS]
    )


def _written(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def _png(picture: Image.Image, most: int) -> bytes:
    """A PNG file of 256 colours and at most so many bytes, for which the picture is made smaller."""
    while True:
        file = io.BytesIO()
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        if file.tell() <= most:
            return file.getvalue()
        smaller = min(0.9, 0.95 * (most / file.tell()) ** 0.5)
        picture = picture.copy()
        picture.thumbnail((smaller * picture.width, smaller * picture.height))
