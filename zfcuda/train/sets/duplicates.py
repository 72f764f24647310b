"""The same file in training and in the part that measures: what is measured is then what was learnt by heart."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from zfcuda.train.sets.listing import first_names

_MOST = 20_000  # files; of more nothing is said


class Files(Protocol):
    folder: Path
    names: list[str]
    sizes: list[int]


def warn_of_duplicates(parts: Mapping[str, Files], warnings: list[str]) -> None:
    """Warns of files of validation and test whose content is also in training; files of equal size alone are read."""
    if sum(len(part.names) for part in parts.values()) > _MOST:
        return
    train = _by_size(parts["train"])
    for title in ("validation", "test"):
        if title not in parts:
            continue
        part = parts[title]
        pairs = []
        for size, indices in _by_size(part).items():
            if size and size in train:
                learnt = {_digest(parts["train"], index): parts["train"].names[index] for index in train[size]}
                digests = ((part.names[index], _digest(part, index)) for index in indices)
                pairs += [f"{name} = {learnt[digest]}" for name, digest in digests if digest and digest in learnt]
        if pairs:
            what = "1 file is" if len(pairs) == 1 else f"{len(pairs):,} files are"
            warnings.append(f"data: {title}: {what} in training, too: {first_names(sorted(pairs))}")


def _by_size(part: Files) -> dict[int, list[int]]:
    result: dict[int, list[int]] = {}
    for index, size in enumerate(part.sizes):
        result.setdefault(size, []).append(index)
    return result


def _digest(part: Files, index: int) -> bytes:
    """Of a file that cannot be read nothing."""
    try:
        with open(os.path.join(part.folder, part.names[index]), "rb") as file:
            return hashlib.blake2b(file.read(), digest_size=16).digest()
    except OSError:
        return b""
