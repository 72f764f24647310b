"""Where a file can be written, told before the work that fills it."""

from __future__ import annotations

import os
from pathlib import Path

from zfcuda.complaint import one_line


def checked_place(path: str | os.PathLike[str], ending: str, name: str = "path") -> Path:
    """The path of a file that will be written.

    Args:
        ending: what its name has to end in, with the point.
        name: what errors call it.

    Raises:
        ValueError: the name ends in something else, or there is no such folder.
    """
    file = Path(path)
    if file.suffix.lower() != ending:
        raise ValueError(f"{name}: expected a name that ends in {ending}, got {one_line(file.name)!r}")
    if not file.parent.is_dir():
        shown, folder = (one_line(os.fspath(each)) for each in (path, file.parent))
        raise ValueError(f"{name}: {shown}: there is no folder {folder}")
    return file
