"""Numbered pictures, whatever they lie in: what a network gets of each, and what people see of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from zfcuda.complaint import one_line
from zfcuda.data.folders import folder_source, is_folder
from zfcuda.data.parts import Parts
from zfcuda.data.pictures import PICTURES, as_picture
from zfcuda.data.preprocess_facts import as_ours
from zfcuda.data.preprocessing import AnyPreprocess, as_preprocess, preprocess_of, said_of_unusable
from zfcuda.data.sources import FileSource, ItemSource, PartsSource, SomeSource, Source, TensorSource, bytes_of
from zfcuda.data.transforms import image_of, name_of

#: What `pictures=` takes.
Pictures = Any
_TAKEN = (
    "a folder, a list of paths or pictures, zfcuda.data.Parts or (Parts, count), a torch Dataset, or a Tensor [N,C,H,W]"
)
PARTS = 1200  # pictures of Parts where nobody says how many: 100 of each class


class Collection:
    """Numbered pictures.

    Attributes:
        names: what to call each: the path in the folder, the file's name, or a number.
        classes: the names of the classes by label; empty where they are unknown.
        alone: only one thread at a time gets images out of it, others wait.
        tensor: the images [N,C,H,W], where they lie in one Tensor.
        preprocess: picture -> Tensor [1,C,H,W]; None where there is none.
    """

    def __init__(self, source: Source, preprocess: AnyPreprocess | None = None) -> None:
        self._source = source
        self.names = source.names
        self.classes = source.classes
        self.alone = source.alone
        self.tensor = source.images if isinstance(source, TensorSource) else None
        self.preprocess = preprocess

    @staticmethod
    def of(pictures: Pictures, *, preprocess: Any = None, model: nn.Module | None = None) -> Collection:
        """Numbers pictures.

        Args:
            pictures: a folder, of which all pictures are taken, those of the folders in it too, sorted by path: the
                folders in it are classes, where all pictures lie in such. A list of paths, PIL pictures or arrays uint8
                [H,W,C]. Parts, or (Parts, count); without a count the first 1,200. A torch Dataset with a length, or a
                list, of images [C,H,W], of pictures, or of tuples that begin with one and a label. A Tensor [N,C,H,W]
                of images. Images are what the network takes, and are not preprocessed.
            preprocess: as :func:`zfcuda.data.preprocessing.as_preprocess` takes it; None: what the model carries.
            model: unwrapped; None: pictures are looked at alone, and no image is made of them.

        Raises:
            TypeError: pictures or preprocess is none of these, or the model carries no preprocess and one is needed.
            ValueError: the folder cannot be read, there is no picture at all, or a Tensor of another shape.
        """
        source = _source(pictures)
        if not len(source.names):
            raise ValueError("pictures: expected at least one, got none")
        if preprocess is not None:
            return Collection(source, as_preprocess(preprocess))
        own = None if model is None else preprocess_of(model)
        if own is None and model is not None and isinstance(source, FileSource | PartsSource):
            raise TypeError(
                f"preprocess: expected one, as {type(model).__name__} has no .preprocess that makes images of pictures:"
                f" give it, or set that, to a zfcuda.Preprocess with what it was trained on{said_of_unusable(model)}"
            )
        return Collection(source, own)

    def __len__(self) -> int:
        return len(self.names)

    def some(self, indices: Sequence[int]) -> Collection:
        """Some of the pictures, numbered anew in this order; names and classes are as they were."""
        return Collection(SomeSource(self._source, indices), self.preprocess)

    def __repr__(self) -> str:
        classes = f" of {len(self.classes)} classes" if self.classes else ""
        return f"Collection of {len(self):,} pictures{classes}: {self.names[0]}, ..."

    @cached_property
    def labels(self) -> list[int] | None:
        """The class of each picture; -1 for a broken one; None where they have none.

        Of a Dataset that carries no list of them (`.targets`), all items are loaded that were not yet.
        """
        return self._source.labels

    def image(self, index: int) -> Tensor:
        """What the network gets of a picture: floating [C,H,W], where the source or the preprocess put it.

        Raises:
            ValueError, TypeError: the picture cannot be read, or is none; whatever a Dataset or preprocess raises.
        """
        item = self._source.item(index)
        return self._image(item)

    def picture(self, index: int) -> Image.Image:
        """What the network sees of a picture, in RGB: cut and scaled by the preprocess, as far as that is known.

        An image that came as a Tensor is drawn by what is known of its preprocess, else from its smallest value in
        black to its largest in white.

        Raises:
            As image().
        """
        return self._shown(self._source.item(index))

    def image_and_picture(self, index: int) -> tuple[Tensor, Image.Image]:
        """Both of a picture, which is read once.

        Raises:
            As image().
        """
        item = self._source.item(index)
        item = item if isinstance(item, Tensor) else as_picture(item)
        return self._image(item), self._shown(item)

    @cached_property
    def fingerprint(self) -> str:
        """Tells other pictures, or other images of them: of files by their names, lengths and times of change.

        Of a Dataset its length, its names, and three of its items are compared.
        """
        known = hashlib.sha256()
        for stamp in self._stamps():
            known.update(len(stamp).to_bytes(8, "big"))
            known.update(stamp)
        return known.hexdigest()

    def _stamps(self) -> Iterator[bytes]:
        yield type(self._source).__name__.encode()
        yield from self._source.stamps()
        if self.preprocess is not None and not isinstance(self._source, TensorSource):
            image = image_of(self.preprocess, _test_picture(), "preprocess")
            yield f"{image.dtype} {list(image.shape)}".encode()
            yield bytes_of(image)

    def _image(self, item: Any) -> Tensor:
        if isinstance(item, Tensor):
            image = item[0] if item.dim() == 4 and len(item) == 1 else item
            if image.dim() != 3 or not image.is_floating_point() or not image.numel():
                raise ValueError(f"expected an image [C,H,W] of floating numbers, got {item.dtype} {list(item.shape)}")
            return image.detach()
        if self.preprocess is None:
            raise TypeError("preprocess: expected one that makes an image of a picture, got None")
        return image_of(self.preprocess, item, f"preprocess: {name_of(self.preprocess)}")[0]

    def _shown(self, item: Any) -> Image.Image:
        if isinstance(item, Tensor):
            return self._drawn(self._image(item))
        picture = as_picture(item)
        ours = as_ours(self.preprocess)
        if ours is not None:
            return ours.crop(picture).convert("RGB")
        return picture if self.preprocess is None else _seen(self.preprocess, picture)

    def _drawn(self, image: Tensor) -> Image.Image:
        image = image.detach().float().cpu()
        ours = self._of_tensors
        if ours is not None and len(ours.mean) == len(image):
            pixels = ours.restored(image[None])[0].float() / 255
            return _rgb(pixels.flip(0) if ours.order == "bgr" else pixels)
        low, high = (float(x) for x in torch.nan_to_num(image).aminmax())
        return _rgb((image - low) / max(high - low, 1e-12))

    @cached_property
    def _of_tensors(self) -> Any:
        """What made the images of a data set: its own transform, where that is known; else what the model carries."""
        own = getattr(getattr(self._source, "items", None), "transform", None)
        try:
            found = as_ours(as_preprocess(own)) if own is not None else None
        except (TypeError, ValueError):
            found = None
        return found or as_ours(self.preprocess)


def _source(pictures: Any) -> Source:
    if isinstance(pictures, Tensor):
        return _of_tensor(pictures)
    if isinstance(pictures, str | os.PathLike):
        if is_folder(pictures):
            return folder_source(Path(pictures))
        if not os.path.lexists(pictures):
            raise ValueError(f"pictures: {one_line(os.fspath(pictures))}: no such folder")
    if isinstance(pictures, np.ndarray) and pictures.ndim == 4:
        pictures = list(pictures)
    if isinstance(pictures, PICTURES):
        return FileSource([pictures])
    if isinstance(pictures, Parts):
        return PartsSource(pictures, PARTS)
    if isinstance(pictures, tuple) and len(pictures) == 2 and isinstance(pictures[0], Parts):
        return _of_parts(*pictures)
    if isinstance(pictures, DataLoader):
        raise TypeError("pictures: expected the data set, not batches of it: give the .dataset of the DataLoader")
    if isinstance(pictures, Sequence) and not isinstance(pictures, bytes):
        whole = all(isinstance(each, PICTURES) for each in pictures)
        return FileSource(list(pictures)) if whole else ItemSource(pictures)
    numbered = hasattr(pictures, "__getitem__") and hasattr(pictures, "__len__")
    if isinstance(pictures, IterableDataset | bytes | dict) or not numbered:
        hint = "; list(pictures) numbers them" if isinstance(pictures, Iterator | IterableDataset) else ""
        raise TypeError(f"pictures: expected {_TAKEN}, got {type(pictures).__name__}{hint}")
    return ItemSource(pictures)


def _of_tensor(images: Tensor) -> Source:
    if images.layout != torch.strided or images.is_nested or images.is_meta:
        raise TypeError("pictures: expected a dense Tensor [N,C,H,W] with numbers")
    if images.dim() != 4 or not images.numel():
        raise ValueError(f"pictures: expected images [N,C,H,W], got shape {list(images.shape)}")
    if not images.is_floating_point():
        raise TypeError(
            f"pictures: expected images of a floating dtype, as the network takes them, got {images.dtype} "
            f"{list(images.shape)}; pictures as uint8 are given as arrays [H,W,C]"
        )
    return TensorSource(images)


def _of_parts(parts: Parts, count: Any) -> Source:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"pictures: expected (Parts, count) with a count of at least 1, got {count!r}")
    return PartsSource(parts, count)


def _seen(preprocess: AnyPreprocess, picture: Image.Image) -> Image.Image:
    """A picture as it comes out of a preprocess that nothing is known of, but that it changes each pixel linearly.

    The way back is read off a black and a white picture of the same size; where there is none, it is the whole picture.
    """
    who = f"preprocess: {name_of(preprocess)}"
    colours: list[Any] = [picture, *(Image.new("RGB", picture.size, colour) for colour in ("black", "white"))]
    image, black, white = (image_of(preprocess, each, who)[0].float().cpu() for each in colours)
    if not image.shape == black.shape == white.shape:
        return picture
    span = white - black
    return _rgb(torch.where(span.abs() > 1e-12, (image - black) / span, 0.0))


def _rgb(pixels: Tensor) -> Image.Image:
    """[C,H,W] of 0 to 1 -> RGB; of other numbers of channels than three their mean in grey."""
    pixels = torch.nan_to_num(pixels).clamp(0, 1)
    pixels = pixels if len(pixels) == 3 else pixels.mean(0, keepdim=True).expand(3, -1, -1)
    return Image.fromarray((255 * pixels).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())


def _test_picture() -> Image.Image:
    """A picture with all kinds of colours, always the same, to tell one preprocess from another."""
    y, x = np.mgrid[0:301, 0:283]
    colours = np.stack([x * 255 // 282, y * 255 // 300, (x * x + 3 * y * x) % 256], axis=2)
    return Image.fromarray(colours.astype(np.uint8))
