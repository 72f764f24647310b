"""Do ConvNets learn correspondence? Points of one picture found in another by the nearest feature of each layer."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from zfcuda.faithfulness.randomization import shuffled_from_the_top
from zfcuda.features.loading import first_image, placed
from zfcuda.inputs import integer
from zfcuda.network import ReceptiveField, receptive_fields
from zfcuda.paper.cache import Cache
from zfcuda.paper.estimate import Estimate
from zfcuda.paper.figure import Figure, NotApplicableError, Option, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.matching.drawing import TOLERANCES, curves, matches
from zfcuda.paper.matching.measure import LEARNED, PIXELS, SHUFFLED, Matcher
from zfcuda.paper.matching.pairs import OTHER, Pair, kinds, pairs
from zfcuda.paper.matching.scores import Matched, claims
from zfcuda.paper.points import Landmarks
from zfcuda.paper.reading import reading
from zfcuda.paper.result import Result, Row
from zfcuda.report.layers import chosen, conv_layers

Found = Mapping[str, Sequence[Sequence[float]]]


def correspondence(
    model: nn.Module,
    pictures: Any = None,
    *,
    points: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    layers: Sequence[str] | None = None,
    count: int = 60,
    alpha: float = 0.1,
    step: int = 4,
    seed: int = 0,
    preprocess: Any = None,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Finds known points of pictures in others by the nearest feature of a layer (Long, Zhang, Darrell, NIPS 2014).

    A point of picture A is described by the column of A's feature map at that place; it is matched with the place of
    picture B whose column has the largest cosine with it. Places of B are `step` pixels apart for all layers alike;
    between units, each of which lies in the middle of its receptive field, maps are interpolated. A point is found
    where the match lies within alpha times the longer side of the box around B's object of where the point is in B
    (PCK, the percentage of correct keypoints). The share is that of a pair's points, then the mean over pairs.

    Beside the layers: squares of pixels as large as a layer's receptive field (less their mean, by the same cosine);
    the same layers after the values of each parameter have traded places; and guesses that look at no features.

    Args:
        model: any CNN whose receptive fields are known.
        pictures: as :class:`zfcuda.paper.gallery.Gallery` takes them.
        points: as :class:`zfcuda.paper.points.Landmarks` takes them; None: as Parts know.
        layers: names of layers with maps; None: up to five convolutions, from the first to the last.
        count: pictures whose points are looked for, of all classes in turn; each in one picture of its class, and in
            one of another.
        alpha: the tolerance of the table; the curves have several.
        step: pixels between the places that a point may be matched with.
        seed: of the choice of pictures and of the shuffled weights.
        preprocess: as Gallery takes it.
        cache: where matches are kept, pair by pair.
        progress: show bars on stderr.

    Returns:
        Rows for each kind of pairs and each layer, shares with 95 % intervals (bootstrap over pairs). Tensor
        "KIND:SOURCE:LAYER" float32 [tolerances]: shares over the tolerances in "tolerances".

    Raises:
        NotApplicableError: there are no points, no pairs of pictures with two points in common, or no layer with maps
            whose receptive fields are known.
        ValueError: naming the argument.
    """
    for name, value, least in (("count", count, 1), ("step", step, 1)):
        if integer(name, value) < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")
    if not alpha > 0:
        raise ValueError(f"alpha: expected a share of the object's side, above 0, got {alpha!r}")
    gallery = pictures if isinstance(pictures, Gallery) else Gallery(model, pictures, preprocess=preprocess)
    cache = cache or Cache()
    marks = Landmarks(gallery, points)
    fields = _fields(gallery, layers)
    chosen_pairs = pairs(gallery, marks, count, seed, progress=progress)
    if not chosen_pairs:
        raise NotApplicableError("there are no two pictures of a class with two points in common")
    found = _matched(gallery, marks, fields, chosen_pairs, step, seed, cache, progress)
    matched = {}
    for kind in kinds(chosen_pairs):
        here = [place for place, pair in enumerate(chosen_pairs) if pair.kind == kind]
        matched[kind] = Matched.of([chosen_pairs[place] for place in here], marks, [found[place] for place in here])
    return _result(gallery, marks, fields, matched, list(zip(chosen_pairs, found, strict=True)), alpha, step)


def _fields(gallery: Gallery, layers: Sequence[str] | None) -> dict[str, ReceptiveField]:
    """The layers with maps of more than one place, and what their units see, from the first to the last."""
    image = placed(first_image(gallery.pictures)[None], gallery.model)
    if layers is None:
        convolutions, _ = conv_layers(gallery.model, image)
        with_places = [each for each in convolutions if each.activity.shape[1] * each.activity.shape[2] > 1]
        names = [each.output for each in chosen(with_places, 5)]
    else:
        names = list(layers)
    if not names:
        raise NotApplicableError("the network has no convolutions with maps of more than one place")
    known = receptive_fields(gallery.model, tuple(image.shape[1:]), names)
    fields = {name: field for name, field in known.items() if field is not None and min(map(len, field.spans)) > 1}
    if layers is not None and len(fields) < len(names):
        lost = next(name for name in names if name not in fields)
        raise ValueError(f"layers: expected those with maps whose receptive fields are known, got {lost!r}")
    if not fields:
        raise NotApplicableError("it is not known what the units of this network's layers see")
    return fields


