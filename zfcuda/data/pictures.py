"""Reads any picture, a file, a PIL picture or an array, into 8-bit RGB, or says in one line why it cannot."""

from __future__ import annotations

import importlib
import io
import math
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from zfcuda.complaint import one_line
from zfcuda.files.regular import refusal

#: What may be given as a picture: a PIL picture, the path of a file, or an array uint8, [H,W] or [H,W,C].
Picture = Image.Image | str | os.PathLike[str] | np.ndarray
PICTURES = (Image.Image, str, os.PathLike, np.ndarray)
# File endings that Pillow may not read by itself -> what makes it read them: the package, its module and its function.
_READERS = {
    ".heic": ("pillow-heif", "pillow_heif", "register_heif_opener"),
    ".heif": ("pillow-heif", "pillow_heif", "register_heif_opener"),
    ".avif": ("pillow-avif-plugin", "pillow_avif", ""),
}


class PictureError(ValueError):
    """A file that is not a readable picture; the message is one line with the path and the reason."""


def as_picture(picture: Picture, name: str = "picture", *, at_least: int | None = None) -> Image.Image:
    """Any picture, upright, as 8-bit RGB, by the rules of :func:`read_picture`.

    Args:
        picture: a PIL picture of any mode; a path; an array uint8, grey [H,W] or [H,W,1], red, green, blue [H,W,3], or
            with transparency [H,W,4].
        name: what errors call it.
        at_least: of a file, as :func:`read_picture` takes it.

    Returns:
        A PIL picture in mode "RGB"; the given one, where it is so already.

    Raises:
        TypeError: it is none of these.
        ValueError: an array of another shape or dtype, a picture without pixels; PictureError: (a ValueError) for a
            file, as :func:`read_picture`.
    """
    if isinstance(picture, str | os.PathLike):
        return read_picture(picture, at_least=at_least)
    if isinstance(picture, np.ndarray):
        picture = _of_array(picture, name)
    if not isinstance(picture, Image.Image):
        raise TypeError(f"{name}: expected a PIL picture, a path or an array uint8 [H,W,C], got {_kind(picture)}")
    if min(picture.size) < 1:
        raise ValueError(f"{name}: expected at least one pixel, got {picture.width} x {picture.height}")
    if picture.mode == "RGB" and "transparency" not in picture.info and not _turned(picture):
        return picture  # copying millions of pixels takes a while
    return _to_rgb(_upright(picture))


