"""Rows of tables and verdicts in words: what the terminal, the page and the documents print."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from zfcuda.paper.result import Row

#: What is said of a claim that holds, does not, or is not decided.
VERDICTS = {True: "holds", False: "does not hold", None: "undecided"}
_LONGEST, _NARROW = 60, 14  # letters of a cell in the terminal, and of a line of its heading where cells are shorter


def cell(value: Any) -> str:
    """A value of a table: numbers with four digits that count, whole ones in full."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1e4 or value.is_integer() else f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    return str(value)


def headings(rows: Sequence[Row]) -> list[str]:
    """The headings of all rows, in the order in which they come."""
    return list(dict.fromkeys(heading for row in rows for heading in row))


def numeric(rows: Sequence[Row], heading: str) -> bool:
    """Whether a column holds numbers alone, which are set to the right."""
    values = [row.get(heading) for row in rows]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return bool(numbers) and len(numbers) == sum(value is not None for value in values)


def aligned(rows: Sequence[Row], most: int | None = None) -> str:
    """Rows in aligned columns, under their headings, long ones of which are broken; at most so many of them.

    most: None: all.
    """
    names = headings(rows)
    right = [numeric(rows, name) for name in names]
    lines = [[_short(cell(row.get(name))) for name in names] for row in rows[:most]]
    least = [max([_NARROW, *(len(line[at]) for line in lines)]) for at in range(len(names))]
    broken = [textwrap.wrap(name, width) or [""] for name, width in zip(names, least, strict=True)]
    height = max(map(len, broken), default=0)
    above = [[""] * (height - len(each)) + each for each in broken]  # the last lines stand side by side
    top = [[each[at] for each in above] for at in range(height)]
    widths = [max(len(line[at]) for line in [*top, *lines]) for at in range(len(names))]
    ruler = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(
            text.rjust(width) if at_right else text.ljust(width)
            for text, width, at_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in [*top, ruler, *lines]
    )


def markdown(rows: Sequence[Row], most: int | None = None) -> str:
    """Rows as a table of Markdown; at most so many of them.

    most: None: all.
    """
    names = headings(rows)
    ruler = ["---:" if numeric(rows, name) else "---" for name in names]
    lines = [names, ruler, *([cell(row.get(name)) for name in names] for row in rows[:most])]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
