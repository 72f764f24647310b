"""What lies in a folder of class folders: the classes, and the pictures of each with their sizes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from zfcuda.complaint import one_line
from zfcuda.data.folders import picture_endings

_FIRST = 3  # so many names are listed in a message


@dataclass(frozen=True)
class Listing:
    """Class folders.

    Attributes:
        folder: where they lie.
        classes: folder name -> names of pictures below it, sorted, from `folder` on; sizes: the same, in bytes.
        loose: the names of pictures beside the class folders.
    """

    folder: Path
    classes: dict[str, list[str]] = field(default_factory=dict)
    sizes: dict[str, list[int]] = field(default_factory=dict)
    loose: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(map(len, self.classes.values()))


def listing(folder: Path) -> Listing:
    """Lists class folders; hidden ones, and those that begin with "__", are no classes.

    Raises:
        ValueError: a folder cannot be read.
    """
    endings = tuple(picture_endings())
    result = Listing(folder)
    for entry in sorted(_entries(folder), key=lambda entry: entry.name):
        if entry.is_dir():
            found = sorted(_pictures(entry.path, entry.name, endings, ()))
            result.classes[entry.name] = [name for name, _ in found]
            result.sizes[entry.name] = [size for _, size in found]
        elif entry.name.lower().endswith(endings):
            result.loose.append(entry.name)
    return result


def folders_of(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted.

    Raises:
        ValueError: it cannot be read.
    """
    return sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def first_names(names: list[str]) -> str:
    """A few names for a message: "a, b, c, ..."."""
    return ", ".join(map(one_line, names[:_FIRST])) + (", ..." if len(names) > _FIRST else "")


def _pictures(
    place: str, name: str, endings: tuple[str, ...], above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, int]]:
    """(name, size) of all pictures below a folder; a link to a folder above is not followed."""
    status = os.stat(place)
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in _entries(place):
        inside = f"{name}/{entry.name}"
        if entry.is_dir():
            yield from _pictures(entry.path, inside, endings, (*above, here))
        elif entry.name.lower().endswith(endings):
            try:
                yield inside, entry.stat().st_size
            except OSError:  # a link to nowhere: a broken picture, like others
                yield inside, 0


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith((".", "__"))]
    except OSError as error:
        raise ValueError(f"data: {one_line(os.fspath(folder))}: cannot be read ({error.strerror or error})") from None
