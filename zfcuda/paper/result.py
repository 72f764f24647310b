"""What a figure or table comes to: numbers, pictures, and what they say of the paper's claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from torch import Tensor

#: One row of a table: what JSON can say, under the headings of its columns.
Row = Mapping[str, Any]


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
class Result:
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

    def __repr__(self) -> str:
        tables = ", ".join(f"{title!r} ({len(rows)} rows)" for title, rows in self.tables.items())
        pictures = ", ".join(map(repr, self.pictures))
        lines = [
            f"Result: tables {tables or 'none'}; tensors {', '.join(self.tensors) or 'none'}; "
            f"pictures {pictures or 'none'}"
        ]
        words = {True: "holds", False: "does not hold", None: "undecided"}
        return "\n".join([*lines, *(f"  {words[each.holds]}: {each.says} {each.found}" for each in self.claims)])
