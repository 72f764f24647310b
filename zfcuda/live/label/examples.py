"""A few pictures of each class that somebody else labelled, to learn from what the classes mean."""

from __future__ import annotations

from pathlib import Path

from zfcuda.class_names import ClassNames
from zfcuda.data.collection import Collection
from zfcuda.live.label.shown import File, shown_by
from zfcuda.live.label.task import classes_of, drawn

_OF_EACH = 13  # as many as the labellers of ILSVRC's pictures saw
_SIDE = 256


class Examples:
    """Pictures by their class.

    Args:
        folder: of class folders; a folder that is none of the classes is left out.
        classes: those to choose from.
        asked: the folder of the pictures to label, none of which is an example; None where they lie in none.

    Raises:
        ValueError: it is no folder, or has no class folder of these classes.
    """

    def __init__(self, folder: Path, classes: ClassNames, asked: Path | None) -> None:
        pictures = Collection.of(folder)
        labels = pictures.labels
        numbers = classes_of(pictures.classes, classes) if pictures.classes else []
        self._indices: list[list[int]] = [[] for _ in classes]
        for index in sorted(range(len(pictures)), key=lambda index: drawn(0, pictures.names[index])):
            number = numbers[labels[index]] if numbers and labels is not None else None
            if number is not None and len(self._indices[number]) < _OF_EACH:
                inside = asked is not None and (folder / pictures.names[index]).resolve().is_relative_to(asked)
                if not inside:
                    self._indices[number].append(index)
        if not any(self._indices):
            raise ValueError(f"--examples: expected class folders of the classes, with pictures, got {str(folder)!r}")
        self._shown = shown_by(pictures, "whole", _SIDE)

    @property
    def counts(self) -> list[int]:
        """How many there are of each class."""
        return [len(indices) for indices in self._indices]

    def file(self, number: int, which: int) -> File:
        """An example of a class, small.

        Raises:
            IndexError: there is none of this number.
            ValueError: it cannot be read.
        """
        if number < 0 or which < 0:
            raise IndexError(f"expected numbers of at least 0, got {number} and {which}")
        return self._shown(self._indices[number][which])
