"""The names of the methods in zfcuda/methods/, read off its files: to list them, a command's help needs no torch."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from zfcuda.declared import declared

ALL = "all"
_FOLDER = Path(__file__).parent / "methods"


@cache
def homes() -> dict[str, str]:
    """The name of each method -> the module of zfcuda.methods that has it, in alphabetical order of the names.

    Raises:
        ValueError: a module's METHOD does not begin with its name, as a word in quotes.
    """
    return dict(sorted(declared(_FOLDER, "METHOD").items()))


def known(name: str, argument: str = "method") -> str:
    """The name, where there is a method of that name.

    Args:
        argument: what the error says the name was given as.

    Raises:
        ValueError: there is none; those that there are follow.
    """
    if name in homes():
        return name
    near = difflib.get_close_matches(str(name), homes(), n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{argument}: expected one of {', '.join(homes())}, got {name!r}{meant}")


def chosen(names: Sequence[str] | str | None, argument: str = "methods") -> tuple[str, ...]:
    """The names of methods that somebody asks for, each once, in the order given.

    Args:
        names: in a sequence, or in a string between commas; "all" is every one; None: none.
        argument: what an error says they were given as.

    Raises:
        TypeError: these are no names.
        ValueError: a name that no method has.
    """
    if names is None:
        return ()
    words = names.split(",") if isinstance(names, str) else names
    if not isinstance(words, Sequence) or not words or not all(isinstance(word, str) for word in words):
        raise TypeError(f"{argument}: expected names of methods or {ALL!r}, got {names!r:.200}")
    found: dict[str, None] = {}
    for word in (word.strip() for word in words):
        found |= dict.fromkeys(homes() if word == ALL else [known(word, argument)])
    return tuple(found)
