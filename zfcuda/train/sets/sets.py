"""The pictures of a run in their parts, and what tells one data set from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from zfcuda.data.sources import Source


class Labelled(Source, Protocol):
    """A :class:`zfcuda.data.sources.Source` with a label for every picture."""

    @property
    def labels(self) -> list[int]:
        """The class of each picture, 0 to len(classes) - 1."""


@dataclass(frozen=True)
class Sets:
    """The pictures of a run.

    Attributes:
        train, validation, test: each with labels into the same classes; test is None where there is none.
        classes: the names by label.
        title: one line, "clothing256: 3,068 training, 341 validation, 372 test pictures of 10 classes".
        fingerprint: hexadecimal; equal for the same names, labels and sizes of files in the same parts, wherever the
            folder lies. Of a Dataset three of its items are compared, too.
    """

    train: Labelled
    validation: Labelled
    test: Labelled | None
    classes: list[str]
    title: str
    fingerprint: str = field(repr=False)


def as_sets(name: str, parts: Sequence[Labelled | None], classes: list[str], *, note: str = "") -> Sets:
    """Sets of a training, a validation and perhaps a test part. note: what the title says at its end."""
    train, validation, test = parts
    assert train is not None and validation is not None
    titles = ("training", "validation", "test")
    counts = ", ".join(
        f"{len(part.labels):,} {title}" for title, part in zip(titles, parts, strict=True) if part is not None
    )
    title = f"{name}: {counts} pictures of {len(classes):,} classes{note}"
    return Sets(train, validation, test, classes, title, fingerprint_of(parts, classes))


def fingerprint_of(parts: Iterable[Labelled | None], classes: Iterable[str]) -> str:
    """Tells other pictures, labels and classes, by what the sources stamp; hexadecimal."""
    known = hashlib.sha256()

    def add(stamp: bytes) -> None:
        known.update(len(stamp).to_bytes(8, "big"))
        known.update(stamp)

    for name in classes:
        add(name.encode("utf-8", "surrogateescape"))
    for part in parts:
        add(b"no part" if part is None else f"part of {len(part.labels)}".encode())
        for stamp in () if part is None else part.stamps():
            add(stamp)
    return known.hexdigest()
