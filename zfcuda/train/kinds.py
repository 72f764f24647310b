"""Values of options in the types that they are compared and written down in."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch


def whole(name: str, value: Any) -> int:
    """A whole number, NumPy's too.

    Raises:
        ValueError: naming the option.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name}: expected a whole number, got {value!r}") from None


def number(name: str, value: Any) -> float:
    """A number, NumPy's too.

    Raises:
        ValueError: naming the option.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name}: expected a number, got {value!r}")
    return float(value)


def text(name: str, value: Any) -> str:
    """A name or a path, of a device too.

    Raises:
        ValueError: naming the option.
    """
    if isinstance(value, torch.device):
        return str(value)
    found = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(found, str):
        raise ValueError(f"{name}: expected a name or a path, got {value!r:.100}")
    return found


def truth(name: str, value: Any) -> bool:
    """True or False.

    Raises:
        ValueError: naming the option.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name}: expected True or False, got {value!r}")
    return value


def epochs(name: str, value: Any) -> tuple[int, ...]:
    """Epochs, from 1.

    Raises:
        ValueError: naming the option.
    """
    try:
        found = tuple(whole(name, each) for each in value) if not isinstance(value, str) else (0,)
    except (TypeError, ValueError):
        found = (0,)
    if not all(each >= 1 for each in found):
        raise ValueError(f"{name}: expected epochs from 1, got {value!r}")
    return found


def checked(options: Any, kinds: Mapping[Any, Sequence[str]]) -> None:
    """Gives the fields of a frozen dataclass their types; what is None stays so. kinds: function -> names of fields.

    Raises:
        ValueError: naming the first that is of another.
    """
    for kind, names in kinds.items():
        for name in names:
            if (value := getattr(options, name)) is not None:
                object.__setattr__(options, name, kind(name, value))
