"""Goes on past what fails, so that one wrong result does not cost the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Failures:
    """Collects the failures of several measurements.

    failures = Failures()
    for case in cases:
        with failures.noted(case.name):
            ...
    failures.end()
    """

    def __init__(self) -> None:
        self._first: Exception | None = None

    @contextmanager
    def noted(self, what: str) -> Iterator[None]:
        """Says that the block failed, and goes on."""
        try:
            yield
        except Exception as error:  # of torch, a kernel or a compiler
            said = (str(error).strip() or "-").splitlines()[0]
            print(f"FAILED: {what}: {type(error).__name__}: {said}", flush=True)
            self._first = self._first or error

    def end(self) -> None:
        """Raises the first failure, if there was one."""
        if self._first is not None:
            raise self._first
