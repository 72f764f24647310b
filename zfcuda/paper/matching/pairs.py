"""Which pictures are matched with which."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from zfcuda.paper.gallery import Gallery
from zfcuda.paper.points import Landmarks

SAME, OTHER, ANY = "the same class", "different classes", "any class"
_LEAST = 2  # points that both have


@dataclass(frozen=True)
class Pair:
    """Points of picture `first` are looked for in `second`.

    Attributes:
        kind: SAME, OTHER, or ANY where the classes are not known.
        names: the points that both have.
    """

    first: int
    second: int
    kind: str
    names: tuple[str, ...]


def pairs(gallery: Gallery, marks: Landmarks, count: int, seed: int, *, progress: bool = False) -> list[Pair]:
    """For up to `count` pictures, of all classes in turn, one of the same class, and one of another.

    Each picture is the second one at most twice; pairs with fewer than two points in common are left out.
    """
    labels = gallery.pictures.labels
    allowed = set(marks.indices)
    chosen = [index for index in random.Random(seed).sample(range(len(gallery)), len(gallery)) if index in allowed]
    by_class: dict[int, list[int]] = {}
    for index in chosen:
        by_class.setdefault(labels[index] if labels else 0, []).append(index)
    each = max(2, -(-count // len(by_class))) if by_class else 0  # one alone of a class has none to be matched with
    kept = [by_class[label][:each] for label in sorted(by_class)]
    found = []
    firsts = [(row, column) for row, indices in enumerate(kept) for column in range(len(indices))]
    bar = tqdm(
        sorted(firsts, key=lambda at: at[1])[:count], desc="points", unit="picture", disable=not progress, leave=False
    )
    for row, column in bar:
        here = kept[row]
        seconds = [(SAME if labels else ANY, here[(column + 1) % len(here)])]
        if labels and len(kept) > 1:
            there = kept[(row + 1) % len(kept)]
            seconds.append((OTHER, there[column % len(there)]))
        for kind, second in seconds:
            if second != here[column]:
                names = _shared(marks, here[column], second)
                if len(names) >= _LEAST:
                    found.append(Pair(here[column], second, kind, names))
    return found


def _shared(marks: Landmarks, first: int, second: int) -> tuple[str, ...]:
    other = marks[second].points
    return tuple(name for name in marks[first].points if name in other)


def kinds(found: Sequence[Pair]) -> list[str]:
    """The kinds of pairs there are."""
    return list(dict.fromkeys(pair.kind for pair in found))
