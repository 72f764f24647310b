"""What a computation warns of, told to who asked for it, although others compute in other threads meanwhile."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_mine = threading.local()


@contextmanager
def heard() -> Iterator[list[str]]:
    """Within the block, the warnings of this thread, where sorted_by_thread() is in force."""
    before, _mine.said = getattr(_mine, "said", None), []
    try:
        yield _mine.said
    finally:
        _mine.said = before


@contextmanager
def sorted_by_thread() -> Iterator[None]:
    """Within the block, warnings go to who hears them in their thread; where nobody does, where they went before.

    Filters and the way that warnings are shown belong to the whole process: they are set once, before threads begin.
    """
    with warnings.catch_warnings():
        show = warnings.showwarning

        def told(message: Warning | str, category: type[Warning], *more: Any, **named: Any) -> None:
            said = getattr(_mine, "said", None)
            if said is None:
                show(message, category, *more, **named)
            elif issubclass(category, UserWarning):
                said.append(str(message))

        warnings.showwarning = told
        warnings.simplefilter("always", UserWarning)
        yield
