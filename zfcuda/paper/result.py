"""What a figure or table comes to: numbers, pictures, and what they say of the paper's claims."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from torch import Tensor

from zfcuda.paper.row import Row
from zfcuda.paper.words import VERDICTS, columns
from zfcuda.shown import Display, Displayed, Table, View
from zfcuda.shown.plot import draw

__all__ = ["Claim", "Result", "Row"]

_ROWS = 8  # of a table that are shown in a notebook


@dataclass(frozen=True)
class Claim:
    """Something that the paper says, and what was found here.

    Attributes:
        says: the claim, in a sentence.
        found: what was measured, in a sentence with its figures.
        holds: whether that confirms it; None where it decides nothing, as where an interval holds both answers.
    """

    says: str
    found: str
    holds: bool | None


@dataclass
class Result(Displayed):
    """What a figure or table comes to.

    Attributes:
        tables: rows under the title of each table; all rows of a table have the same headings.
        tensors: what the pictures were drawn of, and all else that a program may want, on the CPU.
        pictures: PIL pictures by what follows the figure's name in the name of the file, "" for the first; those that
            need matplotlib are missing without it.
        free: which of the pictures, by the same words, hold no picture that the figure was made of, nor a piece of one:
            curves, projections, filters. They can be shown where the pictures themselves must not be.
        claims: what the paper says, and what was found.
        notes: what one has to know to read it, in sentences.
    """

    tables: dict[str, list[Row]] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    pictures: dict[str, Image.Image] = field(default_factory=dict)
    free: set[str] = field(default_factory=set)
    claims: list[Claim] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """The rows of the first table; none where there is no table."""
        return next(iter(self.tables.values()), [])

    def display(self) -> Display:
        """The claims, the pictures, the tables."""
        claims = [[VERDICTS[each.holds], each.says, each.found] for each in self.claims]
        tables = [Table(["", "the paper says", "found here"], claims, "claims")] if claims else []
        for title, rows in self.tables.items():
            shown = columns(rows)
            cells = list(zip(*(column.cells for column in shown), strict=True))
            tables.append(Table([column.heading for column in shown], cells, title, most=_ROWS))
        views = [View(picture, name, sheet=True) for name, picture in self.pictures.items()]
        return Display("Result", [("note", note) for note in self.notes], views, len(views), tables)

    def plot(self, ax: Any = None) -> Any:
        """Draws the first of the pictures with matplotlib, and returns the Axes.

        ax: matplotlib's Axes; None: those of a new figure.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: there is no picture.
        """
        views = [View(picture) for picture in self.pictures.values()]
        return draw(Display("", views=views[:1], total=1), ax)

    def __repr__(self) -> str:
        tables = ", ".join(f"{title!r} ({len(rows)} rows)" for title, rows in self.tables.items())
        pictures = ", ".join(map(repr, self.pictures))
        lines = [
            f"Result: tables {tables or 'none'}; tensors {', '.join(self.tensors) or 'none'}; "
            f"pictures {pictures or 'none'}"
        ]
        return "\n".join([*lines, *(f"  {VERDICTS[each.holds]}: {each.says} {each.found}" for each in self.claims)])
