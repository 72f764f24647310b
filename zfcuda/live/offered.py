"""Pictures that the owner of the server offers to every visitor."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

from zfcuda.data.folders import folder_source
from zfcuda.data.pictures import PictureError, decoded_picture
from zfcuda.files.regular import refusal
from zfcuda.live.limits import Limits
from zfcuda.live.visitors import Kept

_MOST = 1000  # pictures of a folder


def of_folder(folder: str | os.PathLike[str], limits: Limits) -> dict[str, Kept]:
    """The first pictures of a folder, by the identity that the page asks for them by; what that is of, nobody tells.

    Args:
        folder: or one picture.

    Raises:
        ValueError: it cannot be read, is no picture, or holds none.
    """
    if os.path.isfile(folder):
        identity, kept = _of_file(Path(folder), Path(folder).name, limits)
        kept.read()  # what is no picture is told at once
        return {identity: kept}
    source = folder_source(Path(folder))
    paths, names = [Path(str(path)) for path in source.pictures[:_MOST]], source.names[:_MOST]
    return dict(_of_file(path, name, limits) for path, name in zip(paths, names, strict=True))


def of_makers(makers: Mapping[str, Callable[[], Image.Image]], network: str | None = None) -> dict[str, Kept]:
    """Pictures that are made when somebody looks at them, by their names, and the network that knows such pictures."""
    return dict(_kept(name, name, make, network) for name, make in makers.items())


def _of_file(path: Path, name: str, limits: Limits) -> tuple[str, Kept]:
    try:
        status = os.stat(path)
        content = f"{path} {status.st_size} {status.st_mtime_ns}"
    except OSError:  # it is told when somebody looks at it
        content = f"{path}"

    def read() -> Image.Image:
        reason = refusal(path, "picture")
        if reason is not None:
            raise PictureError(f"{name}: {reason}")
        if os.path.getsize(path) > limits.kept:
            raise PictureError(f"{name}: larger than the {limits.kept >> 20} MB that are read")
        return decoded_picture(path.read_bytes(), name)

    return _kept(name, content, read)


def _kept(name: str, content: str, read: Callable[[], Image.Image], network: str | None = None) -> tuple[str, Kept]:
    digest = hashlib.sha256(f"offered {content}".encode("utf-8", "surrogateescape")).hexdigest()
    return digest[:32], Kept(digest[:32], digest, name, 0, 0, read, network=network)
