"""Where the points of a picture are found in another, by each layer, by pixels, and without looking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfcuda.features.loading import placed
from zfcuda.network import ReceptiveField
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.matching.columns import grid, nearest, of_map, of_pixels
from zfcuda.paper.matching.pairs import Pair
from zfcuda.paper.points import Landmarks, Marked
from zfcuda.paper.reading import LayerReader

LEARNED, SHUFFLED, PIXELS = "learned", "weights shuffled", "pixels"
SAME_PLACE, IN_BOX = "the same place in the picture", "the same place in the object's box"


class Matcher:
    """Looks for the points of one picture in another.

    Args:
        fields: what the units of each layer see.
        readers: what reads the layers of the network, and of the same with shuffled weights.
        step: pixels between the places that a point may be matched with.
    """

    def __init__(
        self,
        gallery: Gallery,
        marks: Landmarks,
        fields: Mapping[str, ReceptiveField],
        readers: Mapping[str, LayerReader],
        step: int,
    ) -> None:
        self._gallery, self._marks, self._fields, self._readers = gallery, marks, fields, readers
        self._step = step
        self._known: dict[int, tuple[Tensor, dict[str, dict[str, Tensor]]]] = {}

    def __call__(self, pair: Pair) -> dict[str, Any]:
        """The places found of each of the pair's points, [y, x] in pixels: "SOURCE:LAYER" -> a list of them."""
        first, second = self._marks[pair.first], self._marks[pair.second]
        queries = torch.tensor([first.points[name] for name in pair.names])
        candidates = grid(*second.size, self._step)
        (image, maps), (other, other_maps) = self._read(pair.first), self._read(pair.second)
        found: dict[str, Any] = {}

        def keep(name: str, at: Callable[[Tensor, Any, Tensor], Tensor], a: Tensor, b: Tensor, what: Any) -> None:
            best = nearest(at(a, what, queries), at(b, what, candidates))
            found[name] = candidates[best.cpu()].tolist()

        for layer, field in self._fields.items():
            for source in self._readers:
                keep(f"{source}:{layer}", of_map, maps[source][layer], other_maps[source][layer], field)
            keep(f"{PIXELS}:{layer}", of_pixels, image, other, max(field.size))
        found[SAME_PLACE] = queries.tolist()
        boxed = in_box(queries.numpy(), first, second)
        if boxed is not None:
            found[IN_BOX] = boxed.tolist()
        return found

    def _read(self, index: int) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
        if index not in self._known:
            image = self._gallery.pictures.image(index)
            batch = placed(image[None], self._gallery.model)
            maps = {
                source: {layer: value[0].float().cpu() for layer, value in reader(batch).items()}
                for source, reader in self._readers.items()
            }
            while len(self._known) > 24:  # a picture comes up again soon, or not at all
                self._known.pop(next(iter(self._known)))
            self._known[index] = image.float().cpu(), maps
        return self._known[index]


def in_box(places: np.ndarray, first: Marked, second: Marked) -> np.ndarray | None:
    """Places [Q,2] of one picture moved as the box around its object is to that of another; None: not known."""
    boxes = []
    for each in (first, second):
        if each.mask is None or not each.mask.any():
            return None
        inside = np.argwhere(each.mask)
        boxes.append((inside.min(axis=0), inside.max(axis=0) - inside.min(axis=0) + 1))
    (start, size), (other_start, other_size) = boxes
    moved: np.ndarray = (places - start) / size * other_size + other_start
    return moved


def distances(found: Sequence[Sequence[float]], pair: Pair, marks: Landmarks) -> np.ndarray:
    """How far each of the pair's points was found from where it is, in pixels [Q]."""
    right = np.array([marks[pair.second].points[name] for name in pair.names])
    apart: np.ndarray = np.hypot(*(np.array(found) - right).T)
    return apart


def by_chance(pair: Pair, marks: Landmarks, radius: float, *, on_object: bool) -> float | None:
    """The share of points that a random place would hit within so many pixels; None: the object is not known.

    on_object: a place on the object, in place of anywhere in the image.
    """
    second = marks[pair.second]
    if on_object and (second.mask is None or not second.mask.any()):
        return None
    there = np.argwhere(second.mask if on_object and second.mask is not None else np.ones(second.size, bool))
    shares = [float((np.hypot(*(there - second.points[name]).T) <= radius).mean()) for name in pair.names]
    return sum(shares) / len(shares)
