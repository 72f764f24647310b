"""The paper's figures and tables, read off their files: to list them and their options, a command needs no torch."""

from __future__ import annotations

import ast
import difflib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from zfcuda.declared import Declaration, declarations

ALL = "all"
_FOLDER = Path(__file__).parent / "paper"


@dataclass(frozen=True)
class Option:
    """An option of ``zfcuda paper`` that a figure brings.

    Attributes:
        name: "seeds" is --seeds; words are joined by "_".
        default: its type is the option's: a number, a word ("" for none), or False for one without a value.
        metavar: what stands for the value in the help; not used for one without a value.
        help: a line.
    """

    name: str
    default: int | float | str
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """What the command line calls it."""
        return f"--{self.name.replace('_', '-')}"


@cache
def homes() -> dict[str, str]:
    """The name of each figure or table -> the module of zfcuda.paper that has it: figures, tables, then what is more.

    Raises:
        ValueError: a module's FIGURE does not begin with its name, as a word in quotes.
    """
    return {name: each.path.stem for name, each in _found().items()}


@cache
def titles() -> dict[str, str]:
    """The heading of each, by its name, in the same order."""
    return {name: each.text("title") for name, each in _found().items()}


@cache
def options() -> dict[str, tuple[Option, ...]]:
    """The options that each brings, by its name; those that bring none are left out.

    Raises:
        ValueError: options= of a FIGURE is not a list of Option with values that stand there as they are.
    """
    found = {name: _options(each) for name, each in _found().items()}
    return {name: each for name, each in found.items() if each}


def chosen(words: list[str]) -> list[str]:
    """The figures that words ask for, each once, in the order of the paper; "all" is every one.

    Raises:
        ValueError: a word that none has; those that there are follow.
    """
    for word in words:
        if word != ALL and word not in homes():
            near = difflib.get_close_matches(word, [*homes(), ALL], n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"what: expected some of {', '.join(homes())}, or {ALL}, got {word!r}{meant}")
    return [name for name in homes() if name in words or ALL in words]


@cache
def _found() -> dict[str, Declaration]:
    return dict(sorted(declarations(_FOLDER, "FIGURE").items(), key=lambda each: _place(each[0])))


def _options(declaration: Declaration) -> tuple[Option, ...]:
    listed = declaration.value("options")
    if listed is None:
        return ()
    try:
        calls = listed.elts  # type: ignore[attr-defined]
        return tuple(
            Option(
                *map(ast.literal_eval, call.args), **{each.arg: ast.literal_eval(each.value) for each in call.keywords}
            )
            for call in calls
        )
    except (AttributeError, TypeError, ValueError):
        expected = "options: expected (Option(...), ...) with values that stand there as they are"
        raise ValueError(f"{declaration.path}: {expected}, got {ast.unparse(listed)}") from None


def _place(name: str) -> tuple[int, int, str]:
    """Where a name stands in the list: fig2 before fig10, tables behind figures."""
    kind, number = re.fullmatch(r"(fig|table|)(\d*).*", name).groups()  # type: ignore[union-attr]
    return (("fig", "table", "").index(kind) if number else 2, int(number or 0), name)
