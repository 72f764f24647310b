"""The parts of a data set: what they may be called, what is set aside for those that are not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from zfcuda.data.dice import Dice
from zfcuda.train.sets.listing import first_names
from zfcuda.train.sets.sets import Labelled

#: What each part may be called, in any case.
PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}


class Divisible(Labelled, Protocol):
    def subset(self: Part, indices: Sequence[int]) -> Part:
        """Some of the pictures."""


Part = TypeVar("Part", bound=Divisible)


def divide(parts: dict[str, Part], split: float, seed: int, *, whole: bool) -> str:
    """Sets a share of the training part aside to validate on, where there is no such part.

    Args:
        split: the share of each class.
        whole: the training part is all there is, so that a test part is set aside, too.

    Returns:
        what the title says of that.

    Raises:
        ValueError: no class has a picture to spare.
    """
    if "validation" in parts:
        return ""
    train = parts["train"]
    groups = set_aside(train.labels, split, 2 if whole else 1, seed)
    if not all(groups):
        raise ValueError(
            "data: expected classes of three pictures or more, to divide them, got too few to set any aside"
        )
    for part, indices in zip(PARTS, groups, strict=False):
        parts[part] = train.subset(indices)
    return f", split by seed {seed}"


def set_aside(labels: Sequence[int], share: float, parts: int, seed: int) -> list[list[int]]:
    """Divides pictures by chance, each class by itself: the indices of those that stay, and of those of each part.

    A class of few pictures gives each part one as long as one is left to stay.

    Args:
        share: of each class, for each of the parts.

    Returns:
        parts + 1 lists of indices, each ascending.
    """
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    result: list[list[int]] = [[] for _ in range(parts + 1)]
    for label, own in members.items():
        mixed = [own[place] for place in Dice(seed, label).shuffled(len(own))]
        for part in range(1, parts + 1):
            count = min(max(1, round(share * len(own))), len(mixed) - 1)
            result[part] += mixed[:count]
            mixed = mixed[count:]
        result[0] += mixed
    return [sorted(indices) for indices in result]


def tell_of_missing(parts: Mapping[str, Labelled], classes: Sequence[str], warnings: list[str]) -> None:
    """Warns of classes that nothing is measured of."""
    for part in ("validation", "test"):
        if part in parts:
            there = set(parts[part].labels)
            missing = [name for label, name in enumerate(classes) if label not in there]
            if missing:
                count = f"{len(missing):,} of {len(classes):,} classes"
                warnings.append(f"data: {part}: no picture of {count}: {first_names(missing)}")
