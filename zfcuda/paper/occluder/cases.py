"""The pictures of Figure 7, and of which class each is."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zfcuda.class_names import as_compared
from zfcuda.features.loading import load, placed
from zfcuda.network import evaluating
from zfcuda.occlusion.output import scores_of
from zfcuda.paper.gallery import Gallery


@dataclass(frozen=True)
class Case:
    """A picture, and the class whose probability is followed.

    Attributes:
        gallery: where it is. index: its number there.
        target: the class.
        known: whether that is the class it is known to be of; else it is the network's answer.
    """

    gallery: Gallery
    index: int
    target: int
    known: bool

    @property
    def name(self) -> str:
        """What to call the picture."""
        return f"picture {self.index}" if self.gallery.parts else self.gallery.pictures.names[self.index]


def class_name(gallery: Gallery, label: int) -> str:
    """A class in words."""
    return str(gallery.classes[label]) if label < len(gallery.classes) else f"class {label}"


def chosen(gallery: Gallery, count: int, *, seed: int = 0) -> list[Case]:
    """So many pictures at random that the network answers rightly, of all classes.

    Where no picture's class is one of the network's, any pictures, with the network's answers. There may be fewer.
    """
    order = gallery.sample(len(gallery), seed=seed)
    random.Random(seed).shuffle(order)
    labelled = [index for index in order if gallery.label(index) is not None]
    return list(islice(_right(gallery, labelled) if labelled else _any(gallery, order), count))


def given(gallery: Gallery, pictures: Sequence[Any]) -> list[Case]:
    """Pictures that somebody names: numbers of those in the gallery, or pictures of his own.

    The class of a file is that of the folder it lies in, where the network has one of this name, and else what the
    network answers.

    pictures: numbers; or paths, PIL pictures or arrays uint8 [H,W,C].

    Raises:
        TypeError, ValueError: a number out of range, or something that is no picture.
    """
    numbers = [isinstance(each, int) for each in pictures]
    if any(numbers) and not all(numbers):
        raise ValueError(f"shown: expected numbers of pictures, or pictures, got both: {list(pictures)}"[:300])
    if all(numbers):
        outside = [each for each in pictures if not 0 <= each < len(gallery)]
        if outside:
            raise ValueError(f"shown: expected numbers from 0 to {len(gallery) - 1}, got {outside[0]}")
        labels = [gallery.label(index) for index in pictures]
    else:
        gallery = Gallery(gallery.model, list(pictures), preprocess=gallery.pictures.preprocess)
        labels = [_of_folder(gallery, each) for each in pictures]
        pictures = range(len(pictures))
    return [
        Case(gallery, index, answer_of(gallery, gallery.image(index)) if label is None else label, label is not None)
        for index, label in zip(pictures, labels, strict=True)
    ]


def _right(gallery: Gallery, order: Sequence[int]) -> Iterator[Case]:
    for case in _any(gallery, order):
        if case.target == gallery.label(case.index):
            yield Case(gallery, case.index, case.target, True)


def _any(gallery: Gallery, order: Sequence[int]) -> Iterator[Case]:
    for index in order:
        image = load(gallery.pictures, index)
        if isinstance(image, Tensor):  # else it is broken
            yield Case(gallery, index, answer_of(gallery, placed(image[None], gallery.model)), False)


def answer_of(gallery: Gallery, image: Tensor) -> int:
    """The most probable class of an image [1,C,H,W]."""
    with evaluating(gallery.model), torch.no_grad():
        return int(scores_of(gallery.model(image), 1, picked=False)[0].argmax())


def _of_folder(gallery: Gallery, picture: Any) -> int | None:
    folder = as_compared(Path(picture).parent.name) if isinstance(picture, str | os.PathLike) else ""
    able = [index for index, name in enumerate(gallery.classes) if as_compared(str(name)) == folder]
    return able[0] if len(able) == 1 else None  # of two of one name nobody knows which
