"""What a network says of pictures as they are, and of their edits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from zfcuda.answers import scores_of
from zfcuda.data.preprocess_facts import as_ours
from zfcuda.features.loading import placed
from zfcuda.independence import coupling
from zfcuda.inputs import normalization, probabilities
from zfcuda.memory.budget import ShrinkingBatches
from zfcuda.network.intact import evaluating, restoring
from zfcuda.network.trace import RECORDING
from zfcuda.paper.cache import Cache
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.performance.edits import CLUTTER, Colour, Edit, group_of, of_parts, of_pixels
from zfcuda.paper.reading import check_finite

_AT_A_TIME = 32
_LUMA = np.array([0.299, 0.587, 0.114])


class Asked:
    """The network of a gallery, asked about pictures.

    Raises:
        ValueError: it gives no scores, or NaN or infinity.
    """

    def __init__(self, gallery: Gallery, first: Image.Image) -> None:
        self.gallery = gallery
        image = self._images([first])
        with restoring(gallery.model), evaluating(gallery.model), torch.no_grad():
            check_finite("its output", self._forward(image))  # what does not fit is told here
        with RECORDING, restoring(gallery.model), evaluating(gallery.model):
            apart = coupling(self._forward, [image]) is None
        self._batches = ShrinkingBatches(_AT_A_TIME if apart else 1)

    def __call__(self, pictures: Sequence[Image.Image]) -> Tensor:
        """The probabilities [n,classes] of pictures, which the gallery's preprocess makes images of."""

        def work(batch: slice) -> Tensor:
            return self._forward(self._images(pictures[batch])).float().cpu()

        with restoring(self.gallery.model), evaluating(self.gallery.model), torch.no_grad():
            logits = torch.cat(self._batches.run(len(pictures), work))
        return probabilities(logits, normalization(logits))

    def _images(self, pictures: Sequence[Image.Image]) -> Tensor:
        preprocess = self.gallery.pictures.preprocess
        assert preprocess is not None
        return placed(torch.cat([preprocess(picture) for picture in pictures]), self.gallery.model)

    def _forward(self, images: Tensor) -> Tensor:
        return scores_of(self.gallery.model(images), len(images))


def observed(asked: Asked, cache: Cache, indices: Sequence[int], *, progress: bool = False) -> list[dict[str, Any]]:
    """A record for each picture as it is: its attributes, the probability of its class, whether the answer is right."""
    gallery = asked.gallery
    with cache.kept(gallery, "attributes", {"version": 1}) as kept:
        missing = [index for index in indices if index not in kept.records]
        bar = tqdm(total=len(missing), desc="attributes", unit="picture", disable=not progress)
        for start in range(0, len(missing), _AT_A_TIME):
            some = missing[start : start + _AT_A_TIME]
            known = [attributes_of(gallery, index) for index in some]
            answers = asked([picture for picture, _ in known])
            for index, (_, values), row in zip(some, known, answers, strict=True):
                kept.add({"picture": index, "attributes": values, **_said(gallery, index, row, row)})
            bar.update(len(some))
        bar.close()
        return [kept.records[index] for index in indices]


def edited(
    asked: Asked, cache: Cache, indices: Sequence[int], *, seed: int = 0, progress: bool = False
) -> list[dict[str, Any]]:
    """A record for each picture: under "edits" what, amount, share, probability, whether the answer is right."""
    gallery = asked.gallery
    with cache.kept(gallery, "edits", {"seed": seed, "version": 1}) as kept:
        for index in tqdm(indices, desc="edits", unit="picture", disable=not progress):
            if index in kept.records:
                continue
            edits = list(edits_of(gallery, index, seed=seed))
            answers = asked([whole_picture(gallery, index), *(edit.picture for edit in edits)])
            rows = [
                {
                    "what": edit.what,
                    "amount": edit.amount,
                    "share": edit.share,
                    **_said(gallery, index, answers[0], row),
                }
                for edit, row in zip(edits, answers[1:], strict=True)
            ]
            kept.add({"picture": index, **_said(gallery, index, answers[0], answers[0]), "edits": rows})
        return [kept.records[index] for index in indices]


def edits_of(gallery: Gallery, index: int, *, seed: int = 0) -> Iterator[Edit]:
    """All that can be changed of a picture."""
    yield from of_pixels(whole_picture(gallery, index))
    if gallery.parts is not None:
        yield from of_parts(gallery.parts, index, grey_of(gallery), seed=seed)


def grey_of(gallery: Gallery) -> Colour:
    """What covers: the mean colour, which the network gets as 0, as far as that is known."""
    preprocess = as_ours(gallery.pictures.preprocess)
    if preprocess is None:
        return (128, 128, 128)
    mean = preprocess.mean * (3 if len(preprocess.mean) == 1 else 1)
    red, green, blue = (round(255 * value) for value in (mean[::-1] if preprocess.order == "bgr" else mean))
    return red, green, blue


def whole_picture(gallery: Gallery, index: int) -> Image.Image:
    """The picture before any preprocess."""
    picture = gallery.pictures.whole(index)
    assert picture is not None
    return picture


def attributes_of(gallery: Gallery, index: int) -> tuple[Image.Image, dict[str, float]]:
    """A picture and its attributes.

    Lightness and contrast: mean and standard deviation of the luma, of 255. Of Parts also the number of pieces of
    clutter, and what object and defining part cover, in percent of the picture.
    """
    if gallery.parts is None:
        picture = whole_picture(gallery, index)
        return picture, _tones(picture)
    drawn = gallery.parts.draw(index)
    pieces = [group_of(name) for name in gallery.parts.pieces(index)]
    return drawn.image, {
        **_tones(drawn.image),
        "pieces of clutter": float(pieces.count(CLUTTER)),
        "object size": 100 * float(drawn.object_mask.mean()),
        "part size": 100 * float(drawn.part_mask.mean()),
    }


def _tones(picture: Image.Image) -> dict[str, float]:
    luma = np.asarray(picture, dtype=np.float64) @ _LUMA
    return {"lightness": float(luma.mean()), "contrast": float(luma.std())}


def _said(gallery: Gallery, index: int, original: Tensor, row: Tensor) -> dict[str, Any]:
    label = gallery.label(index)
    label = int(original.argmax()) if label is None else label
    return {"probability": float(row[label]), "right": int(row.argmax()) == label}
