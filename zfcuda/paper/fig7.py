"""Figure 7: a grey square moves over a picture; the strongest feature map and the network's answer are watched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from zfcuda.inputs import integer
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import Figure, NotApplicableError, Option, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.occluder.cases import Case, chosen, class_name, given
from zfcuda.paper.occluder.experiment import Occluder, measured
from zfcuda.paper.occluder.panels import Panels, add_others, panels, part_of
from zfcuda.paper.occluder.questions import agreement, answers, claims, rows
from zfcuda.paper.occluder.sheet import sheet
from zfcuda.paper.result import Result, Row
from zfcuda.report.layers import chosen as spread
from zfcuda.report.layers import conv_layers

_SHOWN = 3


def fig7(
    model: nn.Module,
    pictures: Any = None,
    *,
    shown: Sequence[Any] | None = None,
    count: int = 40,
    window: int | None = None,
    stride: int | None = None,
    layer: str | None = None,
    seed: int = 0,
    preprocess: Any = None,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Moves a grey square over pictures and watches the network's answer and its strongest feature map (section 4.2).

    Args:
        model: any network that :func:`zfcuda.occlusion_map` takes, with a convolution.
        pictures: as :class:`zfcuda.paper.gallery.Gallery` takes them: those that are counted, and among which the
            strongest projections of each map are looked for.
        shown: which are drawn: numbers of them; or pictures of one's own, as paths, PIL pictures or arrays. None: the
            first three that are counted.
        count: how many pictures, chosen at random among those that the network answers rightly, the claims are
            measured on; 0: none, and no claims.
        window: side of the square in pixels; None: a seventh of the image's shorter side, 32 of 224.
        stride: its steps; None: a quarter of the window.
        layer: the convolution whose strongest map is followed; None: the last one.
        seed: of the choice.
        preprocess: as Gallery takes it.
        cache: where measurements are kept.
        progress: show bars on stderr.

    Returns:
        Tensors of each picture shown, under its place in the order: probability, activity float32 and label int64
        [rows,cols], origins int64 [rows,cols,2], projection float32 [C,H,W], others float32 [n,C,H,W].

    Raises:
        ValueError: a number out of range, a window larger than an image.
        NotApplicableError: the network has no such convolution, or answers none of the pictures rightly.
    """
    count = integer("count", count)
    if count < 0:
        raise ValueError(f"count: expected at least 0, got {count}")
    for name, value in (("window", window), ("stride", stride)):
        if value is not None and integer(name, value) < 1:
            raise ValueError(f"{name}: expected at least 1 pixel, got {value}")
    gallery = pictures if isinstance(pictures, Gallery) else Gallery(model, pictures, preprocess=preprocess)
    cache, occluder = cache or Cache(), Occluder(window, stride, layer)
    own = given(gallery, shown) if shown else None
    counted = chosen(gallery, max(count, 0 if own else _SHOWN), seed=seed)
    if not own and not counted:
        raise NotApplicableError(
            f"pictures: expected one that can be read and, where the network has its class, is answered rightly, got "
            f"none of {len(gallery)}"
        )
    drawn = [panels(case, occluder) for case in own or counted[:_SHOWN]]
    _others(drawn, gallery, cache, progress=progress)
    result = Result()
    if gallery.parts is not None and all(one.case.gallery is gallery for one in drawn):
        result.pictures[""] = sheet(drawn, pictures=True)
    elif drawn:
        result.pictures[""] = sheet(drawn, pictures=False)
        result.pictures["pictures"] = sheet(drawn, pictures=True)
        result.free = {""}
    result.tables["the pictures shown"] = [_row(one) for one in drawn]
    for place, one in enumerate(drawn):
        result.tensors |= _tensors(f"{place}.", one)
    _count(result, counted[:count], occluder, cache, progress=progress)
    return result


