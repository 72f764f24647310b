"""Localisation: a box around each method's map, held against the true one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from zfcuda.backward import UnprojectableError
from zfcuda.inputs import integer
from zfcuda.method_names import chosen
from zfcuda.paper.boxes.compared import best, claims, fits
from zfcuda.paper.boxes.measured import Boxed, boxed, map_of, true_boxes
from zfcuda.paper.boxes.sheet import bars, sheet
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import Figure, NotApplicableError, Option, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.result import Result

_SHOWN = 4
_TO_TUNE = 40  # pictures that the command tunes on; of fewer than are asked for it measures three in five
_TO_MEASURE, _TO_SHARE, _FEWEST = 3, 5, 4


def localisation(
    model: nn.Module,
    pictures: Any = None,
    *,
    methods: Sequence[str] | str = ("occlusion", "deconvnet", "gradcam"),
    count: int = 60,
    tuned_on: int = _TO_TUNE,
    seed: int = 0,
    preprocess: Any = None,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Draws a box around each method's map of the class, and measures how well it fits object and defining part.

    The box is that of the largest component of what is at least some share of the blurred map's maximum (Zhou et al.
    2016, section 3.2). Blur and share are chosen for each method among the same 40 settings, by the mean intersection
    over union on other pictures than those that are measured; the box in the middle of the picture is tuned on these,
    too. The class is the true one, whatever the network answers; its answer where it has no such class.

    Args:
        model: any network that the methods take.
        pictures: as :class:`zfcuda.paper.gallery.Gallery` takes them: drawn ones, whose masks are known.
        methods: names out of zfcuda.methods; "all" is every one.
        count: how many pictures are measured.
        tuned_on: how many others blur and share are chosen on.
        seed: of the choice of pictures.
        preprocess: as Gallery takes it.
        cache: where boxes are kept.
        progress: show a bar on stderr.

    Returns:
        A table: mean intersection over union and share of pictures from 0.5 on, with 95 % intervals. Tensors: for each
        box and what is wanted float64 [pictures], the overlaps; pictures int64, which those are.

    Raises:
        NotApplicableError: it is not known where the objects are, or the network suits none of the methods; one that
            it does not suit is left out, and a note says why.
        TypeError, ValueError: no such method; a number out of range, or more pictures than there are.
    """
    chosen(methods)  # a word that is none is told before any work
    for word, number in (("count", count), ("tuned_on", tuned_on)):
        if integer(word, number) < 2:
            raise ValueError(f"{word}: expected at least 2 pictures, got {number}")
    gallery = pictures if isinstance(pictures, Gallery) else Gallery(model, pictures, preprocess=preprocess)
    true_boxes(gallery, 0)
    if count + tuned_on > len(gallery):
        raise ValueError(f"count, tuned_on: expected at most {len(gallery)} in all, got {count} and {tuned_on}")
    names, lacking = _able(gallery, chosen(methods))
    taken = gallery.sample(count + tuned_on, seed=seed)
    tuning = sorted(random.Random(seed).sample(taken, tuned_on))
    rest = sorted({*taken} - {*tuning})
    cache = cache or Cache()
    both = list(boxed(gallery, [*tuning, *rest], names, cache, progress=progress))
    tuned, measured = ([one for one in both if (one.index in tuning) == first] for first in (True, False))
    if not tuned or not measured:
        raise ValueError("pictures: expected some whose object and part the network sees, got none")
    found = fits(tuned, measured, names)
    result = Result(tables={"boxes": [fit.row() for fit in found]}, claims=claims(found))
    result.tensors = {f"{fit.wanted}.{fit.name}": torch.tensor(fit.overlaps, dtype=torch.float64) for fit in found}
    result.tensors["pictures"] = torch.tensor([one.index for one in measured])
    result.pictures[""] = sheet(gallery, measured[:_SHOWN], found, names)
    drawn = bars(found)
    if drawn is not None:
        result.pictures["bars"] = drawn
    result.notes += [
        *best(found),
        f"Rules are tuned on {len(tuned)} pictures, and measured on {len(measured)} others, drawn at random.",
        f"{_of_class(gallery, measured)} What speaks against it is left out of a map. A box "
        "around all of a picture, and one in its middle whose size was tuned likewise, look at no picture.",
        *lacking,
    ]
    return result


def _of_class(gallery: Gallery, measured: Sequence[Boxed]) -> str:
    if any(gallery.label(one.index) is None for one in measured):
        return "The class is the one that the network answers where it has not that of the picture."
    return "The class is the true one, also where the network errs."


def _able(gallery: Gallery, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The methods that this network can be asked by, and a sentence for each of the others.

    Raises:
        NotApplicableError: there is none.
    """
    able, lacking = [], []
    for name in names:
        try:
            map_of(gallery, 0, name)
            able.append(name)
        except ValueError as error:
            if not (isinstance(error, UnprojectableError) or str(error).startswith("layer: ")):
                raise
            lacking.append(f"Without {name}: {error}.")
    if not able:
        raise NotApplicableError(" ".join(lacking))
    return able, lacking


def _run(setting: Setting) -> Result:
    pictures, count = len(setting.gallery), setting.options["count"]
    if setting.gallery.parts is not None and pictures < _FEWEST:
        raise NotApplicableError(f"pictures: expected at least {_FEWEST}, got {pictures}")
    count = min(count, pictures * _TO_MEASURE // _TO_SHARE) if pictures < count + _TO_TUNE else count
    return localisation(
        setting.model,
        setting.gallery,
        methods=setting.options["methods"],
        count=count,
        tuned_on=max(2, min(_TO_TUNE, pictures - count)),
        seed=setting.seed,
        cache=setting.cache,
        progress=setting.progress,
    )


FIGURE = Figure(
    name="localisation",
    title="Localisation: boxes around maps",
    source="Zhou et al. 2016, section 3.2 (Simonyan et al. 2013, section 3.2, has another rule); not in the paper",
    says="The paper shows by its occluder that a network localises the object although nobody told it where that is. "
    "A box around a map of what matters says how exactly: how much of it and of the true box they have in common, "
    "against a box in the middle of the picture.",
    run=_run,
    options=(
        Option("methods", "occlusion,deconvnet,gradcam", "NAMES", "whose maps, of zfcuda truth; all: every one"),
        Option("count", 60, "N", "pictures that the claims are measured on"),
    ),
)
