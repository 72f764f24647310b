"""The 1,000 classes of ImageNet's challenge (ILSVRC 2012), in the order of the outputs of published networks."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from zfcuda.class_names import ClassNames


def classes() -> ClassNames:
    """The 1,000 names by index, each once: 0 is "tench", 281 "tabby", 999 "toilet tissue".

    Their synonyms are WordNet's lemmas: "tabby cat" finds 281.
    """
    return ClassNames(_lines("imagenet_classes.txt"), _synonyms())


@cache
def synsets() -> tuple[str, ...]:
    """The 1,000 ids in WordNet 3.0 by index, which are the names of the folders of ImageNet: 0 is "n01440764"."""
    return _lines("imagenet_synsets.txt")


@cache
def _synonyms() -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(line.split(", ")) if line else () for line in _lines("imagenet_synonyms.txt"))


@cache
def _lines(file: str) -> tuple[str, ...]:
    return tuple((Path(__file__).parent / file).read_text(encoding="utf-8").splitlines())
