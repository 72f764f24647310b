"""Regular files, the only ones that are read: a pipe or a device would be waited for without end."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # of two letters or more: "C:/" is a drive; Path makes one / of two


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether a path is an address of something elsewhere, such as https://host/cat.jpg or s3://bucket/w.pth."""
    return _ADDRESS.match(os.fspath(path)) is not None


def refusal(path: str | os.PathLike[str], expected: str = "file") -> str | None:
    """Why a path cannot be read as a file, in a few words; None where it can: a regular file with something in it.

    expected: what a folder is not.
    """
    file = Path(path)
    try:
        status = file.stat()
        if stat.S_ISDIR(status.st_mode):
            return f"a folder, not a {expected}"
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        with file.open("rb") as stream:
            return None if stream.read(1) else "an empty file"
    except OSError as error:
        if is_address(path):
            return "an address, not a file; download it first"
        missing = isinstance(error, FileNotFoundError)
        return "no such file" if missing else f"cannot be read ({error.strerror or error})"
    except ValueError:  # a NUL byte in the name
        return "not a valid path"