def _matched(
    gallery: Gallery,
    marks: Landmarks,
    fields: Mapping[str, ReceptiveField],
    chosen_pairs: Sequence[Pair],
    step: int,
    seed: int,
    cache: Cache,
    progress: bool,
) -> list[Found]:
    """What each pair's points are matched with, pair by pair, which a run that was broken off goes on with."""
    facts = {
        "pairs": [[pair.first, pair.second] for pair in chosen_pairs],
        "points": [
            [[*marks[index].points[name]] for index in (pair.first, pair.second) for name in pair.names]
            for pair in chosen_pairs
        ],
        "layers": list(fields),
        "step": step,
        "seed": seed,
    }
    with cache.kept(gallery, "matches", facts) as kept, ExitStack() as stack:
        missing = [place for place in range(len(chosen_pairs)) if place not in kept.records]
        if missing:
            readers = {LEARNED: stack.enter_context(reading(gallery.model, list(fields)))}
            *_, (_, shuffled) = shuffled_from_the_top(gallery.model, seed)
            readers[SHUFFLED] = stack.enter_context(reading(shuffled, list(fields)))
            matcher = Matcher(gallery, marks, fields, readers, step)
            for place in tqdm(missing, desc="matches", unit="pair", disable=not progress, leave=False):
                kept.add({"picture": place, "found": matcher(chosen_pairs[place])})
        return [kept.records[place]["found"] for place in range(len(chosen_pairs))]


def _result(
    gallery: Gallery,
    marks: Landmarks,
    fields: Mapping[str, ReceptiveField],
    matched: Mapping[str, Matched],
    all_found: Sequence[tuple[Pair, Found]],
    alpha: float,
    step: int,
) -> Result:
    layers = list(fields)
    result = Result()
    table = f"Share of points found within {alpha:g} of the object's longer side"
    result.tables[table] = [
        each.layer_row(layer, fields[layer], alpha, kind) for kind, each in matched.items() for layer in layers
    ]
    rows: list[Row] = []
    for kind, each in matched.items():
        for guess in each.guesses():
            rows.append({"pairs": kind, "guess": guess, **Estimate.of(each.shares(guess, alpha)).columns("share")})
    result.tables["Guesses that look at no features"] = rows
    first = next(iter(matched))
    best = max(layers, key=lambda layer: sum(matched[first].shares(f"{LEARNED}:{layer}", alpha)))
    result.tables["Points, by the best layer"] = [
        row for kind, each in matched.items() for row in each.point_rows(f"{LEARNED}:{best}", alpha, kind)
    ]
    for kind, each in matched.items():
        for source in each.distances:
            result.tensors[f"{kind}:{source}"] = torch.tensor(
                [statistics.fmean(each.shares(source, tolerance)) for tolerance in TOLERANCES]
            )
    result.tensors["tolerances"] = torch.tensor(TOLERANCES)
    result.claims = claims(matched[first], fields, alpha, first)
    if OTHER in matched and first != OTHER:
        result.claims += claims(matched[OTHER], fields, alpha, OTHER)[:1]
    result.notes = [
        f"{sum(len(each.pairs) for each in matched.values())} pairs of pictures, "
        f"{sum(len(pair.names) for pair, _ in all_found)} points; places {step} pixels apart. The share is that of a "
        "pair's points, then the mean over the pairs; intervals by bootstrap over the pairs.",
        "Object: " + ("its mask." if gallery.parts is not None else "the box around the picture's own points."),
        "Weights shuffled: the values of each parameter have traded places, layer by layer. Receptive field and median "
        "error in pixels.",
    ]
    few = sorted(layers, key=layers.index)
    sources = {
        f"found by {few[0]}": f"{LEARNED}:{few[0]}",
        f"found by {best}": f"{LEARNED}:{best}",
        f"found by pixels, {max(fields[best].size)} a side": f"{PIXELS}:{best}",
    }
    drawn = matches(gallery, marks, [each for each in all_found if each[0].kind == first][:4], sources, alpha)
    plot = curves(matched, layers, alpha)
    result.pictures = {"": plot, "matches": drawn} if plot is not None else {"": drawn}
    result.free = {""} if plot is not None else set()
    return result


def _run(setting: Setting) -> Result:
    return correspondence(
        setting.model,
        setting.gallery,
        points=setting.options.get("points") or None,
        count=setting.options.get("pairs", 60),
        alpha=setting.options.get("alpha", 0.1),
        seed=setting.seed,
        cache=setting.cache,
        progress=setting.progress,
    )


FIGURE = Figure(
    name="correspondence",
    title="Do ConvNets learn correspondence?",
    source="Long, Zhang and Darrell, Do Convnets Learn Correspondence? NIPS 2014; CS231n's notes",
    says="Features of the convolutions of a network that was trained to classify find the parts of one object in "
    "another of the same kind at least as well as the descriptors that were made for it, and at a finer scale than one "
    "would expect of their receptive fields, which cover large parts of the picture.",
    run=_run,
    options=(
        Option("points", "", "FILE", "parts of your own pictures: lines of picture, part, y, x under these headings"),
        Option("pairs", 60, "N", "pictures whose points are looked for in others"),
        Option("alpha", 0.1, "SHARE", "tolerance, a share of the object's longer side"),
    ),
)
