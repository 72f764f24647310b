"""The five panels of Figure 7 for one picture, as numbers and signals; nothing is drawn here."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from zfcuda.features.strongest_patches import StrongestPatches
from zfcuda.occlusion import OcclusionMap
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.occluder.cases import Case
from zfcuda.paper.occluder.experiment import Occluder, occluded
from zfcuda.paper.occluder.watched import Projected, Watched, projected, watched

OTHERS = 3  # pictures beside whose projections a picture's own stands, as in the paper


@dataclass
class Panels:
    """What the five panels of a picture show.

    Attributes:
        case: the picture (a). part: bool [H,W], what its class depends on; None where that is not known.
        map: activity (b), probability (d) and label (e) for each place of the occluder.
        watched: the feature map that is followed.
        projection: what of the picture excites it (c); None where that cannot be had. refusal: why.
        others: number of a picture -> the same of it, of those in which the map is strongest.
    """

    case: Case
    part: Tensor | None
    map: OcclusionMap
    watched: Watched
    projection: Projected | None
    refusal: str
    others: dict[int, Projected] = field(default_factory=dict)


def panels(case: Case, occluder: Occluder) -> Panels:
    """Moves the occluder over a picture, and projects the map that is followed; without the other pictures."""
    image = case.gallery.image(case.index)
    found = watched(case.gallery.model, image, occluder.layer)
    projection, refusal = projected(case.gallery.model, image, found.source, found.unit, found.place)
    return Panels(case, part_of(case), occluded(case, occluder, image, found), found, projection, refusal)


def add_others(one: Panels, gallery: Gallery, patches: StrongestPatches) -> None:
    """Adds projections of the same map from the pictures in which it is strongest, the picture itself left out."""
    row = (patches.units == one.watched.unit).nonzero()[0, 0]
    assert patches.positions is not None  # a convolution gives maps
    strongest = zip(patches.indices[row].tolist(), patches.values[row], patches.positions[row].tolist(), strict=True)
    for index, value, (y, x) in strongest:
        itself = one.case.gallery is gallery and index == one.case.index
        if len(one.others) < OTHERS and index >= 0 and value > 0 and not itself:
            signal, _ = projected(gallery.model, gallery.image(index), one.watched.source, one.watched.unit, (y, x))
            if signal is not None:
                one.others[index] = signal


def part_of(case: Case) -> Tensor | None:
    """The pixels of the image that the class of a drawn picture depends on, bool [H,W]; None for other pictures."""
    parts = case.gallery.parts
    if parts is None:
        return None
    mask = case.gallery.mask(parts[case.index].part_mask)
    return mask if mask.any() else None
