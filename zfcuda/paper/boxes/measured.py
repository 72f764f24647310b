"""Boxes around the maps of one drawn picture, by every rule, and the true ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from torch import Tensor
from tqdm import tqdm

from zfcuda.methods import method
from zfcuda.paper.boxes.components import Box, box_of
from zfcuda.paper.boxes.rule import RULES, boxes
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import NotApplicableError
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.occluder.cases import answer_of

#: What is to be found: the word in tables -> the mask of a drawn picture.
OBJECTS = {"object": "object_mask", "part": "part_mask"}


@dataclass
class Boxed:
    """A picture and its boxes.

    Attributes:
        index: its number. size: (H, W) of its image.
        true: what is to be found -> its box; both of them.
        found: method -> a box for each of RULES.
    """

    index: int
    size: tuple[int, int]
    true: dict[str, Box]
    found: dict[str, list[Box]] = field(default_factory=dict)


def true_boxes(gallery: Gallery, index: int) -> dict[str, Box]:
    """The boxes around object and defining part, in the network's image; what is cut off is missing.

    Raises:
        NotApplicableError: it is not known where they are.
    """
    if gallery.parts is None:
        raise NotApplicableError("it is not known where in these pictures the objects are; --data parts has masks")
    picture = gallery.parts[index]
    found = {name: box_of(gallery.mask(getattr(picture, mask)).numpy()) for name, mask in OBJECTS.items()}
    return {name: box for name, box in found.items() if box is not None}


def map_of(gallery: Gallery, index: int, name: str) -> Tensor:
    """A method's map [H,W] of a picture, for its class, or the network's answer where the network has no such class."""
    image, label = gallery.image(index), gallery.label(index)
    target = answer_of(gallery, image) if label is None else label
    return method(name).compute(gallery.model, image, [target])[0]


def boxed(
    gallery: Gallery, indices: Sequence[int], methods: Sequence[str], cache: Cache, *, progress: bool = False
) -> Iterator[Boxed]:
    """The boxes of pictures, each computed once; those whose object or part is cut off are left out."""
    rules = [[rule.blur, rule.share] for rule in RULES]
    with ExitStack() as stack:
        known = {
            name: stack.enter_context(cache.kept(gallery, "boxes", {"method": name, "rules": rules}))
            for name in methods
        }
        for index in tqdm(indices, desc="boxes", unit="picture", disable=not progress):
            true = true_boxes(gallery, index)
            if len(true) < len(OBJECTS):
                continue
            for name, kept in known.items():
                if index not in kept.records:
                    map = map_of(gallery, index, name)
                    kept.add({"picture": index, "size": list(map.shape), "boxes": boxes(map)})
            records = {name: kept.records[index] for name, kept in known.items()}
            height, width = next(iter(records.values()))["size"]
            yield Boxed(index, (height, width), true, {name: record["boxes"] for name, record in records.items()})
