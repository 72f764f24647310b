"""What is asked: which pictures in which order, the classes to choose from, and what each picture truly is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from zfcuda.class_names import ClassNames, as_compared
from zfcuda.data.collection import Collection
from zfcuda.models.architectures import imagenet

#: What is shown of a picture: what the network sees, or all of it.
VIEWS = ("network", "whole")
#: What an empty answer is called.
UNKNOWN = "don't know"
_LISTED = 5  # names in a message


@dataclass(frozen=True)
class Task:
    """Numbered pictures to label.

    Attributes:
        pictures: in the order in which they are asked; each is known by its name.
        truth: the class of each, where the folders say so; None where they do not.
        classes: what a labeller chooses from.
        answers: how many may be given for a picture.
        view: one of VIEWS.
        of: how many there are to draw from.
        seed: of the order.
    """

    pictures: Collection
    truth: tuple[int, ...] | None
    classes: ClassNames
    answers: int
    view: str
    of: int
    seed: int

    @property
    def facts(self) -> dict[str, object]:
        """What a file of answers depends on, by the names of the options."""
        return {"answers": self.answers, "view": self.view}

    @property
    def positions(self) -> dict[str, int]:
        """Where in the order each picture stands, by its name."""
        return {name: position for position, name in enumerate(self.pictures.names)}


def task(
    pictures: Collection,
    classes: Sequence[str] | None,
    *,
    count: int | None = None,
    seed: int = 0,
    answers: int = 1,
    view: str = "whole",
) -> Task:
    """Draws the pictures to label.

    The order depends on the seed and on the names of the pictures alone, each for itself: with a larger count, or with
    further pictures in the folder, those that were asked before come in the same order.

    Args:
        classes: what to choose from; None: the classes that the pictures have.
        count: how many; None: all.
        answers: how many may be given for each picture.
        view: one of VIEWS.

    Raises:
        ValueError: there are no classes, fewer than two, one twice, or class folders that are not among them; count or
            answers is out of range.
    """
    if count is not None and count < 1:
        raise ValueError(f"--count: expected at least 1, got {count}")
    if classes is None:
        if not pictures.classes:
            raise ValueError("--classes: expected names to choose from, as neither class folders nor --model has them")
        classes = _in_words(pictures.classes)
    names = _checked(classes)
    if not 1 <= answers < len(names):
        raise ValueError(f"--answers: expected 1 to {len(names) - 1}, one fewer than the classes, got {answers}")
    numbers = None
    if pictures.classes:
        numbers = _matched(pictures.classes, names)
    order = sorted(range(len(pictures)), key=lambda index: drawn(seed, pictures.names[index]))[:count]
    labels = pictures.labels
    truth = None if numbers is None or labels is None else tuple(numbers[labels[index]] for index in order)
    return Task(pictures.some(order), truth, names, answers, view, len(pictures), seed)


def matched(names: Sequence[str], classes: ClassNames) -> list[int | None]:
    """Which of the classes each name means: its name, else in other case, else a synonym; None: none, or several."""
    exact: dict[str, set[int]] = {}
    own: dict[str, set[int]] = {}
    further: dict[str, set[int]] = {}
    for index, name in enumerate(classes):
        exact.setdefault(name, set()).add(index)
        own.setdefault(as_compared(name), set()).add(index)
    for index, more in enumerate(classes.synonyms):
        for one in more:
            further.setdefault(as_compared(one), set()).add(index)
    found = [exact.get(name) or own.get(as_compared(name)) or further.get(as_compared(name), set()) for name in names]
    return [next(iter(each)) if len(each) == 1 else None for each in found]


def drawn(seed: int, name: str) -> bytes:
    """By what pictures are ordered: chance that depends on nothing else."""
    return hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "surrogateescape")).digest()


def classes_of(folders: Sequence[str], classes: ClassNames) -> list[int | None]:
    """Which of the classes each class folder is, by its name, or by its id of WordNet; None: none."""
    found = matched(folders, classes)
    return matched(_in_words(folders), classes) if None in found else found


def _in_words(folders: Sequence[str]) -> ClassNames:
    """The folders' names; ImageNet's, with their synonyms, where all are called by ids of WordNet."""
    ids = {synset: index for index, synset in enumerate(imagenet.synsets())}
    if not all(name in ids for name in folders):
        return ClassNames(folders)
    names = imagenet.classes()
    at = [ids[name] for name in folders]
    return ClassNames([names[i] for i in at], [names.synonyms[i] for i in at])


def _checked(classes: Sequence[str]) -> ClassNames:
    names = classes if isinstance(classes, ClassNames) else ClassNames(classes)
    if len(names) < 2:
        raise ValueError(f"--classes: expected at least two to choose from, got {len(names)}")
    met: set[str] = set()
    for name in names:
        if not name.strip():
            raise ValueError("--classes: expected a name on each line, got an empty one")
        if as_compared(name) == UNKNOWN:
            raise ValueError(f"--classes: expected names of classes, got {name!r}, which is what an empty answer means")
        if name in met:  # in other case it is another: ImageNet has the dog Cardigan and the garment cardigan
            raise ValueError(f"--classes: expected each class once, got {name!r} twice")
        met.add(name)
    return names


def _matched(folders: Sequence[str], classes: ClassNames) -> list[int]:
    """The class of each class folder."""
    found = classes_of(folders, classes)
    strange = [repr(folder) for folder, index in zip(folders, found, strict=True) if index is None]
    if strange:
        more = f" and {len(strange) - _LISTED} more" if len(strange) > _LISTED else ""
        raise ValueError(
            f"--classes: expected the name of every class folder, not among them: {', '.join(strange[:_LISTED])}{more}"
            f"; there are {', '.join(map(repr, classes[:_LISTED]))}{', ...' if len(classes) > _LISTED else ''}"
        )
    if len(set(found)) < len(found):
        raise ValueError("--classes: expected one folder of each class, got several that mean the same")
    return [index for index in found if index is not None]
