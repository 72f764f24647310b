"""Pictures that a verb writes into a folder: the folder is tried before the work, and all are written or none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from zfcuda.complaint import CommandError, one_line

if TYPE_CHECKING:
    from PIL import Image


_LONGEST = 200  # letters of a file's name, which a folder takes
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")  # what nobody calls a folder


@contextmanager
def folder(out: str) -> Iterator[Path]:
    """The folder of --out, made where it is missing; one that was made and stays empty is removed again.

    Raises:
        CommandError: it cannot be made or written to, or is called like a picture.
    """
    path = Path(out)
    if path.is_file():
        raise CommandError(f"--out {one_line(out)}: a file, not a folder")
    if path.suffix.lower() in _PICTURES and not path.exists():
        raise CommandError(f"--out {one_line(out)}: expected a folder, in which the files get their own names")
    made: list[Path] = []
    try:
        made = [each for each in (path, *path.parents) if not each.exists()]
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(13, "not allowed to write there")
    except (OSError, ValueError) as error:
        raise CommandError(f"--out {one_line(out)}: {getattr(error, 'strerror', None) or error}") from None
    try:
        yield path
    finally:
        with suppress(OSError):  # there is something in it
            for each in made:
                each.rmdir()


def distinct(names: Iterable[str]) -> list[str]:
    """What to call the files of these names, in plain letters and not too long; what is there already gets a number."""
    found: list[str] = []
    for name in names:
        plain = again = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:_LONGEST]
        number = 2
        while again in found:
            again, number = f"{plain}_{number}", number + 1
        found.append(again)
    return found


def write(pictures: Mapping[str, Image.Image], folder: Path) -> list[Path]:
    """Writes pictures by their names as PNG; returns the files, in the same order.

    Raises:
        CommandError: the disk refuses; earlier files are as before.
    """
    from zfcuda.files.drafts import whole

    files = [folder / f"{name}.png" for name in distinct(pictures)]
    try:
        with whole(*files) as drafts:
            for picture, draft in zip(pictures.values(), drafts, strict=True):
                picture.save(draft)
    except OSError as error:
        raise CommandError(f"--out {one_line(str(folder))}: {error.strerror or error}") from None
    return files
