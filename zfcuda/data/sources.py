"""What numbered pictures may lie in: files, a list, Parts, a data set of torch's, a tensor."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset

from zfcuda.data.dataset import PartsDataset
from zfcuda.data.parts import Parts, PartsPicture
from zfcuda.data.pictures import PICTURES, Picture


class Source(Protocol):
    """Numbered pictures.

    Attributes:
        classes: the names of the classes by label; empty where they are unknown.
        alone: only one thread at a time may ask for an item.
    """

    classes: list[str]
    alone: bool

    @property
    def names(self) -> list[str]:
        """What to call each picture."""

    @property
    def labels(self) -> list[int] | None:
        """The class of each picture; -1 for one that is broken, None where there are no classes."""

    def item(self, index: int) -> Picture | Tensor:
        """A picture, or the network's image of it, [C,H,W]."""

    def stamps(self) -> Iterator[bytes]:
        """What changes where a picture does, as far as that is known without reading all of them."""


class FileSource:
    """Paths and pictures in memory.

    Args:
        pictures: paths, PIL pictures, or arrays uint8 [H,W,C].
        names: None: the file's name, or the path where several share that; of a picture in memory its number.
    """

    alone = False

    def __init__(
        self,
        pictures: Sequence[Picture],
        names: list[str] | None = None,
        labels: list[int] | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        self.pictures = pictures
        self.names = _short_names(pictures) if names is None else names
        self.labels = labels
        self.classes = list(classes)

    def item(self, index: int) -> Picture:
        return self.pictures[index]

    def stamps(self) -> Iterator[bytes]:
        for picture, name in zip(self.pictures, self.names, strict=True):
            yield os.fsencode(name)
            if isinstance(picture, str | os.PathLike):
                try:
                    status = os.stat(picture)
                    yield f"{status.st_size} {status.st_mtime_ns}".encode()
                except (OSError, ValueError) as error:
                    yield type(error).__name__.encode()
            else:
                pixels = np.asarray(picture)
                yield f"{pixels.shape} {pixels.dtype}".encode()
                yield pixels.tobytes()


class SomeSource:
    """Some pictures of a source, which keep their names and classes.

    Args:
        source: all of them.
        indices: which, in the order that they get.
    """

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self.source, self.indices = source, list(indices)
        self.classes, self.alone = source.classes, source.alone

    @property
    def names(self) -> list[str]:
        names = self.source.names
        return [names[index] for index in self.indices]

    @cached_property
    def labels(self) -> list[int] | None:
        labels = self.source.labels
        return None if labels is None else [labels[index] for index in self.indices]

    def item(self, index: int) -> Picture | Tensor:
        return self.source.item(self.indices[index])

    def stamps(self) -> Iterator[bytes]:
        yield repr(self.indices).encode()
        yield from self.source.stamps()


#: Where a picture's .info has the bounding box of what defines its class.
PART = "part"


class PartsSource:
    """The first pictures of Parts."""

    alone = False

    def __init__(self, parts: Parts, count: int) -> None:
        self.parts, self.count = parts, count
        self.classes = list(parts.classes)

    @property
    def names(self) -> list[str]:
        return [f"parts {self.parts.seed}/{index}" for index in range(self.count)]

    @cached_property
    def labels(self) -> list[int]:
        return [self.parts.label(index) for index in range(self.count)]

    def item(self, index: int) -> Picture:
        """The picture, with the bounding box of its defining part in .info: top, left, bottom, right (exclusive)."""
        drawn = self.parts[index]
        rows, columns = (np.flatnonzero(drawn.part_mask.any(axis=axis)) for axis in (1, 0))
        if len(rows):
            drawn.image.info[PART] = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        return drawn.image

    def stamps(self) -> Iterator[bytes]:
        yield repr((self.parts, self.count)).encode()
        yield self.item(0).tobytes()  # type: ignore[union-attr]


class TensorSource:
    """Images as the network takes them, [N,C,H,W]."""

    alone = False
    labels = None

    def __init__(self, images: Tensor) -> None:
        self.images = images.detach()
        self.classes: list[str] = []

    @property
    def names(self) -> list[str]:
        return [f"image {index}" for index in range(len(self.images))]

    def item(self, index: int) -> Tensor:
        return self.images[index]

    def stamps(self) -> Iterator[bytes]:
        yield f"{self.images.dtype} {list(self.images.shape)}".encode()
        for image in self.images:
            yield bytes_of(image)


class ItemSource:
    """A map-style data set of torch's, or anything else with numbered items.

    Its items are images [C,H,W], pictures, or tuples that begin with one and a label; of PartsPicture the picture and
    the label are taken, of a dict "image" and "label".
    """

    alone = True  # nobody promises that a data set can be asked by several threads

    def __init__(self, items: Any) -> None:
        self.items = items
        self.count = len(items)
        self.classes = _classes(items)
        self._lock = Lock()
        self._labels: dict[int, int] = {}

    def __reduce__(self) -> Any:
        return type(self), (self.items,)  # a lock stays where it is

    @property
    def names(self) -> list[str]:
        known = _known(self.items, ("samples", "imgs"))
        if known is not None and all(isinstance(each, tuple | list) and isinstance(each[0], str) for each in known):
            return _short_names([each[0] for each in known])
        return [f"item {index}" for index in range(self.count)]

    @property
    def labels(self) -> list[int] | None:
        if isinstance(self.items, PartsDataset):
            return [self.items.parts.label(index) for index in range(self.count)]
        known = None if _relabels(self.items) else _known(self.items, ("targets", "labels"))
        if known is not None and all(_is_label(each) for each in known):
            return [int(each) for each in known]
        found = []
        for index in range(self.count):
            if index not in self._labels:
                try:
                    self.item(index)
                except Exception:  # a broken picture, which is named where it is needed
                    found.append(-1)
                    continue
            if index not in self._labels:  # it has none
                return None
            found.append(self._labels[index])
        return found

    def item(self, index: int) -> Picture | Tensor:
        with self._lock:
            value = self.items[index]
        label: Any = None
        if isinstance(value, PartsPicture):
            label, value = value.label, value.image
        elif isinstance(value, tuple | list) and value:
            value, label = value[0], value[1] if len(value) > 1 else None
        elif isinstance(value, Mapping):
            value, label = (_first(value, names) for names in (("image", "img", "pixel_values"), ("label", "labels")))
        if _is_label(label):
            self._labels[index] = int(label)
        if not isinstance(value, (Tensor, *PICTURES)):
            raise TypeError(f"expected an image [C,H,W] or a picture, got {type(value).__name__}")
        return value

    def stamps(self) -> Iterator[bytes]:
        yield f"{type(self.items).__qualname__} {self.count}".encode()
        yield "\n".join(self.names).encode("utf-8", "surrogateescape")
        for index in sorted({0, self.count // 2, self.count - 1}):
            try:
                value = self.item(index)
            except Exception as error:
                yield type(error).__name__.encode()
            else:
                yield bytes_of(value) if isinstance(value, Tensor) else np.asarray(_opened(value)).tobytes()


def bytes_of(image: Tensor) -> bytes:
    """The numbers of a tensor of any dtype."""
    plain = image.detach().cpu().contiguous()
    return plain.flatten().view(torch.uint8).numpy().tobytes() if plain.numel() else b""


def _opened(picture: Picture) -> Any:
    if isinstance(picture, str | os.PathLike):
        return np.frombuffer(Path(picture).read_bytes(), np.uint8)
    return picture


def _short_names(pictures: Sequence[Picture]) -> list[str]:
    paths = [os.fspath(picture) if isinstance(picture, str | os.PathLike) else None for picture in pictures]
    short = [None if path is None else os.path.basename(path) for path in paths]
    often = Counter(short)
    return [
        f"picture {index}" if path is None or name is None else name if often[name] == 1 else path
        for index, (path, name) in enumerate(zip(paths, short, strict=True))
    ]


def _known(items: Any, places: Iterable[str]) -> Sequence[Any] | None:
    """A list with something for each item that a data set carries, as torchvision's do; of a Subset its part."""
    if isinstance(items, Subset):
        known = _known(items.dataset, places)
        return None if known is None else [known[index] for index in items.indices]
    for place in places:
        value = getattr(items, place, None)
        if isinstance(value, Tensor | np.ndarray) and value.ndim == 1:
            value = value.tolist()
        if isinstance(value, list | tuple) and len(value) == len(items):
            return value
    return None


def _relabels(items: Any) -> bool:
    """Whether the labels of the items are not those of the list that the data set carries."""
    while isinstance(items, Subset):
        items = items.dataset
    return getattr(items, "target_transform", None) is not None


def _classes(items: Any) -> list[str]:
    while isinstance(items, Subset):
        items = items.dataset
    value = items.parts.classes if isinstance(items, PartsDataset) else getattr(items, "classes", None)
    return list(value) if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value) else []


def _first(value: Mapping[Any, Any], names: Iterable[str]) -> Any:
    return next((value[name] for name in names if name in value), None)


def _is_label(value: Any) -> bool:
    if isinstance(value, Tensor | np.ndarray):
        whole = not value.is_floating_point() if isinstance(value, Tensor) else value.dtype.kind in "iu"
        return value.ndim == 0 and whole
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
