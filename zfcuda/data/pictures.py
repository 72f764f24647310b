"""Reads any picture file into 8-bit RGB, or says in one line why it cannot."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from zfcuda.complaint import one_line


class PictureError(ValueError):
    """A file that is not a readable picture; the message is one line with the path and the reason."""


def read_picture(path: str | os.PathLike[str]) -> Image.Image:
    """The picture in a file, upright, as 8-bit RGB.

    EXIF orientation is applied; of an animation, the first frame is taken. Transparent pixels are laid on white.
    Samples wider than 8 bits are scaled from their whole range, never clipped: 16-bit integers from 0..65535 (or from
    -32768..32767 where there are negative ones), wider ones from the 32-bit range, floats from the smallest of 0..1,
    0..255, 0..65535 that holds them (from their own minimum and maximum where none does).

    Args:
        path: a file that Pillow can decode.

    Returns:
        A loaded PIL picture in mode "RGB".

    Raises:
        PictureError: (a ValueError) for a path that is missing, a folder, unreadable, empty, not a picture, or
            truncated, and for a picture of more pixels than Pillow takes for safe (``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    file = Path(path)
    shown = one_line(str(file))
    _check_file(file, shown)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata does not matter here; damaged pixels raise
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # From a stream: given a name, Pillow maps an uncompressed TIFF into memory, and swaps its sides where EXIF
            # turns it.
            with file.open("rb") as stream, Image.open(stream, formats=_formats()) as opened:
                return _to_rgb(_upright(opened))
    except UnidentifiedImageError:
        raise PictureError(f"{shown}: not a picture in a format that Pillow knows") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise PictureError(
            f"{shown}: too large, more than the {limit} million pixels that are safe to decode; make it smaller first"
        ) from None
    except MemoryError:
        raise PictureError(f"{shown}: too large for the memory of this computer") from None
    except (
        Exception
    ) as error:  # a damaged file can raise nearly anything from a decoder: SyntaxError, struct.error, ...
        raise PictureError(f"{shown}: damaged or truncated ({one_line(str(error)) or type(error).__name__})") from None


def _check_file(file: Path, shown: str) -> None:
    try:
        if file.is_dir():
            raise PictureError(f"{shown}: a folder, not a picture")
        if not file.exists():
            raise PictureError(f"{shown}: no such file")
        if not file.is_file():  # a pipe would block for ever
            raise PictureError(f"{shown}: not a regular file")
        with file.open("rb") as stream:
            if not stream.read(1):
                raise PictureError(f"{shown}: an empty file")
    except OSError as error:
        raise PictureError(f"{shown}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"{shown}: not a valid path") from None  # a NUL byte in the name


def _formats() -> list[str]:
    """What Pillow decodes itself. PostScript is not a picture but a program, which it would have Ghostscript run."""
    Image.init()
    return [name for name in Image.OPEN if name != "EPS"]


def _upright(picture: Image.Image) -> Image.Image:
    picture.load()
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # broken EXIF data says nothing about the pixels
        return picture


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(picture))).convert("RGB")
    if picture.mode in ("RGBa", "La"):
        picture = picture.convert("RGBA" if picture.mode == "RGBa" else "LA")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


def _eight_bits(samples: np.ndarray) -> np.ndarray:
    """[H,W] of any number type -> uint8, scaled from the range of the type."""
    values = samples.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("it holds samples that are not finite")
    if samples.dtype.kind == "f":
        top = next((top for top in (1.0, 255.0, 65535.0) if high <= top), None)
        bottom, top = (0.0, top) if low >= 0 and top is not None else (low, max(high, low + 1e-12))
    elif low < 0:
        bottom, top = (-32768.0, 32767.0) if low >= -32768 and high <= 32767 else (-(2.0**31), 2.0**31 - 1)
    else:
        bottom, top = 0.0, 65535.0 if high <= 65535 else 2.0**31 - 1  # 16-bit files also arrive as 32-bit samples
    return np.rint((values - bottom) * (255.0 / (top - bottom))).astype(np.uint8)
