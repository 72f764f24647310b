"""The making of an image as an animation: GIF, APNG or WebP, by Pillow."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, features
from torch import Tensor

from zfcuda.complaint import one_line, reason
from zfcuda.files.drafts import whole

_FORMATS = {".gif": "GIF", ".png": "PNG", ".apng": "PNG", ".webp": "WEBP"}
_FRAMES = 40
_SHOWN, _LAST = 80, 2000  # milliseconds of a frame, and of the last one


class Animation:
    """Frames of a run, written to one file when it is over.

    It is what :func:`zfcuda.synthesis.optimise` takes as `after`; what makes images another way adds pictures.

    Args:
        file: where it is written to, with the suffix .gif, .png, .apng or .webp.
        steps: of the run; about 40 of them are frames, more at the start, where more changes.
        picture: images [N,C,H,W] -> the picture that shows them; None: frames are added as pictures only.

    Raises:
        TypeError, ValueError: file is no path, or has another suffix; its folder is not there, or may not be written
            to. That is before the work.
    """

    def __init__(self, file: Any, *, steps: int = 0, picture: Callable[[Tensor], Image.Image] | None = None) -> None:
        try:
            self.file = Path(file)
        except TypeError:
            raise TypeError(f"animation: expected the path of a file, got {file!r}") from None
        kind = _FORMATS.get(self.file.suffix.lower())
        if kind is None:
            raise ValueError(f"animation: expected a file .gif, .png, .apng or .webp, got {str(file)!r}")
        if kind == "WEBP" and not features.check("webp"):
            raise ValueError(f"animation: this Pillow writes no WebP; .gif and .png it does, got {str(file)!r}")
        try:
            folder = self.file.parent
            is_open = not self.file.is_dir() and folder.is_dir() and os.access(folder, os.W_OK)
        except (OSError, ValueError):  # a name that is too long, or none
            is_open = False
        if not is_open or "\0" in str(file):
            raise ValueError(f"animation: cannot be written to, got {str(file)!r}")
        self._format, self._picture = kind, picture
        self._frames: list[Image.Image] = []
        self._steps = frame_steps(steps)

    def __call__(self, step: int, images: Tensor, said: Tensor | None = None) -> bool:
        """Takes a frame where it is the turn of the step; never ends the run."""
        if step in self._steps:
            self.take(images)
        return False

    def take(self, images: Tensor) -> None:
        """Takes images [N,C,H,W] as a frame."""
        assert self._picture is not None, "frames are added as pictures"
        self.add(self._picture(images))

    def add(self, picture: Image.Image) -> None:
        """Takes a picture as a frame."""
        self._frames.append(picture.convert("RGB"))

    def written(self, last: Tensor | Image.Image) -> str:
        """Writes the file, as :meth:`write` does; where that fails, why, in words: what was made is not to be lost."""
        try:
            self.write(last)
        except (
            OSError,
            ValueError,
            struct.error,
        ) as error:  # a full disk, or sides that a format lacks
            said = getattr(error, "strerror", None) or reason(error)
            return f"animation: {one_line(str(self.file))}: cannot be written ({said})"
        return ""

    def write(self, last: Tensor | Image.Image | None = None) -> Path | None:
        """Writes the file, whole or not at all; None where there is no frame.

        Args:
            last: what came of the run, as a frame that stays for two seconds.

        Raises:
            OSError: the disk refuses; an earlier file is as before.
        """
        if isinstance(last, Tensor):
            self.take(last)
        elif last is not None:
            self.add(last)
        if not self._frames:
            return None
        size = self._frames[-1].size  # octaves grow
        frames = [f if f.size == size else f.resize(size, Image.Resampling.BICUBIC) for f in self._frames]
        for i in range(1, len(frames)):  # Pillow would leave out a frame that is as the one before, and its time
            if i == len(frames) - 1 and frames[i].tobytes() == frames[i - 1].tobytes():
                del frames[i]
        durations = [_SHOWN] * (len(frames) - 1) + [_LAST]
        settings: dict[str, Any] = {"quality": 90} if self._format == "WEBP" else {}
        with whole(self.file) as (draft,):
            frames[0].save(
                draft,
                format=self._format,
                save_all=True,
                append_images=frames[1:],
                duration=durations,
                loop=0,
                **settings,
            )
        return self.file


def frame_steps(steps: int, frames: int = _FRAMES) -> frozenset[int]:
    """The steps, from 0, that are frames: at most so many, the closer the earlier."""
    last = max(steps - 1, 0)
    return frozenset(round(last * (i / max(frames - 1, 1)) ** 2) for i in range(frames))
