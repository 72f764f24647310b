"""A folder with training, validation and test parts of class folders, or of class folders alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from zfcuda.complaint import one_line
from zfcuda.data.pictures import Picture
from zfcuda.train.sets.duplicates import warn_of_duplicates
from zfcuda.train.sets.listing import Listing, first_names, folders_of, listing
from zfcuda.train.sets.parts import PARTS, divide, tell_of_missing
from zfcuda.train.sets.sets import Sets, as_sets
from zfcuda.train.sets.spelling import in_words, key, refuse_two_spellings, shown


class FolderPart:
    """Pictures of class folders.

    Attributes:
        folder: where the class folders lie.
        names: the path of each picture from there on. sizes: in bytes.
    """

    alone = False

    def __init__(self, folder: Path, names: list[str], labels: list[int], sizes: list[int], classes: list[str]) -> None:
        self.folder, self.names, self.labels, self.sizes, self.classes = folder, names, labels, sizes, classes

    def item(self, index: int) -> Picture:
        return os.path.join(self.folder, self.names[index])

    def stamps(self) -> Iterator[bytes]:
        for name, label, size in zip(self.names, self.labels, self.sizes, strict=True):
            yield os.fsencode(name)
            yield f"{label} {size}".encode()

    def subset(self, indices: Sequence[int]) -> FolderPart:
        """Some of the pictures."""
        return FolderPart(
            self.folder,
            [self.names[index] for index in indices],
            [self.labels[index] for index in indices],
            [self.sizes[index] for index in indices],
            self.classes,
        )


def sets_of_folder(folder: Path, seed: int, split: float, warnings: list[str]) -> Sets:
    """Reads the names and sizes of all pictures of a folder; none of them is decoded.

    Raises:
        ValueError: one line that names the folders: no class, one alone, an empty one, one in two spellings, pictures
            beside class folders, a class that training lacks.
    """
    places = _places(folder)
    lists = {part: listing(place) for part, place in places.items()}
    if "test" in lists and lists["test"].loose and not lists["test"].classes:
        warnings.append(
            f"data: {_shown(places['test'])}: {len(lists['test'].loose):,} pictures without class folders, which "
            "cannot be tested on; the run goes without a test part"
        )
        del lists["test"]
    for found in lists.values():
        _check(found, found is lists["train"])
    names = list(lists["train"].classes)
    classes = in_words(names)
    parts = {part: _part(found, names, classes) for part, found in lists.items()}
    note = divide(parts, split, seed, whole=places["train"] == folder)
    tell_of_missing(parts, classes, warnings)
    warn_of_duplicates(parts, warnings)
    title = one_line(folder.absolute().name or str(folder.absolute()))
    return as_sets(title, [parts.get(part) for part in PARTS], classes, note=note)


def _places(folder: Path) -> dict[str, Path]:
    """The folder of each part; where there is no training part, the folder itself is that, and no other."""
    there = folders_of(folder)
    found = {part: [name for name in there if name.lower() in names] for part, names in PARTS.items()}
    named = [name for names in found.values() for name in names]
    if not found["train"] or not folders_of(folder / found["train"][0]):
        # A single one may be a class: trains beside cars and ships.
        if len(named) == len(there) > 0 or (found["train"] and len(named) > 1):
            raise ValueError(f"data: {_shown(folder)}: {' and '.join(named)}, but no train folder of class folders")
        return {"train": folder}
    for names in found.values():
        if len(names) > 1:
            raise ValueError(f"data: {_shown(folder)}: expected one of {' and '.join(names)}, got both")
    return {part: folder / names[0] for part, names in found.items() if names}


def _check(found: Listing, training: bool) -> None:
    where = f"data: {_shown(found.folder)}"
    if not found.classes:
        more = f", but {len(found.loose):,} pictures beside one another" if found.loose else ""
        raise ValueError(f"{where}: expected a folder for each class, with its pictures in it; there is none{more}")
    if found.loose:
        raise ValueError(
            f"{where}: {len(found.loose):,} pictures lie beside the class folders, in no class: "
            f"{first_names(found.loose)}; move them into one, or away"
        )
    refuse_two_spellings(found.classes, where)
    empty = [name for name, names in found.classes.items() if not names]
    if len(found.classes) == 1 and training:
        only = next(iter(found.classes))
        hint = f"; is {_shown(found.folder / only)} meant?" if folders_of(found.folder / only) else ""
        raise ValueError(f"{where}: expected two classes or more, got one: {one_line(only)}{hint}")
    if empty and (training or not found.count):
        raise ValueError(f"{where}: no picture, by the endings of the files, in the class folder {first_names(empty)}")


def _part(found: Listing, names: list[str], classes: list[str]) -> FolderPart:
    """The pictures of a part with labels of the training part's classes."""
    number = {name: label for label, name in enumerate(names)}
    unknown = [name for name in found.classes if name not in number]
    if unknown:
        where, spelt = f"data: {_shown(found.folder)}", {key(name): name for name in names}
        if key(unknown[0]) in spelt:
            here, there = shown([unknown[0], spelt[key(unknown[0])]])
            raise ValueError(f"{where}: the same class in two spellings: {here} here and {there} in the training part")
        raise ValueError(f"{where}: classes that the training part lacks: {first_names(unknown)}")
    inside: list[str] = []
    labels: list[int] = []
    sizes: list[int] = []
    for name, pictures in found.classes.items():
        inside += pictures
        labels += [number[name]] * len(pictures)
        sizes += found.sizes[name]
    return FolderPart(found.folder, inside, labels, sizes, classes)


def _shown(path: Path) -> str:
    return one_line(os.fspath(path))
