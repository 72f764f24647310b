"""Rows of tables and verdicts in words: what the terminal, the page and the documents print."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zfcuda.paper.estimate import interval
from zfcuda.paper.row import Row

#: What is said of a claim that holds, does not, or is not decided.
VERDICTS = {True: "holds", False: "does not hold", None: "undecided"}
WIDE = 110  # letters of a line in the terminal
_LONGEST, _NARROW = 60, 14  # letters of a cell in the terminal, and of a line of its heading where cells are shorter
_INTERVAL = " (95\u00a0%\u00a0interval)"  # which no line breaks


@dataclass(frozen=True)
class Column:
    """A column of a table as it is shown: its heading, its cells, and whether they are numbers, set to the right."""

    heading: str
    cells: list[str]
    numeric: bool


def cell(value: Any) -> str:
    """A value of a table: numbers with four digits that count, whole ones in full; a list of two fractions is an
    interval, of three a figure and its interval.
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1e4 or value.is_integer() else f"{value:.4g}"
    if isinstance(value, list | tuple):
        if len(value) in (2, 3) and all(isinstance(each, float) for each in value):
            return with_interval(*value) if len(value) == 3 else " to ".join(_alike(value, value))
        return ", ".join(map(cell, value))
    return str(value)


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A figure and its interval, "0.52 (0.47 to 0.58)": two digits of how wide the interval is, no more."""
    if value is None or low is None or high is None:
        return cell(value)
    figure, *ends = _alike((value, low, high), (low, high))
    return f"{figure} ({' to '.join(ends)})"


def _alike(values: Sequence[float], ends: Sequence[float]) -> list[str]:
    """Numbers with as many decimals as tell the ends of an interval apart."""
    apart = abs(ends[-1] - ends[0])
    if not math.isfinite(apart) or apart == 0:
        return [cell(value) for value in values]
    decimals = min(max(1 - math.floor(math.log10(apart)), 0), 9)
    return [f"{round(value, decimals) or 0.0:.{decimals}f}" for value in values]  # "or": no -0.00


def columns(rows: Sequence[Row], most: int | None = None) -> list[Column]:
    """The columns of at most so many rows as they are shown: an interval stands with the figure that it is of.

    An interval is a list of two under the heading that :func:`zfcuda.paper.estimate.interval` gives the figure's.
    """
    names, shown = headings(rows), rows[:most]
    intervals = {interval(name) for name in names} & set(names)
    found = []
    for name in names:
        if name in intervals:
            continue
        if interval(name) in intervals:
            cells = [with_interval(row.get(name), *(row.get(interval(name)) or (None, None))) for row in shown]
            found.append(Column(name + _INTERVAL, cells, False))
        else:
            found.append(Column(name, [cell(row.get(name)) for row in shown], numeric(rows, name)))
    return found


def sentence(text: str) -> str:
    """Words with a capital in front."""
    return text[:1].upper() + text[1:]


def headings(rows: Sequence[Row]) -> list[str]:
    """The headings of all rows, in the order in which they come."""
    return list(dict.fromkeys(heading for row in rows for heading in row))


def numeric(rows: Sequence[Row], heading: str) -> bool:
    """Whether a column holds numbers alone, which are set to the right."""
    values = [row.get(heading) for row in rows]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return bool(numbers) and len(numbers) == sum(value is not None for value in values)


def aligned(rows: Sequence[Row], most: int | None = None) -> str:
    """Rows in aligned columns, under their headings, long ones of which are broken; at most so many of them. Columns
    that a line has no room for stand below, behind those that tell the rows apart.

    most: None: all.
    """
    known = columns(rows, most)
    blocks = [[_set(column) for column in some] for some in _blocks(known)]
    texts = []
    for block in blocks:
        height = max((len(column) for column in block), default=0)
        filled = [[" " * len(column[0])] * (height - len(column)) + column for column in block]  # last lines level
        texts.append("\n".join("  ".join(line).rstrip() for line in zip(*filled, strict=True)))
    return "\n\n".join(texts)


def _set(column: Column) -> list[str]:
    """The lines of a column: its heading, a ruler, its cells."""
    cells = [_short(text) for text in column.cells]
    broken = textwrap.wrap(column.heading, max([_NARROW, *map(len, cells)])) or [""]
    width = max(map(len, [*broken, *cells]))
    lines = [*broken, "-" * width, *cells]
    return [line.rjust(width) if column.numeric else line.ljust(width) for line in lines]


def _blocks(known: Sequence[Column]) -> Iterator[list[Column]]:
    """Columns in as many blocks as it takes for each to fit into a line, with what tells the rows apart in each."""
    wide = [len(_set(column)[0]) + 2 for column in known]
    keys = next((at for at in range(1, len(known)) if _apart(known[:at])), 1)
    block, taken = list(known[:keys]), sum(wide[:keys])
    for column, width in zip(known[keys:], wide[keys:], strict=True):
        if taken + width - 2 > WIDE and len(block) > keys:
            yield block
            block, taken = list(known[:keys]), sum(wide[:keys])
        block, taken = [*block, column], taken + width
    yield block


def _apart(some: Sequence[Column]) -> bool:
    """Whether no two rows have the same cells in these columns."""
    lines = list(zip(*(column.cells for column in some), strict=True))
    return len(set(lines)) == len(lines)


def markdown(rows: Sequence[Row], most: int | None = None) -> str:
    """Rows as a table of Markdown; at most so many of them.

    most: None: all.
    """
    known = columns(rows, most)
    ruler = ["---:" if column.numeric else "---" for column in known]
    lines = [[column.heading for column in known], ruler, *zip(*(column.cells for column in known), strict=True)]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
