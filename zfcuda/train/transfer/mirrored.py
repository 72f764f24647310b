"""The mirror images of pictures."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import ImageOps
from torch import Tensor

from zfcuda.data.pictures import Picture, as_picture
from zfcuda.data.sources import Source


class Mirrored:
    """The pictures of another source, left and right exchanged."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.classes, self.alone = source.classes, source.alone

    @property
    def names(self) -> list[str]:
        return self.source.names

    @property
    def labels(self) -> list[int] | None:
        return self.source.labels

    def item(self, index: int) -> Picture | Tensor:
        item = self.source.item(index)
        return item.flip(-1) if isinstance(item, Tensor) else ImageOps.mirror(as_picture(item))

    def stamps(self) -> Iterator[bytes]:
        yield b"mirrored"
        yield from self.source.stamps()
