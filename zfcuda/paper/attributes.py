"""Performance as a function of image attributes: lightness, contrast, clutter, sizes, and each part covered."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from zfcuda.data.pictures import PictureError
from zfcuda.inputs import integer
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import Figure, NotApplicableError, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.performance import drawing, summary
from zfcuda.paper.performance.edits import (
    AS_IT_IS,
    AS_OBJECT,
    CLUTTER,
    CONTRAST,
    COVERED,
    LEFT_OUT,
    LIGHTNESS,
    OBJECT,
    PART,
    REST,
    SIZE,
    Edit,
)
from zfcuda.paper.performance.measured import Asked, edited, edits_of, observed, whole_picture
from zfcuda.paper.result import Result

_SHOWN: dict[str, tuple[float | str, ...]] = {
    LIGHTNESS: (-60, 60),
    CONTRAST: (0.2, 2.0),
    SIZE: (0.5, 1.6),
    CLUTTER: (1.0,),
    LEFT_OUT: (PART, "face"),
    COVERED: (PART, REST, OBJECT, AS_OBJECT),
}


def attributes(
    model: nn.Module,
    pictures: Any = None,
    *,
    count: int = 600,
    edits: int = 72,
    seed: int = 0,
    preprocess: Any = None,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Measures accuracy and the probability of the class as a function of attributes of the pictures.

    Twice: over the pictures as they are, in fifths by each attribute; and with one attribute changed alone, all else as
    it was. Of Parts lightness, contrast, clutter, the size of the object and of its defining part are known, pieces are
    left out or covered with grey, and so are object and defining part, beside as many pixels of the background. Of
    other pictures there are lightness and contrast alone.

    Args:
        model: any network that gives scores [N,classes].
        pictures: as :class:`zfcuda.paper.gallery.Gallery` takes them; Parts, a folder, or pictures.
        count: of the pictures that are looked at as they are.
        edits: of those that are changed; at random, as many of each class.
        seed: of the choice, of the order in which clutter goes, and of places in the background.
        preprocess: as :class:`zfcuda.paper.gallery.Gallery` takes it.
        cache: where what was measured is kept.
        progress: show bars on stderr.

    Returns:
        Tables with 95 % intervals: Wilson's of accuracies, the bootstrap's over pictures of means. Tensors: `pictures`
        int64 [count], `attributes` [count,attributes], `probability` [count].

    Raises:
        TypeError, ValueError: naming the argument.
        NotApplicableError: images came as tensors; or the network gives no scores, or none for the classes of Parts.

    Source: the question of the notes of CS231n (Stanford), "performance as a function of image attributes", after the
    occlusion maps of Zeiler & Fergus, arXiv 1311.2901, section 4.2.
    """
    integer("count", count, 2)
    integer("edits", edits, 2)
    gallery = pictures if isinstance(pictures, Gallery) else Gallery(model, pictures, preprocess=preprocess)
    cache = cache or Cache()
    looked_at = _readable(gallery, gallery.sample(count, seed=seed))
    if gallery.parts is not None and gallery.label(looked_at[0]) is None:
        raise NotApplicableError("attributes: the network has none of the classes of Parts, and knows no right answer")
    try:
        asked = Asked(gallery, whole_picture(gallery, looked_at[0]))
    except ValueError as error:
        raise NotApplicableError(str(error)) from error
    as_they_are = observed(asked, cache, looked_at, progress=progress)
    chosen = [
        index for index in gallery.sample(edits, seed=seed) if index in set(looked_at) or _can_read(gallery, index)
    ]
    changed = edited(asked, cache, chosen, seed=seed, progress=progress)
    return _result(gallery, as_they_are, changed, seed)


def _result(gallery: Gallery, as_they_are: summary.Records, edited: summary.Records, seed: int) -> Result:
    bins, ranks, rows = summary.binned(as_they_are), summary.ranked(as_they_are), summary.changed(edited)
    pieces = summary.pieces(edited)
    result = Result()
    result.tables = {
        "One attribute changed": rows,
        **({"Pieces left out and covered": pieces} if pieces else {}),
        "As they are, by fifths": bins,
        "Rank correlation with the probability": ranks,
    }
    result.claims = [*(summary.covering(edited) if pieces else []), summary.mattering(ranks, rows)]
    names = list(as_they_are[0]["attributes"])
    result.tensors = {
        "pictures": torch.tensor([record["picture"] for record in as_they_are]),
        "attributes": torch.tensor([[record["attributes"][name] for name in names] for record in as_they_are]),
        "probability": torch.tensor([record["probability"] for record in as_they_are]),
    }
    drawn = {
        "": drawing.changed_picture(rows),
        "pieces": drawing.pieces_picture(pieces) if pieces else None,
        "observed": drawing.observed_picture(bins),
        "edits": drawing.edits_sheet(_shown(gallery, edited[0]["picture"], seed)),
    }
    result.pictures = {name: picture for name, picture in drawn.items() if picture is not None}
    result.free = {"", "pieces", "observed"} & set(result.pictures)
    known = sum(gallery.label(record["picture"]) is not None for record in as_they_are)
    right = sum(bool(record["right"]) for record in as_they_are)
    result.notes = [
        f"{len(as_they_are)} pictures as they are, of which {right} are answered rightly; {len(edited)} of them are "
        f"changed. The class is the true one of {known}, of the others the one that the network gives to it as it "
        "is.",
        "Values that leave 0 to 255 are clipped, so that much lightness or contrast takes away detail as well.",
        "Correlations over pictures as they are do not tell causes apart: the larger an object, the larger its part.",
    ]
    if gallery.parts is not None:
        result.notes.append(
            "Where a piece is left out stands what it had covered. Sizes are changed about the defining part, which "
            "stays where it is, though some of it may leave the picture; a smaller picture is framed in grey. Grey is "
            "the colour that the network gets as 0."
        )
    return result


def _shown(gallery: Gallery, index: int, seed: int) -> list[Edit]:
    original = Edit(AS_IT_IS, "", whole_picture(gallery, index), 0.0)
    found = [edit for edit in edits_of(gallery, index, seed=seed) if edit.amount in _SHOWN.get(edit.what, ())]
    return [original, *found]


def _readable(gallery: Gallery, indices: list[int]) -> list[int]:
    if gallery.pictures.tensor is not None or gallery.pictures.preprocess is None:
        raise NotApplicableError("attributes: expected pictures, whose light can be changed, got images as tensors")
    found = [index for index in indices if _can_read(gallery, index)]
    if len(found) < 2:
        raise NotApplicableError(f"attributes: expected at least two pictures that can be read, got {len(found)}")
    return found


def _can_read(gallery: Gallery, index: int) -> bool:
    if gallery.parts is not None:
        return True
    try:
        return gallery.pictures.whole(index) is not None
    except (PictureError, ValueError, TypeError, OSError):
        return False


def _run(setting: Setting) -> Result:
    return attributes(setting.model, setting.gallery, cache=setting.cache, seed=setting.seed, progress=setting.progress)


FIGURE = Figure(
    name="attributes",
    title="Performance as a function of image attributes",
    source="the notes of CS231n; the occluder is that of Zeiler & Fergus, section 4.2",
    says="The notes ask how a network does as a function of attributes of the picture. The paper covers part of a "
    "picture with grey and finds that the class becomes less probable where the object is covered: the network looks "
    "at the object, and not at what surrounds it.",
    run=_run,
)
