"""The pictures of a style training: those that are drawn, from a folder, and those whose style it is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zfcuda.complaint import one_line
from zfcuda.data.folders import folder_source, is_folder
from zfcuda.data.pictures import Picture, as_picture
from zfcuda.synthesis.scales import with_short_side
from zfcuda.train.sets.sets import fingerprint_of


class Photographs:
    """The pictures of a folder and of all below it: a source of pictures that all have one label.

    Raises:
        ValueError: it is no folder, cannot be read, or holds no picture.
    """

    alone = False

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        if not is_folder(folder):
            why = "no such folder" if not os.path.lexists(folder) else "not a folder"
            raise ValueError(f"pictures: {one_line(os.fspath(folder))}: {why}")
        self._source = folder_source(Path(folder))
        self.names = self._source.names
        self.labels, self.classes = [0] * len(self.names), ["pictures"]
        self.title = f"{len(self.names):,} pictures of {one_line(Path(folder).absolute().name)}"

    def item(self, index: int) -> Picture:
        return self._source.item(index)

    def stamps(self) -> Iterator[bytes]:
        for name, path in zip(self.names, self._source.pictures, strict=True):
            yield os.fsencode(name)
            try:
                yield str(os.stat(path).st_size).encode()  # type: ignore[arg-type]
            except OSError as error:
                yield type(error).__name__.encode()

    @property
    def fingerprint(self) -> str:
        """Tells other pictures, by their names and sizes, wherever the folder lies."""
        return fingerprint_of([self], self.classes)


def style_images(pictures: Sequence[Picture], short_side: int) -> list[Tensor]:
    """Style pictures as images [1,3,h,w] of 0 to 1, their short sides scaled.

    Raises:
        TypeError, ValueError: one of them cannot be read, which is named, or is long beyond all measure; there is none.
    """
    if not pictures:
        raise ValueError("styles: expected at least one picture, got none")
    found = []
    for each in pictures:
        picture = as_picture(each, "styles")
        high, wide = with_short_side((picture.height, picture.width), short_side, "styles")
        picture = picture.resize((wide, high), Image.Resampling.LANCZOS)
        found.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255)
    return found


def style_names(pictures: Sequence[Picture]) -> list[str]:
    """What to call styles: their files without folder and ending; of a picture that is no file its number."""
    return [
        Path(each).stem if isinstance(each, str | os.PathLike) else f"style {number}"
        for number, each in enumerate(pictures)
    ]
