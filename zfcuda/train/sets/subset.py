"""Some of the pictures of a source, with their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from zfcuda.data.pictures import Picture
from zfcuda.data.sources import Source


class Subset:
    """Some pictures of a source.

    Attributes:
        source, indices: whose, and which.
        names, labels, classes, alone: as of every source; the labels are known beforehand.
    """

    def __init__(self, source: Source, indices: Sequence[int], labels: Sequence[int], classes: list[str]) -> None:
        self.source, self.indices = source, list(indices)
        self.alone = source.alone
        self.labels, self.classes = list(labels), classes

    @property
    def names(self) -> list[str]:
        names = self.source.names
        return [names[index] for index in self.indices]

    def item(self, index: int) -> Picture | Tensor:
        return self.source.item(self.indices[index])

    def stamps(self) -> Iterator[bytes]:
        yield repr(self.indices).encode()
        yield repr(self.labels).encode()
        yield from self.source.stamps()

    def subset(self, indices: Sequence[int]) -> Subset:
        """Some of these."""
        inside, labels = ([each[index] for index in indices] for each in (self.indices, self.labels))
        return Subset(self.source, inside, labels, self.classes)
