"""Named points of pictures: those of Parts are known, those of other pictures stand in a file."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zfcuda.complaint import one_line
from zfcuda.data.preprocess import crop_box
from zfcuda.data.preprocess_facts import as_ours
from zfcuda.files.regular import refusal
from zfcuda.paper.figure import NotApplicableError
from zfcuda.paper.gallery import Gallery

#: A place in an image, (y, x) in pixels, whole numbers in their centres.
Place = tuple[float, float]
_COLUMNS = ("picture", "part", "y", "x")


@dataclass(frozen=True)
class Marked:
    """What is known of one picture, in pixels of the image that the network gets.

    Attributes:
        points: the place of each named point.
        side: the longer side of the box around the object; of pictures whose object is not known around its points.
        mask: bool [H,W], the object; None where it is not known.
        size: (H, W) of the image.
    """

    points: dict[str, Place]
    side: float
    mask: npt.NDArray[np.bool_] | None
    size: tuple[int, int]


class Landmarks:
    """The named points of the pictures of a gallery.

    Args:
        points: a file of comma-separated values under the headings picture, part, y, x, or the name of a picture -> the
            name of a point -> (y, x). A picture's name is its path in the folder, or the file's name where no other has
            it; y and x count pixels of the upright picture from its upper left corner, whole numbers in their centres.
            None: what Parts know of theirs.

    Attributes:
        indices: the pictures that have points; of Parts all.

    Raises:
        NotApplicableError: there are no points, or it is not known which pixels of a picture the network gets.
        ValueError: naming points: a line that says nothing of a picture that is there.
    """

    def __init__(self, gallery: Gallery, points: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> None:
        self._gallery = gallery
        self._ours = as_ours(gallery.pictures.preprocess)
        self._given: dict[int, dict[str, Place]] | None = None
        if points is not None:
            rows = points if isinstance(points, Mapping) else _read(Path(points))
            numbers = _Numbers(gallery.pictures.names)
            self._given = {numbers[name]: dict(places) for name, places in rows.items()}
        elif gallery.parts is None:
            raise NotApplicableError(
                "these pictures have no known points: give a file of them with --points, or points=, or take Parts"
            )
        if self._ours is None and gallery.pictures.tensor is None:
            raise NotApplicableError(
                "it is not known which pixels of a picture the network gets, and so not where its points are: give a "
                "zfcuda.Preprocess"
            )
        self.indices = sorted(self._given) if self._given is not None else range(len(gallery))
        self._known: dict[int, Marked] = {}

    def __getitem__(self, index: int) -> Marked:
        """What is known of a picture; points that the network does not see are left out."""
        if index not in self._known:
            self._known[index] = self._marked(index)
        return self._known[index]

    def common(self, indices: Sequence[int], share: float = 0.5) -> list[str]:
        """The points that at least this share of pictures have, in the order in which they are named first."""
        counts: dict[str, int] = {}
        for index in indices:
            for name in self[index].points:
                counts[name] = counts.get(name, 0) + 1
        return [name for name, count in counts.items() if count >= share * len(indices)]

    def _marked(self, index: int) -> Marked:
        parts, pictures = self._gallery.parts, self._gallery.pictures
        mask = None
        if self._given is not None:
            places = self._given[index]
            size = pictures.size(index)
        else:
            assert parts is not None
            places, size = parts.points(index), (parts.size, parts.size)
            mask = self._gallery.mask(parts.draw(index).object_mask).numpy()
        high, wide = size
        if pictures.tensor is not None:
            top, left, bottom, right = 0.0, 0.0, float(high), float(wide)
        else:
            assert self._ours is not None
            left, top, right, bottom = crop_box((wide, high), self._ours.sides, self._ours.short_side)
            high, wide = self._ours.sides
        down, across = high / (bottom - top), wide / (right - left)
        moved = {
            name: ((y + 0.5 - top) * down - 0.5, (x + 0.5 - left) * across - 0.5) for name, (y, x) in places.items()
        }
        seen = {name: (y, x) for name, (y, x) in moved.items() if -0.5 <= y < high - 0.5 and -0.5 <= x < wide - 0.5}
        around = np.argwhere(mask) if mask is not None and mask.any() else np.array(list(seen.values())).reshape(-1, 2)
        side = float((np.ptp(around, axis=0) + 1).max()) if len(around) else 0.0
        return Marked(seen, side, mask, (high, wide))


class _Numbers:
    """The number of a picture by its name, or by the last part of it."""

    def __init__(self, names: Sequence[str]) -> None:
        self._whole = {name: index for index, name in enumerate(names)}
        self._last: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            self._last.setdefault(Path(name).name, []).append(index)

    def __getitem__(self, name: str) -> int:
        found = [self._whole[name]] if name in self._whole else self._last.get(name, [])
        if len(found) != 1:
            why = (
                "several pictures have this name: give the path in the folder" if found else "there is no such picture"
            )
            raise ValueError(f"points: expected the name of one picture, got {one_line(name)!r}: {why}")
        return found[0]


def _read(path: Path) -> dict[str, dict[str, Place]]:
    why = refusal(path)
    if why:
        raise ValueError(f"points: {one_line(str(path))}: {why}")
    found: dict[str, dict[str, Place]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"points: {path.name}: expected the headings {', '.join(_COLUMNS)}, got no {missing[0]!r}"
                )
            for row in reader:
                try:
                    y, x = float(row["y"]), float(row["x"])
                    if not (np.isfinite(y) and np.isfinite(x) and row["picture"] and row["part"]):
                        raise ValueError
                except (TypeError, ValueError):
                    said = one_line(",".join(str(row[name]) for name in _COLUMNS))
                    raise ValueError(
                        f"points: {path.name}: line {reader.line_num}: expected picture, part, y, x, got {said!r}"
                    ) from None
                found.setdefault(row["picture"].strip(), {})[row["part"].strip()] = (y, x)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"points: {one_line(str(path))}: {one_line(str(error))}") from error
    if not found:
        raise ValueError(f"points: {path.name}: expected at least one point, got none")
    return found
