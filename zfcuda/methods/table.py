"""The methods by name: each module of this folder that has a METHOD brings one."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from zfcuda.methods.method import Method


def _found() -> dict[str, Method]:
    names = sorted(module.name for module in iter_modules([str(Path(__file__).parent)]))
    modules = (import_module(f"{__package__}.{name}") for name in names if name not in ("method", "table"))
    found = sorted((module.METHOD for module in modules), key=lambda each: each.name)
    return {each.name: each for each in found}


#: Every method, by name, in alphabetical order.
METHODS: dict[str, Method] = _found()


def method(name: str) -> Method:
    """The method of that name.

    Raises:
        ValueError: there is none; those that there are follow.
    """
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(str(name), METHODS, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {name!r}{meant}")
