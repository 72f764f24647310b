"""Which pictures are masked together: groups of one class whose pictures all show the same parts."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from tqdm import tqdm

from zfcuda.data.parts import DEFINING
from zfcuda.inputs import integer
from zfcuda.paper.figure import NotApplicableError
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.points import Landmarks

#: The points of Parts that most creatures show: of the face as in the paper, with a mouth for its nose, and more.
OF_PARTS = ("left eye", "right eye", "mouth", "left ear", "right ear", "left foot", "right foot", DEFINING)


def check(group: int, groups: int, turns: int, mask: float) -> None:
    """Refuses counts and a share of the image's side that make no experiment.

    Raises:
        ValueError: naming the argument.
    """
    for name, value, least in (("group", group, 2), ("groups", groups, 1), ("turns", turns, 1)):
        if integer(name, value) < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")
    if not 0 < mask <= 1:
        raise ValueError(f"mask: expected a share of the image's side, above 0 and at most 1, got {mask!r}")


def groups_of(
    gallery: Gallery,
    marks: Landmarks,
    parts: Sequence[str] | None,
    size: int,
    most: int,
    seed: int,
    progress: bool,
) -> tuple[list[str], list[list[int]]]:
    """The parts, and groups of pictures of one class that have them all, of all classes in turn.

    Args:
        parts: names of points; None: those that most pictures have.
        size: pictures of a group; most: groups.
        seed: of the choice; progress: show a bar on stderr.

    Raises:
        NotApplicableError: no two pictures of a class have the parts.
    """
    labels = gallery.pictures.labels
    allowed = set(marks.indices)
    order = [index for index in random.Random(seed).sample(range(len(gallery)), len(gallery)) if index in allowed]
    usual = marks.common(order[:100]) if gallery.parts is None or len(allowed) < len(gallery) else OF_PARTS
    names = list(parts or usual)
    waiting: dict[int, list[int]] = {}
    made: dict[int, list[list[int]]] = {}
    fair = math.ceil(most / max(1, len({labels[index] for index in order} if labels else {0})))
    bar = tqdm(order, desc="points", unit="picture", disable=not progress, leave=False)
    for index in bar:
        label = labels[index] if labels else 0
        if len(made.get(label, ())) < fair and names and set(names) <= marks[index].points.keys():
            waiting.setdefault(label, []).append(index)
            if len(waiting[label]) == size:
                made.setdefault(label, []).append(waiting.pop(label))
        if sum(map(len, made.values())) >= most:
            break
    for label, rest in waiting.items():  # a class with fewer pictures than a group has
        if label not in made and len(rest) >= 2 and sum(map(len, made.values())) < most:
            made[label] = [rest]
    found = [each for label in sorted(made) for each in made[label]][:most]
    if not found:
        wanted = ", ".join(names) or "any point in common"
        raise NotApplicableError(f"there are no two pictures of a class that have {wanted}")
    return names, found
