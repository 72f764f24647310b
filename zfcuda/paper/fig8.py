"""Figure 8: the masked pictures of the experiment of Table 1."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import Figure, Option, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.masking.drawing import sheet
from zfcuda.paper.masking.groups import check, groups_of
from zfcuda.paper.masking.squares import ANYWHERE, ON_OBJECT, Square, hidden, squares
from zfcuda.paper.points import Landmarks
from zfcuda.paper.result import Result

_SHOWN = 4  # parts that are shown of those that are masked


def fig8(
    model: nn.Module,
    pictures: Any = None,
    *,
    points: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    parts: Sequence[str] | None = None,
    group: int = 5,
    turns: int = 3,
    mask: float = 1 / 7,
    fill: float = 0.0,
    seed: int = 0,
    preprocess: Any = None,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Shows one of the groups of pictures that :func:`zfcuda.paper.table1` masks, and where (section 4.3, Fig. 8).

    Args:
        model: the network whose images are masked; it is not run.
        pictures, points: as :func:`zfcuda.paper.table1` takes them.
        parts: names of points that are shown; None: three of those of table1, and the last of them.
        group: pictures, all of one class; the paper has 5.
        turns: random squares in each.
        mask, fill, seed: as :func:`zfcuda.paper.table1` takes them: the squares are the same.
        preprocess, cache, progress: as of all figures; nothing here takes long enough to be kept.

    Returns:
        A row for each picture and square, with its upper left corner in pixels of the network's image; a tensor
        "images" [group,1+squares,C,H,W], what the network gets: each picture as it is, then under each square.

    Raises:
        NotApplicableError: there are no points, or not two pictures of a class with all of the parts.
        ValueError: naming the argument.
    """
    check(group, 1, turns, mask)
    gallery = pictures if isinstance(pictures, Gallery) else Gallery(model, pictures, preprocess=preprocess)
    marks = Landmarks(gallery, points)
    names, [chosen, *_] = groups_of(gallery, marks, parts, group, 1, seed, progress)
    shown = names if parts or len(names) <= _SHOWN else [*names[: _SHOWN - 1], names[-1]]
    made = squares(chosen, [marks[index] for index in chosen], shown, turns, seed)
    control = ON_OBJECT if any(each.kind == ON_OBJECT for each in made[0]) else ANYWHERE
    masks = [[each for each in here if each.kind in (*shown, control)] for here in made]
    images = [gallery.pictures.image(index) for index in chosen]
    side = max(1, round(mask * min(images[0].shape[1:])))
    result = Result()
    result.tables["Where the squares lie"] = [
        _row(gallery.pictures.names[index], each, side)
        for index, here in zip(chosen, masks, strict=True)
        for each in here
    ]
    result.tensors["images"] = torch.stack(
        [
            torch.stack([image, *(hidden(image, each.centre, side, fill) for each in here)])
            for image, here in zip(images, masks, strict=True)
        ]
    )
    result.pictures[""] = sheet(gallery, chosen, masks, side)
    result.notes = [f"{len(chosen)} pictures of one class; squares of {side} pixels, cut off where a picture ends."]
    return result


def _row(picture: str, square: Square, side: int) -> dict[str, Any]:
    top, left = (round(at - (side - 1) / 2) for at in square.centre)
    return {"picture": picture, "masked": square.kind, "top": top, "left": left, "side": side}


def _run(setting: Setting) -> Result:
    return fig8(
        setting.model,
        setting.gallery,
        points=setting.options.get("points") or None,
        group=setting.options.get("group", 5),
        mask=setting.options.get("mask", 1 / 7),
        seed=setting.seed,
        progress=setting.progress,
    )


FIGURE = Figure(
    name="fig8",
    title="Figure 8: the pictures that Table 1 masks",
    source="Zeiler & Fergus, Fig. 8 and section 4.3",
    says="Five pictures of dogs, a row each: as they are, then with a grey square on the right eye, the left eye and "
    "the nose, then with squares at random places. Table 1 compares how the features change under them.",
    run=_run,
    options=(
        Option("points", "", "FILE", "parts of your own pictures: lines of picture, part, y, x under these headings"),
        Option("group", 5, "N", "pictures whose changes are compared with one another"),
        Option("mask", 0.143, "SHARE", "side of the grey square, a share of the image's side"),
    ),
)
