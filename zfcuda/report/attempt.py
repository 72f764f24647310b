"""One part of the page that may fail without taking the rest along."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from zfcuda.complaint import out_of_memory, own, reason

_T = TypeVar("_T")
# How errors begin: the reader of the page passed no argument, and sees of which layer it is said.
_BEGINNING = re.compile(r"(?:layer|model|image|input_size): (?:'\S*' cannot be projected, because )?")


def attempted(work: Callable[[], _T]) -> tuple[_T | None, str]:
    """Does a part of the work: (its result, ""), or (None, why there is none, in words for the page).

    Raises:
        MemoryError, torch.OutOfMemoryError: the memory does not suffice, which is no property of the network.
    """
    try:
        return work(), ""
    except Exception as error:
        if out_of_memory(error):
            raise
        said = " ".join(str(error).split()) if own(error) else reason(error)
        return None, _BEGINNING.sub("", said, count=1) or type(error).__name__
