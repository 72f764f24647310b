"""Table 1: does the network know that an eye of one picture corresponds to the eye of another?"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from zfcuda.features.loading import first_image, placed
from zfcuda.paper.cache import Cache
from zfcuda.paper.estimate import Estimate, interval, unknown
from zfcuda.paper.figure import Figure, NotApplicableError, Option, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.masking.claims import claims
from zfcuda.paper.masking.compared import POOLED, Compared, compared, has_places, p_value
from zfcuda.paper.masking.drawing import curves, sheet
from zfcuda.paper.masking.groups import check, groups_of
from zfcuda.paper.masking.squares import ANYWHERE, ON_OBJECT, SHARED, Square, squares
from zfcuda.paper.points import Landmarks
from zfcuda.paper.reading import LayerReader, reading
from zfcuda.paper.result import Result, Row
from zfcuda.train.transfer.layers import default_layers


def table1(
    model: nn.Module,
    pictures: Any = None,
    *,
    points: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    parts: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    group: int = 5,
    groups: int = 24,
    turns: int = 3,
    mask: float = 1 / 7,
    fill: float = 0.0,
    seed: int = 0,
    preprocess: Any = None,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Masks the same part in several pictures of a class and compares how the features change (section 4.3, Table 1).

    For each picture i of a group, eps_i is its features less those of the picture with a grey square on the part. Delta
    is the mean over the pairs i, j of the normalised Hamming distance of sign(eps_i) and sign(eps_j), signs of -1, 0
    and 1: the share of units whose signs differ. Units that change in neither picture agree, so that Delta is small
    already where a square changes little, as it does beside the object. Beside it stands Cohen's kappa, how much more
    often signs agree than by chance with as many units changed, and the share of opposite signs among the units that
    change in both.

    Args:
        model: any network.
        pictures: as :class:`zfcuda.paper.gallery.Gallery` takes them.
        points: where the parts are, as :class:`zfcuda.paper.points.Landmarks` takes them; None: as Parts know.
        parts: names of points; None: those that at least half of the pictures have.
        layers: names; None: the last layer with maps, and the last layer before the classes: the paper's 5 and 7.
        group: pictures that are compared with one another, all of one class; the paper has 5.
        groups: how many such groups, of as many classes as possible; fewer where there are no more pictures.
        turns: random squares of each kind in each picture.
        mask: the side of the square, a share of the image's shorter side.
        fill: its value, in the network's units.
        seed: of the choice of pictures and of the random places.
        preprocess: as Gallery takes it.
        cache: where the distances are kept.
        progress: show bars on stderr.

    Returns:
        A row for each layer and each part or kind of random places: of Delta ("distance"), of Cohen's kappa and of the
        share of opposite signs the mean over the groups, its 95 % interval (bootstrap over groups), and the p value of
        a permutation test against random places on the object, or anywhere, where it is not known; of Delta also the
        standard deviation over the groups ("spread"). Tensors "LAYER:KIND" float32 [groups] with each group's distance.

    Raises:
        NotApplicableError: there are no points, or not two pictures of a class with all of the parts.
        ValueError: naming the argument.
    """
    check(group, groups, turns, mask)
    gallery = pictures if isinstance(pictures, Gallery) else Gallery(model, pictures, preprocess=preprocess)
    cache = cache or Cache()
    marks = Landmarks(gallery, points)
    image = placed(first_image(gallery.pictures)[None], gallery.model)
    names = list(layers) if layers else _layers(gallery.model, image)
    names_of_parts, chosen = groups_of(gallery, marks, parts, group, groups, seed, progress)
    side = max(1, round(mask * min(image.shape[2:])))
    found: list[Compared] = []
    first: list[list[Square]] = []
    with ExitStack() as stack:
        readers: list[LayerReader] = []

        def reader() -> LayerReader:
            if not readers:
                readers.append(stack.enter_context(reading(gallery.model, names)))
            return readers[0]

        for indices in tqdm(chosen, desc="table 1", unit="group", disable=not progress, leave=False):
            here = squares(indices, [marks[index] for index in indices], names_of_parts, turns, seed)
            first = first or here
            found.append(compared(gallery, reader, indices, here, layers=names, side=side, fill=fill, cache=cache))
    kinds = [kind for kind in dict.fromkeys(each.kind for each in found[0].squares)]
    result = Result()
    result.tables["Distance of the signs of feature changes"] = [
        _row(found, kind, layer, seed) for layer in found[0].changed for kind in kinds
    ]
    for layer in found[0].changed:
        for kind in kinds:
            result.tensors[f"{layer}:{kind}"] = torch.tensor([each.mean(kind, layer) for each in found])
    result.claims = claims(found, names, names_of_parts, result.rows)
    result.notes = _notes(found, chosen, side, turns)
    plot = curves(result.rows, names_of_parts)
    one_each = [[square for square in here if square.turn == 0] for here in first]
    result.pictures = {"": plot if plot is not None else sheet(gallery, chosen[0], one_each, side)}
    result.free = {""} if plot is not None else set()
    return result


