"""Regular files, the only ones that are read: a pipe or a device would be waited for without end."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def refusal(path: str | os.PathLike[str]) -> str | None:
    """Why a path cannot be read as a file, in a few words; None where it can: a regular file with something in it."""
    file = Path(path)
    try:
        status = file.stat()
        if stat.S_ISDIR(status.st_mode):
            return "a folder, not a file"
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        with file.open("rb") as stream:
            return None if stream.read(1) else "an empty file"
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except ValueError:  # a NUL byte in the name
        return "not a valid path"
