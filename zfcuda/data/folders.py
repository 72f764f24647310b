"""The pictures of a folder, and of the folders in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from zfcuda.complaint import one_line
from zfcuda.data.sources import FileSource

# Formats that Pillow recognises and does not decode by itself, or that are no pictures.
_NO_PICTURES = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF")
_OTHER_ENDINGS = (".avif", ".heic", ".heif")  # what a plugin of Pillow may read


def folder_source(folder: Path) -> FileSource:
    """The pictures of a folder and of all below it, sorted by path; the folders in it, where there are, are classes.

    Raises:
        ValueError: it is none, cannot be read, or holds no picture.
    """
    found = sorted(_files(folder), key=lambda path: path.relative_to(folder).parts)
    if not found:
        raise ValueError(f"pictures: {_shown(folder)}: no picture in this folder, by the endings of its files")
    inside = [path.relative_to(folder) for path in found]
    names = [path.as_posix() for path in inside]
    if not all(len(path.parts) > 1 for path in inside):
        return FileSource(found, names)
    classes = sorted({path.parts[0] for path in inside})
    number = {name: label for label, name in enumerate(classes)}
    return FileSource(found, names, [number[path.parts[0]] for path in inside], classes)


def _files(folder: Path) -> Iterator[Path]:
    def refused(error: OSError) -> None:
        place = error.filename or folder
        raise ValueError(f"pictures: {_shown(place)}: cannot be read ({error.strerror or error})") from None

    endings = picture_endings()
    met: set[tuple[int, int]] = set()
    for place, below, files in os.walk(folder, onerror=refused, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in met:  # a link to a folder above it
            below.clear()
            continue
        met.add((status.st_dev, status.st_ino))
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in endings:
                yield Path(place, name)


def picture_endings() -> set[str]:
    """The endings of files that are pictures."""
    known = Image.registered_extensions()
    return {end for end, kind in known.items() if kind in Image.OPEN and kind not in _NO_PICTURES} | {*_OTHER_ENDINGS}


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder; one with a NUL byte is none."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _shown(path: Any) -> str:
    return one_line(os.fspath(path))
