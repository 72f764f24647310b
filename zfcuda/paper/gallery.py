"""The pictures that figures are made of, as one network sees them."""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda.class_names import as_compared
from zfcuda.data import HELD_OUT_SEED, Parts
from zfcuda.data.collection import Collection
from zfcuda.data.preprocess_facts import as_ours
from zfcuda.data.transforms import image_of
from zfcuda.features.loading import placed
from zfcuda.network.graph import unwrap
from zfcuda.report.record import weights_checksum


class Gallery:
    """Pictures, what a network gets of each, and what is known of them.

    Attributes:
        model: unwrapped.
        pictures: numbered; of a folder with train/ and test/ those of test/.
        parts: where the pictures are drawn ones, whose truth is known; else None.
        folder: the folder that they were given as; else None.
    """

    def __init__(
        self, model: nn.Module, pictures: Any = None, *, preprocess: Any = None, count: int | None = None
    ) -> None:
        """Args:
        model: any network in any mode.
        pictures: as :func:`zfcuda.strongest_patches` takes them; or a folder with train/ and test/; or a Collection;
            None: the first 1,200 of the Parts that no network here was trained on.
        preprocess: how a picture becomes the network's image; None: what the model carries.
        count: how many of them; of pictures with classes as many of each as there can be. None: all of them.

        Raises:
            TypeError, ValueError: as :func:`zfcuda.strongest_patches`; count is less than 1. Before any work.
        """
        if count is not None and count < 1:
            raise ValueError(f"count: expected at least 1, got {count}")
        self.model = unwrap(model)
        given = Parts(seed=HELD_OUT_SEED) if pictures is None else pictures
        self._given, self._count = given, count
        self.folder = Path(given) if isinstance(given, str | os.PathLike) else None
        self.parts = _parts_of(given)
        if self.parts is not None and count is not None:
            given = (self.parts, count)
        self.pictures = (
            given
            if isinstance(given, Collection)
            else Collection.of(held_out(given), preprocess=preprocess, model=self.model)
        )
        if count is not None and count < len(self.pictures):
            self.pictures = self.pictures.some(self.sample(count))
        self.classes: Sequence[str] = getattr(self.model, "classes", None) or ()

    def __len__(self) -> int:
        return len(self.pictures)

    def seen_by(self, model: nn.Module) -> Gallery:
        """The same pictures, as another network sees them through what it carries itself.

        Raises:
            TypeError: it carries no preprocess, and needs one.
        """
        given = self._given
        if isinstance(given, Collection):  # which has the preprocess of this network
            given = Collection.of(given, model=unwrap(model))
        return Gallery(model, given, count=self._count)

    @property
    def title(self) -> str:
        """What the pictures are, in a few words for a heading."""
        if self.parts is not None:
            return f"{len(self):,} pictures of Parts, seed {self.parts.seed}"
        return f"{len(self):,} pictures" + (f" of {self.folder.name}" if self.folder else "")

    @cached_property
    def fingerprint(self) -> str:
        """Tells other pictures, other images of them, another network, and other weights of it."""
        layers = re.sub(r" at 0x[0-9a-f]+", "", repr(self.model))  # where something lies in memory tells nothing
        known = f"{self.pictures.fingerprint} {weights_checksum(self.model)} {layers}"
        return hashlib.sha256(known.encode()).hexdigest()

    def image(self, index: int) -> Tensor:
        """What the network gets of a picture, [1,C,H,W] on its device, in its dtype."""
        return placed(self.pictures.image(index)[None], self.model)

    def images(self, indices: Sequence[int]) -> Tensor:
        """The same of several, [N,C,H,W]."""
        return placed(torch.stack([self.pictures.image(index) for index in indices]), self.model)

    def picture(self, index: int) -> Image.Image:
        """What the network sees of a picture, RGB."""
        return self.pictures.picture(index)

    def mask(self, mask: np.ndarray) -> Tensor:
        """Which pixels of the network's image a mask of a picture marks, cut and scaled as the picture is.

        Args:
            mask: bool [H,W] of the picture.

        Returns:
            bool [h,w] on the CPU; nothing is marked where all of it is cut off.
        """
        preprocess = self.pictures.preprocess
        assert preprocess is not None  # drawn pictures and files cannot do without
        drawn = Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB")
        ours = as_ours(preprocess)
        if ours is not None:
            return torch.from_numpy(np.array(ours.crop(drawn).convert("L")) >= 128)
        black, white = (Image.new("RGB", drawn.size, colour) for colour in ("black", "white"))
        of, to_black, to_white = (
            image_of(preprocess, each, "preprocess")[0].float().cpu() for each in (drawn, black, white)
        )
        return (of - to_white).abs().sum(0) < (of - to_black).abs().sum(0)

    def label(self, index: int) -> int | None:
        """The class of the network that a picture is of; None where its class is unknown, or none of the network's."""
        labels = self.pictures.labels
        if labels is None or not 0 <= labels[index] < len(self.pictures.classes):
            return None
        return self._labels[labels[index]]

    @cached_property
    def _labels(self) -> list[int | None]:
        """The class of the network that each class of the pictures is; names are compared as people would."""
        own: dict[str, list[int]] = {}
        for index, name in enumerate(map(as_compared, map(str, self.classes))):
            own.setdefault(name, []).append(index)
        found = [own.get(as_compared(name), []) for name in self.pictures.classes]
        return [indices[0] if len(indices) == 1 else None for indices in found]  # two of one name: nobody knows which

    def sample(self, count: int, *, seed: int = 0) -> list[int]:
        """So many pictures, ascending, chosen at random, as many of each class as there can be.

        seed: of the choice.
        """
        labels = self.pictures.labels or [0] * len(self)
        dice = random.Random(seed)
        groups: dict[int, list[int]] = {}
        for index in dice.sample(range(len(self)), len(self)):
            groups.setdefault(labels[index], []).append(index)
        rounds = [index for turn in range(max(map(len, groups.values()))) for index in _at(groups, turn)]
        return sorted(rounds[:count])


def _at(groups: dict[int, list[int]], turn: int) -> list[int]:
    return [groups[label][turn] for label in sorted(groups) if turn < len(groups[label])]


def _parts_of(given: Any) -> Parts | None:
    if isinstance(given, tuple) and given and isinstance(given[0], Parts):
        return given[0]
    return given if isinstance(given, Parts) else None


def held_out(given: Any) -> Any:
    """The pictures themselves: of a folder that was made for training those for the test, which none learned from."""
    if not isinstance(given, str | os.PathLike):
        return given
    made_for_training = all((Path(given) / part).is_dir() for part in ("train", "test"))
    return Path(given) / "test" if made_for_training else given
