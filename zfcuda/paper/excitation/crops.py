"""The strongest patches of a layer's units and their projections, cut out, and what of the truth lies there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from zfcuda.data.preprocess_facts import as_ours
from zfcuda.data.transforms import image_of
from zfcuda.features.loading import placed
from zfcuda.features.strongest_patches import StrongestPatches
from zfcuda.network import Network, trace
from zfcuda.paper.gallery import Gallery
from zfcuda.report.attempt import attempted
from zfcuda.report.explanation import Form
from zfcuda.report.patches.drawing import TILE, cut_out, shown_box
from zfcuda.report.patches.joined import LayerPatches, places_of, projections_of, winners_of
from zfcuda.report.subject import Subject

#: What is known of each patch where the truth is, in the order of Crops.truth.
TRUTH = ("centre on the part", "part", "centre on the object", "object", "projection on the part", "part of the field")


@dataclass(frozen=True)
class Crops:
    """What excites some units of a layer most, cut out to what they see; at most TILE pixels wide and high.

    Attributes:
        units: int64 [U], their numbers.
        indices: int64 [U,top], which picture; -1 where there is none.
        patches: uint8 [U,top,3,h,w], red, green, blue.
        projections: float16 [U,top,3,h,w], each unit to a scale of its own, on which its largest magnitude is 1; zeros
            where they cannot be had.
        inside: bool [U,top,h,w], what lies within the picture; nowhere where there is no patch.
        truth: float32 [U,top,6], by TRUTH: whether the middle of the field is on the defining part, the share of the
            picture that is, the same of the object; the share of the projection's energy that is on the part, and the
            share of the field that is. NaN where it is not known.
        form: how they are projected; None where they cannot be. refusal: why not.
        field: (height, width) of what a unit sees, in pixels.
    """

    units: Tensor
    indices: Tensor
    patches: Tensor
    projections: Tensor
    inside: Tensor
    truth: Tensor
    form: Form | None
    refusal: str
    field: tuple[int, int]

    def tensors(self) -> dict[str, Tensor]:
        """All of it as tensors, which of() takes back."""
        words = f"{'' if self.form is None else self.form.value}\n{self.refusal}".encode()
        return {
            "units": self.units,
            "indices": self.indices,
            "patches": self.patches,
            "projections": self.projections,
            "inside": self.inside,
            "truth": self.truth,
            "words": torch.tensor(list(words), dtype=torch.uint8),
            "field": torch.tensor(self.field),
        }

    @staticmethod
    def of(tensors: dict[str, Tensor]) -> Crops:
        """From tensors()."""
        form, refusal = bytes(tensors["words"].tolist()).decode().split("\n", 1)
        height, width = tensors["field"].tolist()
        return Crops(
            units=tensors["units"],
            indices=tensors["indices"],
            patches=tensors["patches"],
            projections=tensors["projections"],
            inside=tensors["inside"],
            truth=tensors["truth"],
            form=Form(form) if form else None,
            refusal=refusal,
            field=(height, width),
        )


def crops(gallery: Gallery, subject: Subject, found: StrongestPatches, rows: Sequence[int]) -> Crops:
    """Cuts out the strongest patches of some units, and their projections.

    Args:
        rows: the units, by their rows in `found`.
    """
    layer = LayerPatches(found, list(rows))
    top = found.values.shape[1]
    cut: dict[tuple[int, int], _Cut] = {}
    networks: dict[tuple[int, ...], tuple[Network | None, str]] = {}
    for index in winners_of(layer):
        one, picture, masks = _looked_at(gallery, index)
        image = placed(one[None], gallery.model)
        shape = tuple(image.shape)
        if shape not in networks:
            networks[shape] = attempted(partial(trace, gallery.model, image))
        network, why = networks[shape]
        layer.refusal = layer.refusal or why
        signals: Tensor | None = None
        at = places_of(layer, index)
        if network is not None and not layer.refusal:
            signals, layer.refusal = attempted(partial(projections_of, network, layer, image, at))
        for number, place in enumerate(at):
            signal = None if signals is None else subject.in_colour(signals[number])
            cut[place] = _cut(picture, found.boxes[place].tolist(), signal, masks)
    return _joined(layer, cut, top)


@dataclass(frozen=True)
class _Cut:
    patch: Tensor  # uint8 [3,h,w]
    projection: Tensor  # [3,h,w]
    inside: Tensor  # bool [h,w]
    truth: list[float]
    field: tuple[int, int]


def _cut(
    picture: Image.Image, field: Sequence[int], signal: Tensor | None, masks: tuple[Tensor, Tensor] | None
) -> _Cut:
    box = shown_box(field, picture.size)
    top, left, bottom, right = box
    size = (max(1, bottom - top), max(1, right - left))
    inside = torch.zeros(size, dtype=torch.bool)
    rows, columns = slice(max(0, top), min(bottom, picture.height)), slice(max(0, left), min(right, picture.width))
    there = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    inside[there] = True
    projection = torch.zeros(3, *size)
    if signal is not None:
        projection[(slice(None), *there)] = signal[:, rows, columns]
    patch = torch.from_numpy(np.array(cut_out(picture, box))).permute(2, 0, 1)
    truth = [float("nan")] * len(TRUTH)
    if masks is not None:
        middle = [min(max(0, (field[i] + field[i + 2]) // 2), size_ - 1) for i, size_ in enumerate(picture.size[::-1])]
        part, thing = masks
        energy = torch.zeros(1) if signal is None else signal.square().sum(0)
        truth = [
            float(part[middle[0], middle[1]]),
            float(part.float().mean()),
            float(thing[middle[0], middle[1]]),
            float(thing.float().mean()),
            float(energy[part].sum() / energy.sum()) if energy.any() else float("nan"),
            float(part[rows, columns].float().mean()),
        ]
    return _Cut(patch, projection, inside, truth, (field[2] - field[0], field[3] - field[1]))


def _joined(layer: LayerPatches, cut: dict[tuple[int, int], _Cut], top: int) -> Crops:
    """All crops in tensors of one size, that of the largest, at most TILE each way."""
    sizes = [each.inside.shape for each in cut.values()] or [torch.Size((1, 1))]
    high, wide = (max(size[i] for size in sizes) for i in (0, 1))
    scale = min(1.0, TILE / max(high, wide))
    size = (max(1, round(high * scale)), max(1, round(wide * scale)))
    count = len(layer.rows)
    patches = torch.zeros(count, top, 3, *size, dtype=torch.uint8)
    projections, inside = torch.zeros(count, top, 3, *size), torch.zeros(count, top, *size, dtype=torch.bool)
    truth = torch.full((count, top, len(TRUTH)), float("nan"))
    for row, unit in enumerate(layer.rows):
        for place in range(top):
            each = cut.get((unit, place))
            if each is not None:
                patches[row, place] = _sized(each.patch.float(), size).round().clamp(0, 255).to(torch.uint8)
                projections[row, place] = _sized(each.projection, size)
                inside[row, place] = _sized(each.inside[None].float(), size)[0] > 0.99
                truth[row, place] = torch.tensor(each.truth)
    indices = layer.found.indices[layer.rows]
    form = None if layer.refusal else layer.form
    if form is None:
        projections.zero_()
    largest = projections.abs().amax((1, 2, 3, 4), keepdim=True)
    projections = (projections / largest.clamp(min=1e-30)).half()  # half the memory
    fields = [each.field for each in cut.values()] or [(0, 0)]
    return Crops(
        layer.found.units[layer.rows], indices, patches, projections, inside, truth, form, layer.refusal, max(fields)
    )


def _sized(values: Tensor, size: tuple[int, int]) -> Tensor:
    """[C,h,w] in another size, each pixel the mean of what it covers."""
    if values.shape[1:] == size:
        return values
    return functional.interpolate(values[None], size, mode="area")[0]


def _looked_at(gallery: Gallery, index: int) -> tuple[Tensor, Image.Image, tuple[Tensor, Tensor] | None]:
    """The image of a picture [C,H,W], what the network sees of it, and where the defining part and the object are.

    The last are bool [H,W]; None where it is not known.
    """
    preprocess = gallery.pictures.preprocess
    ours = as_ours(preprocess)
    if gallery.parts is None or preprocess is None or ours is None:
        return *gallery.pictures.image_and_picture(index), None
    drawn = gallery.parts.draw(index)  # once, for the picture and the masks
    part, thing = (gallery.mask(mask) for mask in (drawn.part_mask, drawn.object_mask))
    image = image_of(preprocess, drawn.image, "preprocess")[0]
    return image, ours.crop(drawn.image).convert("RGB"), (part, thing)