def _others(drawn: Sequence[Panels], gallery: Gallery, cache: Cache, *, progress: bool) -> None:
    """Adds the projections of other pictures; the same pass over the pictures serves Figure 2."""
    able = [one for one in drawn if one.projection is not None]
    if not able:
        return
    found, _ = conv_layers(gallery.model, able[0].case.gallery.image(able[0].case.index))
    names = {each.output: each.name for each in found}  # where a convolution is positive, its ReLU gives the same
    usual = [each.name for each in spread(found, 5)]
    for layer in dict.fromkeys(one.watched.source for one in able):
        name = names.get(layer, layer)
        patches = cache.patches(gallery, usual if name in usual else [name], progress=progress)[name]
        for one in able:
            if one.watched.source == layer:
                add_others(one, gallery, patches)


def _count(result: Result, counted: Sequence[Case], occluder: Occluder, cache: Cache, *, progress: bool) -> None:
    """What many pictures come to, and the claims."""
    if not counted:
        return
    every, said = [], []
    for case in tqdm(counted, desc="occluded", unit="picture", disable=not progress):
        every.append(measured(case, occluder, cache))
        said.append(answers(every[-1], part_of(case)))
    both = [one | more for one, more in zip(said, agreement(every), strict=True)]
    result.tables[f"{len(counted)} pictures"] = rows(both)
    result.claims += claims(both)
    if counted[0].known:
        result.notes.append(
            "The pictures that are counted are some that the network answers rightly, chosen at random."
        )
    else:
        result.notes.append(
            "The classes of these pictures are none of the network's: the class is the one that it answers."
        )


def _row(one: Panels) -> Row:
    m = one.map
    top, left, bottom, right = m.rectangle(*m.worst)
    return {
        "picture": one.case.name,
        "class": class_name(one.case.gallery, one.case.target),
        "known": one.case.known,
        "probability": float(m.base_probability),
        "lowest": float(m.probability[m.worst]),
        "rows": f"{top} to {bottom - 1}",
        "columns": f"{left} to {right - 1}",
        "answer there": m.label_name(int(m.label[m.worst])),
        "positions with another answer": float((m.label != m.target_label).float().mean()),
        "layer": one.watched.layer,
        "map": one.watched.unit,
        "activity": one.watched.activity,
        "least activity": float(m.activity.min()) if m.activity is not None else None,
        "other pictures": ", ".join(map(str, one.others)),
    }


def _tensors(before: str, one: Panels) -> dict[str, torch.Tensor]:
    found = {name: getattr(one.map, name) for name in ("probability", "activity", "label", "origins")}
    if one.projection is not None:
        found["projection"] = one.projection.signal
    if one.others:
        found["others"] = torch.stack([each.signal for each in one.others.values()])
    return {f"{before}{name}": value.cpu() for name, value in found.items()}


def _run(setting: Setting) -> Result:
    options = setting.options
    return fig7(
        setting.model,
        setting.gallery,
        shown=[_number_or_file(word) for word in options["shown"]] or None,
        count=options["count"],
        window=options["window"] or None,
        stride=options["stride"] or None,
        seed=setting.seed,
        cache=setting.cache,
        progress=setting.progress,
    )


def _number_or_file(word: str) -> int | str:
    return int(word) if word.isdecimal() and not os.path.exists(word) else word


FIGURE = Figure(
    name="fig7",
    title="Figure 7: a grey square over the picture",
    source="Zeiler & Fergus, Fig. 7 and section 4.2",
    says="A grey square covers the picture at each place in turn (a). Watched are: the total activity of the layer-5 "
    "map that is strongest in the whole picture (b), beside that map projected down to the pixels, and its projections "
    "from other pictures (c); the probability of the correct class (d); the most probable class (e). Where the object "
    "is covered, the probability drops and the answer changes; where the structure that the projection shows is "
    "covered, the map's activity drops: the projection shows what excites it.",
    run=_run,
    options=(
        Option("shown", (), "FILE", "pictures that are drawn, or their numbers in the data (default: three at random)"),
        Option("count", 40, "N", "pictures that the claims are measured on"),
        Option("window", 0, "PIXELS", "side of the grey square; 0: a seventh of the image's, 32 of 224"),
        Option("stride", 0, "PIXELS", "steps of the square; 0: a quarter of its side"),
    ),
)
