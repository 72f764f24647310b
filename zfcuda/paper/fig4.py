"""Figure 4: features as they come about in training, and when each layer has converged."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zfcuda.features.loading import first_image, placed
from zfcuda.features.strongest_patches import StrongestPatches
from zfcuda.inputs import integer
from zfcuda.paper.cache import Cache
from zfcuda.paper.evolution.curves import curves
from zfcuda.paper.evolution.drawing import blocks
from zfcuda.paper.evolution.history import History, history
from zfcuda.paper.evolution.jumps import changes, jumps
from zfcuda.paper.evolution.layers import learning
from zfcuda.paper.evolution.measured import Measured, measured
from zfcuda.paper.evolution.verdict import by_cosine, upper_late
from zfcuda.paper.figure import Figure, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.result import Result
from zfcuda.paper.trainings import finished, training
from zfcuda.report.layers import chosen
from zfcuda.report.patches.joined import LayerPatches, joined
from zfcuda.report.subject import subject_of
from zfcuda.train.run_folder import RunFolder

#: Pictures whose codes are compared, and units of each layer whose jumps are.
COMPARED, JUMPING = 96, 16


def fig4(
    run: str | os.PathLike[str] | RunFolder,
    pictures: Any = None,
    *,
    layers: Sequence[str] | None = None,
    units: int = 4,
    count: int = 400,
    seed: int = 0,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Draws features at the epochs of a training, and measures when each layer has converged.

    Of each layer some units are drawn by lot among those that any picture excites in the end; at each epoch the
    strongest activation over the pictures is projected, so that the picture may change from one epoch to the next.
    How near a layer is to its end is measured by the cosine of its filters to the last ones, which initial weights
    that hardly move have from the start; by the share of the way of its weights that is to go; and by how alike its
    codes of the pictures are (linear CKA).

    Args:
        run: the folder of a training that kept snapshots.
        pictures: as :class:`zfcuda.paper.gallery.Gallery` takes them; best those of the kind that was trained on.
        layers: those that are drawn; None: up to five convolutions, from the first to the last. All layers with
            weights are measured, up to ten.
        units: how many rows each layer has.
        count: how many of the pictures are searched, drawn by lot.
        seed: of units and pictures.
        cache: where patches and codes are kept.
        progress: show bars on stderr.

    Returns:
        Tables of each layer's convergence; tensors "LAYER.cosines" float64 [moments,filters], and of layers drawn
        "LAYER.values", "LAYER.indices" (the place in "pictures") [epochs,units,1], "LAYER.units" those drawn.

    Raises:
        ValueError: naming the argument: no such run, layer or number.
        MissingRunsError: the run kept no snapshots.
    """
    for name, number in (("units", units), ("count", count)):
        if integer(name, number) < 1:
            raise ValueError(f"{name}: expected at least 1, got {number}")
    past = history(run)
    cache = cache or Cache()
    gallery = pictures.seen_by(past.models[-1]) if isinstance(pictures, Gallery) else Gallery(past.models[-1], pictures)
    if len(gallery) < 4:
        raise ValueError(f"pictures: expected at least 4, to compare codes by, got {len(gallery)}")
    indices = gallery.sample(count, seed=seed)
    learns = learning(gallery.model, placed(first_image(gallery.pictures)[None], gallery.model))
    shown = [each for each in chosen([each for each in learns if each.maps], 5)]
    headings = {name: name for name in layers} if layers else {each.output: each.name for each in shown}
    result = Result(free={"", "convergence"}, notes=_notes(past, gallery, len(indices)))
    _add_pictures(result, past, gallery.images(indices), cache, headings, units, seed, progress)
    compared = gallery.images(gallery.sample(COMPARED, seed=seed))
    _add_numbers(result, past, measured(past, learns, compared, cache))
    return result


def _add_pictures(
    result: Result,
    past: History,
    images: Tensor,
    cache: Cache,
    headings: Mapping[str, str],
    units: int,
    seed: int,
    progress: bool,
) -> None:
    """Rows of units over the epochs, and how their strongest pictures change."""
    galleries = [Gallery(model, images) for model in past.models]
    found = [cache.patches(each, list(headings), top=1, progress=progress) for each in galleries]
    dice = random.Random(seed)
    rows = {layer: _drawn_by_lot(found[-1][layer], max(units, JUMPING), dice) for layer in headings}
    moments = [
        joined(
            subject_of(gallery.model),
            gallery.pictures,
            [LayerPatches(each, rows[layer]) for layer, each in patches.items()],
            progress=progress,
        )
        for gallery, patches in zip(galleries, found, strict=True)
    ]
    names = list(headings.values())
    result.pictures[""] = blocks(moments, past.epochs, names, units)
    result.pictures["patches"] = blocks(moments, past.epochs, names, units, patches=True)
    result.claims.append(jumps(moments))
    result.tables["How many units have another strongest picture than before"] = changes(found, past.epochs, headings)
    for layer, name in headings.items():
        result.tensors[f"{name}.values"] = torch.stack([each[layer].values for each in found])
        result.tensors[f"{name}.indices"] = torch.stack([each[layer].indices for each in found])
        result.tensors[f"{name}.units"] = found[-1][layer].units[rows[layer][:units]]