def _turned(picture: Image.Image) -> bool:
    """Whether EXIF data may say that the picture lies on its side."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1) != 1
    except Exception:  # broken EXIF data says nothing about the pixels
        return False


def _of_array(array: np.ndarray, name: str) -> Image.Image:
    """uint8 [H,W] or [H,W,1], [H,W,3], [H,W,4] -> a PIL picture."""
    shape = list(array.shape)
    channels = 1 if array.ndim == 2 else shape[2] if array.ndim == 3 else 0
    if channels not in (1, 3, 4):
        hint = ""
        if array.ndim == 3 and shape[0] in (1, 3, 4):
            hint = "; array.transpose(1, 2, 0) puts the channels last"
        elif array.ndim == 4:
            hint = "; give the pictures of a batch one by one"
        raise ValueError(
            f"{name}: expected an array [H,W], or [H,W,C] of 1, 3 or 4 channels, got {array.dtype} {shape}{hint}"
        )
    if array.dtype != np.uint8:
        hint = "(255 * array).round().astype('uint8')" if array.dtype.kind == "f" else "array.astype('uint8')"
        of = "values of 0 to 1" if array.dtype.kind == "f" else "what is in 0 to 255 already"
        raise ValueError(
            f"{name}: expected an array of uint8, 0 to 255, got {array.dtype} {shape}; {hint} makes it of {of}"
        )
    if array.size == 0:
        raise ValueError(f"{name}: expected at least one pixel, got an array {shape}")
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.ndim == 3 and channels == 1 else array))


def _kind(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"a {type(value).__name__} {list(shape)} of {value.dtype}"


def read_picture(path: str | os.PathLike[str], *, at_least: int | None = None) -> Image.Image:
    """The picture in a file, upright, as 8-bit RGB.

    EXIF orientation is applied; of an animation, the first frame is taken. Transparent pixels are laid on white.
    Samples wider than 8 bits are scaled from their whole range, never clipped: 16-bit integers from 0..65535 (or from
    -32768..32767 where there are negative ones), wider ones from the 32-bit range, floats from the smallest of 0..1,
    0..255, 0..65535 that holds them (from their own minimum and maximum where none does).

    Args:
        path: a file that Pillow can decode.
        at_least: what the short side has to keep, in pixels: a larger picture may come smaller, by a whole factor. Of a
            JPEG then only that much is decoded, several times faster. None: all of it.

    Returns:
        A loaded PIL picture in mode "RGB".

    Raises:
        PictureError: (a ValueError) for a path that is missing, a folder, unreadable, empty, not a picture, or
            truncated, and for a picture of more pixels than Pillow takes for safe (``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    check_path(path)
    file = Path(path)
    # From a stream: given a name, Pillow maps an uncompressed TIFF into memory, and swaps its sides where EXIF turns it
    with _told(one_line(os.fspath(path)), file.suffix.lower()), file.open("rb") as stream:
        return _decoded(stream, at_least, Image.MAX_IMAGE_PIXELS)


def decoded_picture(data: bytes, name: str, *, most: int | None = None) -> Image.Image:
    """The picture in the bytes of a file, by the rules of :func:`read_picture`.

    Args:
        data: what the file holds.
        name: what to call it; its ending tells what may be needed to read it.
        most: pixels that it may have, which its header tells before anything is decoded; None: what Pillow takes for
            safe.

    Raises:
        PictureError: (a ValueError) as :func:`read_picture`.
    """
    with _told(one_line(name), Path(name).suffix.lower(), most):
        if not data:
            raise PictureError(f"{one_line(name)}: an empty file")
        return _decoded(io.BytesIO(data), None, min(most or math.inf, Image.MAX_IMAGE_PIXELS or math.inf))


def _decoded(stream: IO[bytes], at_least: int | None, most: float | None) -> Image.Image:
    with _quiet(), Image.open(stream, formats=_formats()) as opened:
        if opened.width * opened.height > (most or math.inf):
            raise Image.DecompressionBombError
        if at_least is None:
            return _to_rgb(_upright(opened))
        _draft(opened, at_least)
        picture = _to_rgb(_upright(opened))
        factor = min(picture.size) // at_least
        return picture.reduce(factor) if factor > 1 else picture


@contextmanager
def _told(shown: str, ending: str, most: int | None = None) -> Iterator[None]:
    """Turns what a decoder raises into a PictureError that begins with the name of the file."""
    _register_reader(ending)
    try:
        yield
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(f"{shown}: not a picture in a format that Pillow knows{_how_to_read(ending)}") from None
    except Image.DecompressionBombError:
        limit = (most or Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise PictureError(
            f"{shown}: too large, more than the {limit} million pixels that are safe to decode; make it smaller first"
        ) from None
    except MemoryError:
        raise PictureError(f"{shown}: too large for the memory of this computer") from None
    except (
        Exception
    ) as error:  # a damaged file can raise nearly anything from a decoder: SyntaxError, struct.error, ...
        raise PictureError(f"{shown}: damaged or truncated ({one_line(str(error)) or type(error).__name__})") from None


def check_path(path: str | os.PathLike[str]) -> None:
    """Refuses a path where no picture can be, without decoding what is there.

    Raises:
        PictureError: (a ValueError) for an address, and for a path that is missing, a folder, unreadable or empty.
    """
    reason = refusal(path, "picture")
    if reason is not None:
        raise PictureError(f"{one_line(os.fspath(path))}: {reason}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides what Pillow warns of: damaged metadata does not matter here, and damaged pixels raise.

    In the main thread alone: the filters are those of the whole process, and threads that change them one across the
    other leave them changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _register_reader(ending: str) -> None:
    """Lets Pillow read what it does not read by itself, where the package for that is installed."""
    if ending not in _READERS or ending in Image.registered_extensions():
        return
    _, module, function = _READERS[ending]
    try:
        plugin = importlib.import_module(module)
        if function:
            getattr(plugin, function)()
    except Exception:  # not installed, or made for another Pillow: then it is said that the file cannot be read
        return


def _how_to_read(ending: str) -> str:
    if ending not in _READERS or ending in Image.registered_extensions():
        return ""
    return f"; pip install {_READERS[ending][0]} makes it read {ending} files, or save it as JPEG or PNG"


def _formats() -> list[str]:
    """What Pillow decodes itself. PostScript is not a picture but a program, which it would have Ghostscript run."""
    Image.init()
    return [name for name in Image.OPEN if name != "EPS"]


def _draft(picture: Image.Image, at_least: int) -> None:
    """Lets a decoder that can leave out detail, JPEG's, do that."""
    short = min(picture.size)
    if short >= 2 * at_least:
        wide, high = (-(-side * at_least // short) for side in picture.size)
        picture.draft(None, (wide, high))  # type: ignore[arg-type]


def _upright(picture: Image.Image) -> Image.Image:
    picture.load()
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # broken EXIF data says nothing about the pixels
        return picture


def scaled(picture: Image.Image, factor: float) -> Image.Image:
    """A picture with sides so many times as long, to the nearest pixel and at least one, by Pillow's Lanczos filter."""
    wide, high = (max(1, round(side * factor)) for side in picture.size)
    return picture.resize((wide, high), Image.Resampling.LANCZOS)


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
