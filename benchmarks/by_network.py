"""One row per network: what benchmarks that measure several of them, in float32 alone, have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.failures import Failures
from benchmarks.measure import full_float32

Row = dict[str, Any]


def rows(
    titles: Mapping[str, str],
    networks: Sequence[str] | None,
    measure: Callable[[str], Row],
    describe: Callable[[Row], str],
) -> Iterator[Row]:
    """Measures the networks that are asked for, all where none is named; each row comes as soon as it is there.

    titles: of all networks, by name. describe: a row for people, which is printed.

    Raises:
        Exception: the first failure, after all others have been measured.
    """
    failures = Failures()
    for name, title in titles.items():
        if networks is None or name in networks:
            row = None
            with failures.noted(title), full_float32():
                row = measure(name)
            if row is not None:
                print(describe(row), flush=True)
                yield row
    failures.end()
