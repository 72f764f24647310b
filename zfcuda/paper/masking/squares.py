"""Where the grey squares lie."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from zfcuda.paper.points import Marked, Place

#: What random places are called in tables: the paper's control is "random parts of the object".
ANYWHERE, ON_OBJECT, SHARED = "random places", "random places on the object", "one random place in all pictures"


@dataclass(frozen=True)
class Square:
    """A grey square in one picture.

    Attributes:
        kind: what it hides: the name of a part, or one of the random kinds.
        turn: which of several squares of this kind.
        centre: (y, x) in pixels of the image.
    """

    kind: str
    turn: int
    centre: Place


def squares(
    group: Sequence[int], marked: Sequence[Marked], parts: Sequence[str], turns: int, seed: int
) -> list[list[Square]]:
    """The squares of each picture of a group, the same kinds in the same order in each.

    Args:
        group: the numbers of the pictures; marked: what is known of them.
        parts: points that all of them have.
        turns: how many random squares of each kind.
        seed: of the random ones, which depend on it and on the pictures alone.
    """
    shared = random.Random(f"{seed} shared {list(group)}")
    shares = [(shared.random(), shared.random()) for _ in range(turns)]
    objects = [np.argwhere(each.mask) for each in marked if each.mask is not None and each.mask.any()]
    known = len(objects) == len(marked)
    found = []
    for place, (index, each) in enumerate(zip(group, marked, strict=True)):
        dice = random.Random(f"{seed} {index}")
        high, wide = each.size
        here = [Square(name, 0, each.points[name]) for name in parts]
        here += [Square(ANYWHERE, turn, (dice.random() * high, dice.random() * wide)) for turn in range(turns)]
        if known:
            inside = objects[place]
            for turn in range(turns):
                y, x = inside[dice.randrange(len(inside))].tolist()
                here.append(Square(ON_OBJECT, turn, (y, x)))
        here += [Square(SHARED, turn, (y * high, x * wide)) for turn, (y, x) in enumerate(shares)]
        found.append(here)
    return found


def hidden(image: Tensor, centre: Place, side: int, fill: float = 0.0) -> Tensor:
    """An image [C,H,W] with a square of `side` pixels filled, cut off at the border."""
    top, left = (round(at - (side - 1) / 2) for at in centre)
    masked = image.clone()
    masked[:, max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = fill
    return masked
