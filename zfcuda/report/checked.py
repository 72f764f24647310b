"""Many pictures that wait for the long work: all are checked before it begins, and none waits in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from zfcuda.report.prepare import Prepared

_T = TypeVar("_T")


class Checked(Generic[_T]):
    """Pictures that can be prepared. Each is prepared to see that, and once more when its turn comes; only the first
    one, whose turn is next, is kept.

    Args:
        pictures: anything that stands for them, such as their paths.
        prepared: prepares one.

    Raises:
        Exception: what `prepared` raises of any of them.
    """

    def __init__(self, pictures: Sequence[_T], prepared: Callable[[_T], Prepared]) -> None:
        self._pictures, self._prepared = pictures, prepared
        self._first = [prepared(picture) for picture in pictures[:1]]
        for picture in pictures[1:]:
            prepared(picture)

    def __len__(self) -> int:
        return len(self._pictures)

    def __iter__(self) -> Iterator[Prepared]:
        return map(self._next, self._pictures)  # which holds none of them, unlike a generator

    def _next(self, picture: _T) -> Prepared:
        return self._first.pop() if self._first else self._prepared(picture)
