"""Pictures decoded as far as a run needs them, and kept in memory where they fit there."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
from PIL import Image

from zfcuda.data.pictures import as_picture
from zfcuda.memory.budget import limit_of
from zfcuda.train.picture_cache import PictureCache
from zfcuda.train.sets import Labelled
from zfcuda.train.sets.subset import Subset

_SAMPLED = 12  # pictures that tell how much memory all of them take
_ROOM = 1.1  # and what is reckoned with on top


class Decoded:
    """The pictures of a source of files or drawings.

    What it gives does not depend on whether a picture comes from memory.

    Attributes:
        source: whose.
        at_least: as of :func:`zfcuda.data.pictures.read_picture`.
        names, labels, classes, alone: the source's.
        kept, bytes_kept: the memory, and how much it may become; None and 0 where there is none.
    """

    def __init__(self, source: Labelled, at_least: int | None, memory: int) -> None:
        self.source, self.at_least = source, at_least
        self.names, self.labels = source.names, source.labels
        self.classes, self.alone = source.classes, source.alone
        self.kept: PictureCache | None = None
        self.bytes_kept = 0
        needed = self._bytes_needed() if memory > 0 else 0
        if 0 < needed <= memory:
            self.kept = PictureCache.of(len(self.names), needed)
            self.bytes_kept = needed if self.kept is not None else 0

    def item(self, index: int) -> Image.Image:
        found = None if self.kept is None else self.kept.get(index)
        if found is None:
            found = as_picture(self.source.item(index), at_least=self.at_least)  # type: ignore[arg-type]
            if self.kept is not None:
                self.kept.put(index, found)
        return found

    def stamps(self) -> Iterator[bytes]:
        yield from self.source.stamps()

    def _bytes_needed(self) -> int:
        """What all pictures take in memory, by a sample of them; 0 where none of it can be read."""
        count = len(self.names)
        sizes = []
        for index in range(0, count, max(1, count // _SAMPLED)):
            try:
                picture = self.item(index)
            except (ValueError, TypeError, OSError):
                continue
            sizes.append(3 * picture.width * picture.height)
        return int(_ROOM * count * sum(sizes) / len(sizes)) if sizes else 0


def decoded(source: Labelled, at_least: int | None, memory: int) -> Labelled:
    """A source of files or drawings as Decoded; a data set of the user's own, which may throw dice, as it is.

    Args:
        memory: bytes that pictures may take; they are kept where all of them fit.
    """
    return source if isinstance(source, Subset) else Decoded(source, at_least, memory)


def memory_for(share: float) -> int:
    """Bytes: a share of the memory that is free, divided among the processes that torchrun has started here."""
    beside = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return int(share * 4 * limit_of(None, torch.device("cpu"))) // max(1, int(beside) if beside.isdecimal() else 1)
