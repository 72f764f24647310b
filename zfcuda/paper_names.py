"""The names of the paper's figures and tables, read off their files: to list them, a command's help needs no torch."""

from __future__ import annotations

import difflib
import re
from functools import cache
from pathlib import Path

from zfcuda.declared import declared

ALL = "all"
_FOLDER = Path(__file__).parent / "paper"


@cache
def homes() -> dict[str, str]:
    """The name of each figure or table -> the module of zfcuda.paper that has it: figures, tables, then what is more.

    Raises:
        ValueError: a module's FIGURE does not begin with its name, as a word in quotes.
    """
    return dict(sorted(declared(_FOLDER, "FIGURE").items(), key=lambda each: _place(each[0])))


def chosen(words: list[str]) -> list[str]:
    """The figures that words ask for, each once, in the order of the paper; "all" is every one.

    Raises:
        ValueError: a word that none has; those that there are follow.
    """
    for word in words:
        if word != ALL and word not in homes():
            near = difflib.get_close_matches(word, homes(), n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"what: expected some of {', '.join(homes())}, or {ALL}, got {word!r}{meant}")
    return [name for name in homes() if name in words or ALL in words]


def _place(name: str) -> tuple[int, int, str]:
    """Where a name stands in the list: fig2 before fig10, tables behind figures."""
    kind, number = re.fullmatch(r"(fig|table|)(\d*).*", name).groups()  # type: ignore[union-attr]
    return (("fig", "table", "").index(kind) if number else 2, int(number or 0), name)