def _layers(model: nn.Module, image: torch.Tensor) -> list[str]:
    """The last layer with maps of more than one place, and the last vector: the paper's layers 5 and 7."""
    try:
        names = default_layers(model, image)
    except ValueError as error:
        raise NotApplicableError(str(error)) from error
    with reading(model, names) as read:
        shapes = read(image)
    with_places = [name for name in names if has_places(shapes[name])]
    without = [name for name in names if not has_places(shapes[name])]
    return [*with_places[-1:], *without[-1:]]


def _row(found: Sequence[Compared], kind: str, layer: str, seed: int) -> Row:
    random_kind = kind in (ANYWHERE, ON_OBJECT, SHARED)
    row: dict[str, Any] = {"layer": layer, "masked": kind}
    for name in ("distance", "kappa", "opposite"):
        each = _finite([group.mean(kind, layer, name) for group in found])
        row |= Estimate.of(each).columns(name) if each else unknown(name)
        if len(each) == 1:
            row[interval(name)] = None
        if name == "distance":
            row["spread"] = statistics.stdev(each) if len(each) > 1 else None
        row[f"{name} p"] = None if random_kind else p_value(found, kind, layer, name, seed)
    row["units that change"] = statistics.fmean(group.share(kind, layer) for group in found)
    return row


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _notes(found: Sequence[Compared], chosen: Sequence[Sequence[int]], side: int, turns: int) -> list[str]:
    sizes = sorted({len(each) for each in chosen})
    pictures = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    notes = [
        f"{len(chosen)} groups of {pictures} pictures, each of one class; squares of {side} pixels, grey; "
        f"{turns} random squares of each kind in each picture.",
        "distance: the share of all units whose signs (-1, 0, 1) differ. A unit that changes in neither picture "
        "agrees, so that the distance is the smaller the fewer units a square changes.",
        "kappa: how much more often signs agree than they would by chance with as many units up, down and unchanged "
        "(Cohen 1960): 0 is chance, 1 the same change. opposite: the share of opposite signs among the units that "
        "change in both pictures; one half is chance.",
        f"{POOLED[2:].capitalize()}: each map's mean is compared, so that it does not count where in the picture the "
        "square lies.",
        f"{SHARED.capitalize()}: what two pictures agree in because the squares lie at the same place.",
    ]
    notes.append(
        f"p: of a permutation test against {found[0].control}, 1,999 exchanges within pictures, one-sided, not "
        "corrected for the number of parts."
    )
    if found[0].control != ON_OBJECT:
        notes.append(
            "The paper's control is random parts of the object; where that is, is not known of these pictures."
        )
    return notes


def _run(setting: Setting) -> Result:
    return table1(
        setting.model,
        setting.gallery,
        points=setting.options.get("points") or None,
        group=setting.options.get("group", 5),
        groups=setting.options.get("groups", 24),
        mask=setting.options.get("mask", 1 / 7),
        seed=setting.seed,
        cache=setting.cache,
        progress=setting.progress,
    )


FIGURE = Figure(
    name="table1",
    title="Table 1: the same part masked in several pictures",
    source="Zeiler & Fergus, Table 1 and section 4.3",
    says="Left eye, right eye or nose of five pictures of dogs are masked, and the signs of how the features change "
    "are compared between the pictures by their Hamming distance. At layer 5 the distance is lower for these parts "
    "(0.067 to 0.079) than for random parts of the object (0.107): the network establishes some correspondence of "
    "parts, though nobody told it to. At layer 7 it is about the same for all (0.068 to 0.073), perhaps because the "
    "upper layers tell breeds apart.",
    run=_run,
    options=(
        Option("points", "", "FILE", "parts of your own pictures: lines of picture, part, y, x under these headings"),
        Option("group", 5, "N", "pictures whose changes are compared with one another"),
        Option("groups", 24, "N", "how many such groups"),
        Option("mask", 0.143, "SHARE", "side of the grey square, a share of the image's side"),
    ),
)
