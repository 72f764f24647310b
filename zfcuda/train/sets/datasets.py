"""Data sets of torch's, given or named by module:attribute: one that is divided by seed, or one for each part."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from zfcuda.complaint import one_line, reason
from zfcuda.data.pictures import PICTURES
from zfcuda.data.sources import ItemSource, bytes_of
from zfcuda.models.checkpoints.external import attribute
from zfcuda.train.seeded import seeded
from zfcuda.train.sets.images import picture_of_image
from zfcuda.train.sets.listing import first_names
from zfcuda.train.sets.parts import PARTS, divide, tell_of_missing
from zfcuda.train.sets.sets import Sets, as_sets
from zfcuda.train.sets.subset import Subset


class Items(ItemSource):
    """A data set whose stamps are of its items as they come out of seeded dice, and of no place on this machine."""

    def stamps(self) -> Iterator[bytes]:
        yield f"{type(self.items).__qualname__} {self.count}".encode()
        yield "\n".join(os.path.basename(name) for name in self.names).encode("utf-8", "surrogateescape")
        for index in sorted({0, self.count // 2, self.count - 1}):
            first, again = self._stamp(index), self._stamp(index)
            if first == again:  # else it has dice of its own, and would never be found the same
                yield first

    def _stamp(self, index: int) -> bytes:
        try:
            with seeded(index):
                value = self.item(index)
        except Exception as error:  # a broken picture, which is named where it is needed
            return type(error).__name__.encode()
        if isinstance(value, Tensor):
            return f"{value.dtype} {list(value.shape)}".encode() + hashlib.sha256(bytes_of(value)).digest()
        if isinstance(value, str | os.PathLike):
            return str(os.path.getsize(value)).encode() if os.path.exists(value) else b""
        return hashlib.sha256(np.asarray(value).tobytes()).digest()


def sets_of_name(name: str, seed: int, split: float, warnings: list[str]) -> Sets:
    """What `module:attribute` names: a data set, several, or a function that returns such. Its code runs.

    Raises:
        ValueError: no such module or attribute, it fails, or what :func:`sets_of_data` raises.
    """
    try:
        found = attribute(name)
    except ValueError as error:
        raise ValueError(f"data: {error}") from error.__cause__
    if inspect.isclass(found) or (callable(found) and not hasattr(found, "__getitem__")):
        found = _called(found, name)
    return sets_of_data(found, name, seed, split, warnings)


def sets_of_data(given: Any, name: str, seed: int, split: float, warnings: list[str]) -> Sets:
    """A Dataset with a length, whose items are pairs of a picture or an image [C,H,W] and a label; or several.

    Args:
        given: one, divided by seed as class folders are; a dict of train, validation and perhaps test; or a tuple of
            them in this order.
        name: what the title and errors call it.

    Raises:
        ValueError, TypeError: naming the part and what was found there.
    """
    whole, given = _parts(given, name)
    items = {part: _items(data, f"data: {one_line(name)}: {part}") for part, data in given.items()}
    labels = {part: _labels(each, f"data: {one_line(name)}: {part}", warnings) for part, each in items.items()}
    classes = _classes(items, labels)
    parts: dict[str, Subset] = {}
    for part, own in labels.items():
        _check(own, classes, items[part], part)
        kept = [index for index, label in enumerate(own) if label >= 0]
        parts[part] = Subset(items[part], kept, [own[index] for index in kept], classes)
    note = divide(parts, split, seed, whole=whole)
    tell_of_missing(parts, classes, warnings)
    return as_sets(one_line(name), [parts.get(part) for part in PARTS], classes, note=note)


def _called(found: Any, name: str) -> Any:
    """What a function or class gives that needs no arguments."""
    try:
        needed = [
            each.name
            for each in inspect.signature(found).parameters.values()
            if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        ]
    except ValueError:  # a builtin without a signature
        needed = []
    if needed:
        short = name.rpartition(":")[2]
        raise ValueError(
            f"data: {name!r} needs arguments ({', '.join(needed)}): write a function without any that returns it, or a "
            f"tuple of one to train on and one to validate on: def data(): return {short}(...), {short}(...)"
        )
    try:
        return found()
    except (Exception, SystemExit) as error:
        raise ValueError(f"data: {name!r}: fails when called: {reason(error)}") from error


def _parts(given: Any, name: str) -> tuple[bool, dict[str, Any]]:
    """Whether it is one data set, and the data set of each part."""
    if isinstance(given, tuple) and len(given) in (2, 3) and all(map(_is_dataset, given)):
        return False, dict(zip(PARTS, given, strict=False))
    if not isinstance(given, Mapping):
        return True, {"train": given}
    result: dict[str, Any] = {}
    for key, data in given.items():
        part = next((part for part, names in PARTS.items() if str(key).lower() in names), None)
        if part is None or part in result:
            raise ValueError(
                f"data: {name!r}: expected a dict of train, validation and test, got {', '.join(map(repr, given))}"
            )
        result[part] = data
    if "train" not in result:
        raise ValueError(f"data: {name!r}: expected a dict with train, got {', '.join(map(repr, given)) or 'nothing'}")
    return False, result


def _is_dataset(given: Any) -> bool:
    no_items = isinstance(given, (Tensor, Mapping, bytes, DataLoader, IterableDataset, *PICTURES))
    return not no_items and hasattr(given, "__getitem__") and hasattr(given, "__len__")


def _items(data: Any, where: str) -> Items:
    if isinstance(data, DataLoader):
        raise TypeError(f"{where}: expected the data set, not batches of it: give the .dataset of the DataLoader")
    if not _is_dataset(data):
        raise TypeError(
            f"{where}: expected a torch Dataset with a length, of pairs of a picture or an image [C,H,W] and a label, "
            f"got {type(data).__name__}"
        )
    items = Items(data)
    if not items.count:
        raise ValueError(f"{where}: expected at least one picture, got none")
    try:
        with seeded(0):
            first = items.item(0)
    except Exception:  # a broken picture, which is named where it is needed
        return items
    if isinstance(first, Tensor):
        try:
            picture_of_image(first)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    return items


def _labels(items: Items, where: str, warnings: list[str]) -> list[int]:
    """The label of each item; -1 for a broken one. Where the data set carries no list of them, all items are read."""
    with seeded(0):
        labels = items.labels
    if labels is None:
        raise ValueError(f"{where}: expected pairs of a picture and a label, a whole number, got items without one")
    names = items.names
    without = [name for name, label in zip(names, labels, strict=True) if label == -1]
    if len(without) == len(labels):
        raise ValueError(f"{where}: none of {len(labels):,} items can be read: {first_names(without)}{_why(items)}")
    if without:
        warnings.append(
            f"{where}: {len(without):,} of {len(labels):,} items cannot be read, or have no label, and are left out: "
            f"{first_names(without)}"
        )
    return labels


def _why(items: Items) -> str:
    try:
        items.item(0)
    except Exception as error:
        return f"; {reason(error)}"
    return ""


def _classes(items: Mapping[str, Items], labels: Mapping[str, list[int]]) -> list[str]:
    """The names that the data sets carry, else the numbers that occur in training."""
    classes = items["train"].classes or [str(label) for label in range(max(labels["train"]) + 1)]
    for part, each in items.items():
        if each.classes and items["train"].classes and each.classes != classes:
            raise ValueError(
                f"data: {part}: expected the classes of training, {first_names(classes)}, got "
                f"{first_names(each.classes)}"
            )
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise ValueError(f"data: two classes of the same name: {first_names(twice)}")
    if len(classes) < 2:
        raise ValueError(f"data: expected two classes or more, got {len(classes)}: {first_names(classes)}")
    return classes


def _check(labels: list[int], classes: list[str], items: Items, part: str) -> None:
    for index, label in enumerate(labels):
        if not -1 <= label < len(classes):
            raise ValueError(
                f"data: {part}: expected labels of 0 to {len(classes) - 1}, got {label} for {items.names[index]}"
            )
    there = set(labels)
    empty = [name for label, name in enumerate(classes) if label not in there]
    if empty and part == "train":
        raise ValueError(f"data: train: no picture of class {first_names(empty)}")
