"""The file that a picture came from, so that it is known again: its name, its size, its checksum."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from zfcuda.data.pictures import Picture

_CHUNK = 2**20


@dataclass(frozen=True)
class Source:
    """A picture's file.

    Attributes:
        path: as it was given.
        bytes: how many there are in it.
        sha256: of these, as hexadecimal digits.
    """

    path: str
    bytes: int
    sha256: str


def source_of(picture: Picture) -> Source | None:
    """The file of a picture that was given by its path; None for one that a program made, or may have changed.

    Raises:
        OSError: it cannot be read.
    """
    if not isinstance(picture, str | os.PathLike):
        return None
    digest, size = hashlib.sha256(), 0
    with Path(picture).open("rb") as file:
        while part := file.read(_CHUNK):
            digest.update(part)
            size += len(part)
    return Source(os.fspath(picture), size, digest.hexdigest())
