"""What a recipe is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """A way to train: a value for every option that nobody chose.

    Attributes:
        name: what ``--recipe`` takes.
        title: what it is, in a line.
        defaults: option of :class:`zfcuda.train.Options` -> value.
    """

    name: str
    title: str
    defaults: Mapping[str, Any]
