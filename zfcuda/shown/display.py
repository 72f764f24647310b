"""What there is to see of a result: facts, pictures with captions, tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from zfcuda.sheets.numbered import Bar

FEW = 8  # pictures of a result that are shown


@dataclass(frozen=True)
class View:
    """One picture of a result.

    Attributes:
        picture: RGB.
        caption: what it shows, in a line; it is read to who does not see the picture, too.
        bar: its colours, with the values at both ends.
        sheet: whether it is of many tiles or has letters, and so is shown larger.
    """

    picture: Image.Image
    caption: str = ""
    bar: Bar | None = None
    sheet: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under headings; cells are shown as they print, and of many rows the first `most`."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    most: int = 40


@dataclass(frozen=True)
class Display:
    """What there is to see of a result.

    Attributes:
        title: what it is, in a line.
        facts: names and what stands beside them.
        views: pictures, which are drawn as they are taken: only the first `few` are.
        total: how many pictures there are.
        tables: of which the first rows are shown.
    """

    title: str
    facts: Sequence[tuple[str, str]] = ()
    views: Iterable[View] = ()
    total: int = 0
    tables: Sequence[Table] = ()
    few: int = FEW
