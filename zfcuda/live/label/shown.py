"""What a labeller sees: pixels alone, in a file that is made anew, so that no name and no note tells what it is."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache

from PIL import Image

from zfcuda.data.collection import Collection

_LARGEST = 1600  # pixels of a side that a browser gets
_QUALITY = 92
_KEPT = 64  # pictures in memory: those that the labellers see now, and the next ones

#: Bytes, and their media type.
File = tuple[bytes, str]


def shown_by(pictures: Collection, view: str, largest: int = _LARGEST) -> Callable[[int], File]:
    """Gives the picture of a number as a file; the newest ones are kept in memory.

    Args:
        view: "network", cut and scaled as the network sees it, lossless; "whole", as it is, as JPEG.
        largest: what the longer side has at most, in pixels.

    Raises:
        ValueError, TypeError: (when called) the picture cannot be read.
    """

    @lru_cache(_KEPT)
    def shown(index: int) -> File:
        whole = pictures.whole(index) if view == "whole" else None
        return encoded(pictures.picture(index) if whole is None else whole, lossless=view == "network", largest=largest)

    return shown


def encoded(picture: Image.Image, *, lossless: bool, largest: int) -> File:
    """Pixels as a file, and nothing else: no EXIF data, no comment, no profile."""
    bare = Image.frombytes("RGB", picture.size, picture.convert("RGB").tobytes())
    if max(bare.size) > largest:
        bare.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if lossless:
        bare.save(buffer, "PNG")
        return buffer.getvalue(), "image/png"
    bare.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue(), "image/jpeg"