def _add_numbers(result: Result, past: History, numbers: Measured) -> None:
    """When each layer has converged: tables, curves, what the paper says."""
    result.tables = {
        "When each layer has converged": numbers.summary(),
        "Each layer at each epoch": numbers.course(),
        **result.tables,
    }
    result.tensors |= {f"{name}.cosines": each for name, each in numbers.cosines.items()}
    between = slice(1, -1)
    measures = {
        "weights (share of their way to go)": {name: each[between] for name, each in numbers.to_go.items()},
        "codes of the pictures (1 - likeness)": {
            name: [1 - value for value in each[between]] for name, each in numbers.alike.items()
        },
    }
    initial = {name: float(each[0].mean()) for name, each in numbers.cosines.items()} if past.initial else {}
    result.claims[:0] = [
        upper_late(measures, numbers.epochs[between]),
        by_cosine(initial, numbers.lasting(), numbers.epochs[-1]),
    ]
    drawn = curves(
        numbers.epochs,
        {
            "mean cosine of filters to the last": {n: each.mean(1).tolist() for n, each in numbers.cosines.items()},
            "share of the way of the weights to go": numbers.to_go,
            "likeness of codes to the last (CKA)": numbers.alike,
        },
    )
    if drawn is not None:
        result.pictures["convergence"] = drawn


def _drawn_by_lot(found: StrongestPatches, count: int, dice: random.Random) -> list[int]:
    """The rows of some units that any picture excites; of all where none is excited."""
    active = (found.values[:, 0] > 0).nonzero().flatten().tolist() or list(range(len(found.units)))
    return dice.sample(active, min(count, len(active)))


def _notes(past: History, gallery: Gallery, count: int) -> list[str]:
    notes = [
        f"The training: {past.title}. At each epoch the strongest activation is searched in {count} of "
        f"{gallery.title}, and each projection is drawn on a scale of its own, its contrast enhanced, as in the paper. "
        "A beige tile: no picture excites the unit at that epoch; a beige border: beyond that of the picture.",
        "A high cosine to the last filters need not be convergence: initial weights that hardly move have it before "
        "anything is learned. The share of the way that is to go, from where a layer began to where it ended, does not "
        "depend on how large the initial weights are. Codes of pictures (linear CKA over "
        f"{min(len(gallery), COMPARED)} of them) tell what a layer does, whatever its weights; those of a first layer "
        "are like the last before it learns, as any filters keep what a picture shows.",
        "All measures end at the last epoch, whatever that is: a layer that would go on learning counts as converged "
        "there, and a learning rate that falls to zero lets all layers converge together.",
    ]
    if past.initial is None:
        notes.append(f"The initial weights are not known, as {past.why}: the way begins at epoch {past.epochs[0]}.")
    if past.averaged:
        notes.append("The weights are a moving average over the steps of the training, as this recipe keeps them.")
    known = set(getattr(past.models[-1], "classes", None) or ())
    if gallery.pictures.classes and known and not known & set(gallery.pictures.classes):
        notes.append("The pictures are of other classes than those that the network learned.")
    return notes


def _run(setting: Setting) -> Result:
    run: Any = setting.run
    if run is None:
        wanted = [training(setting.data, "zfnet")]
        [run] = finished(wanted, setting.runs, make=setting.train, progress=setting.progress)
    return fig4(run, setting.gallery, seed=setting.seed, cache=setting.cache, progress=setting.progress)


FIGURE = Figure(
    name="fig4",
    title="Figure 4: how features come about in training",
    source="Zeiler & Fergus, Fig. 4 and section 4.1",
    says="For randomly chosen units of each layer the strongest activation over all training pictures, projected down "
    "to the pixels, at epochs 1, 2, 5, 10, 20, 30, 40 and 64. Lower layers converge within a few epochs; upper layers "
    "only develop after 40 to 50. Sudden jumps result from another picture becoming the strongest.",
    run=_run,
    trainings=True,
)
