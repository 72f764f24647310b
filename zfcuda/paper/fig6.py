"""Figure 6: first-layer filters with and without clipping, and of two sizes and strides, with what the second shows."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zfcuda.inputs import integer
from zfcuda.models.checkpoints.load import load
from zfcuda.paper.cache import Cache
from zfcuda.paper.evolution.history import history
from zfcuda.paper.figure import Figure, Setting
from zfcuda.paper.first_layer.aliasing import FREQUENCIES
from zfcuda.paper.first_layer.claims import claims, fraction
from zfcuda.paper.first_layer.clipping import Clipping, claim, compared, rows
from zfcuda.paper.first_layer.drawing import aliasing, numbers, sheet
from zfcuda.paper.first_layer.filters import chance_likeness
from zfcuda.paper.first_layer.network import FirstLayer, first_layer
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.result import Result, Row
from zfcuda.paper.trainings import Training, finished, training
from zfcuda.train.run_folder import RunFolder

SEEDS = (0, 1, 2)
_TIGHT = 0.03  # radius of a clipping that acts in a short training
Run = str | os.PathLike[str] | RunFolder


def fig6(
    ours: nn.Module | Sequence[nn.Module],
    theirs: nn.Module | Sequence[nn.Module],
    pictures: Any = None,
    *,
    clipping: Sequence[Run] | None = None,
    count: int = 200,
    seed: int = 0,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Compares the first layers of two kinds of networks, and a training with and without clipping of filters.

    Of each network the first-layer filters, what of them is dead, like noise, of low, middle or high frequency, how
    alike filters and their answers are, and the energy that stands out at the frequencies of the grid that strides
    leave in the projections of its second layer's units, of the strongest activation of each over the pictures.

    Args:
        ours: networks of one kind, one or several trainings, as of ZFNet. Each carries its preprocess.
        theirs: networks of another kind, as of alexnet_one_tower.
        pictures: as :class:`zfcuda.paper.gallery.Gallery` takes them.
        clipping: the folders of trainings that differ in it alone, one or several with clipping, the last one without;
            None: that part is left out.
        count: how many of the pictures, drawn by lot.
        seed: of the lot.
        cache: where patches and projections are kept.
        progress: show bars on stderr.

    Returns:
        Tables of the numbers; tensors "ours.filters", "theirs.filters" [N,C,kh,kw], "ours.projections" [U,C,h,w] with
        "ours.units", "ours.frequencies" and "ours.spectra", and as many of theirs, of the first training each.

    Raises:
        ValueError: naming the argument. MissingRunsError: a training of `clipping` kept no snapshots.
        NotApplicableError: a network has not two convolutions.
    """
    if integer("count", count) < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    if clipping is not None and len(clipping) < 2:
        raise ValueError(f"clipping: expected trainings with clipping and one without, got {len(clipping)} in all")
    cache = cache or Cache()
    sides: list[list[FirstLayer]] = []
    images: dict[str, Tensor] = {}
    for name, given in (("ours", ours), ("theirs", theirs)):
        models = [given] if isinstance(given, nn.Module) else list(given)
        if not models:
            raise ValueError(f"{name}: expected at least one network, got none")
        sides.append(
            [first_layer(_sampled(model, pictures, count, seed, images), cache, progress=progress) for model in models]
        )
    us, them = sides
    result = Result(free={"", "filters", "aliasing"}, claims=claims(us, them), notes=list(_NOTES))
    kinds = dict(zip(_told_apart(us[0].kind, them[0].kind), sides, strict=True))
    result.tables["First-layer filters"] = [row for side in sides for row in _filter_rows(side)]
    result.tables["Energy that stands out in projections of the second layer, share"] = [
        row for side in sides for row in _aliasing_rows(side)
    ]
    clipped = _clipped(clipping or ())
    for each in clipped:
        result.tables[f"RMS of first-layer filters, clipped at {each.radius:g}"] = rows(each)
        result.tensors[f"clipped at {each.radius:g}.filters"] = each.filters[0]
        result.tensors["unclipped.filters"] = each.filters[1]
    if clipped:
        result.claims.insert(0, claim(clipped))
    result.pictures[""] = sheet(us[0], them[0], clipped)
    for after, drawn in (("filters", numbers(kinds, clipped)), ("aliasing", aliasing(kinds))):
        if drawn is not None:
            result.pictures[after] = drawn
    for name, side in (("ours", us), ("theirs", them)):
        for what in ("filters", "projections", "units", "frequencies", "spectra"):
            result.tensors[f"{name}.{what}"] = getattr(side[0], what)
    return result


def _clipped(runs: Sequence[Run]) -> list[Clipping]:
    """Each training with clipping beside the last one, which has none."""
    return [compared(history(run), history(runs[-1]), _radius(run)) for run in runs[:-1]]


_NOTES = (
    "Dead: nowhere in the pictures above zero. Low, mid, high: where a filter has most of its spectral energy, below "
    "1/8, from there to 1/4, above 1/4 cycle per pixel. Like noise: it has nine tenths of white noise's share above "
    "1/4 cycle per pixel, or more; a grating as fine has it too.",
    "Weights of filters of different sizes cannot be compared by their cosines, as longer vectors are less alike by "
    "chance; their answers over pictures can.",
    "Aliasing: of each projection, zero outside its field of view, the energy at 1/4, 3/8 and 1/2 cycle per pixel, "
    "vertical or horizontal, above its surroundings 1/16 below and above. A first stride of 4 leaves a grid at 1/4 and "
    "1/2, pooling behind it at 1/8 and 3/8 besides; one of 2 leaves 1/2, pooling behind it 1/4 besides. At 1/8 no line "
    "can be told from the slope of coarse energy; 3/8 is the one of these that a stride of 4 alone leaves.",
    "Intervals are those of Student's t over trainings, not corrected for the number of claims.",
)


def _sampled(model: nn.Module, pictures: Any, count: int, seed: int, images: dict[str, Tensor]) -> Gallery:
    """Some of the pictures as a network sees them; those that see them alike share their images."""
    gallery = pictures.seen_by(model) if isinstance(pictures, Gallery) else Gallery(model, pictures)
    known = gallery.pictures.fingerprint
    if known not in images:
        images[known] = gallery.images(gallery.sample(count, seed=seed))
    return Gallery(model, images[known])


def _told_apart(ours: str, theirs: str) -> tuple[str, str]:
    return (ours, theirs) if ours != theirs else (f"{ours}, ours", f"{theirs}, theirs")


def _filter_rows(side: Sequence[FirstLayer]) -> list[Row]:
    return [
        {
            "filters": each.kind,
            "training": number,
            **{f"{what}, share": round(float(each.by_filter[what].mean()), 3) for what in _SHARES},
            "energy of mid frequencies over noise's": round(
                float(each.by_filter["energy of mid frequencies"].nanmean()), 3
            ),
            "largest RMS over median": round(float(each.by_filter["rms"].max() / each.by_filter["rms"].median()), 3),
            "mean |cosine| of two": round(float(each.by_filter["cosine"].nanmean()), 3),
            "of chance alone": round(chance_likeness(each.filters[0].numel()), 3),
            "mean |correlation| of two's answers": round(float(each.by_filter["correlation of answers"].nanmean()), 3),
        }
        for number, each in enumerate(side)
    ]


_SHARES = ("dead", "like noise", "low frequencies", "mid frequencies", "high frequencies")


def _aliasing_rows(side: Sequence[FirstLayer]) -> list[Row]:
    return [
        {
            "filters": each.kind,
            "training": number,
            "units": len(each.units),
            **{
                f"{fraction(line)} cycle per pixel": round(float(each.excess[:, place].mean()), 4)
                for place, line in enumerate(FREQUENCIES)
            },
            "together": round(float(each.excess.sum(1).mean()), 4),
        }
        for number, each in enumerate(side)
    ]


def _radius(run: Run) -> float:
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    radius = json.loads(folder.config.read_text(encoding="utf-8")).get("filter_rms")
    if not radius:
        raise ValueError(
            f"clipping: expected clipping in all but the last training, {folder.path} has filter_rms {radius}"
        )
    return float(radius)


def clipping_trainings(data: str) -> list[Training]:
    """Trainings that differ in the clipping alone, the last one without: the paper's recipe, with initial weights that
    learn. In so short a training no filter comes near the paper's radius of 0.1; a second one clips at 0.03.
    """
    options: dict[str, Any] = {"recipe": "paper", "initial": 0.02, "views": 1, "epochs": 16, "width": 0.25}
    return [
        training(data, "zfnet", 0, variant="clipped", **options),
        training(data, "zfnet", 0, variant=f"clipped_at_{_TIGHT}", **options, filter_rms=_TIGHT),
        training(data, "zfnet", 0, variant="unclipped", **options, filter_rms=0),
    ]


def _run(setting: Setting) -> Result:
    data = setting.data
    pairs = [(training(data, "zfnet", seed), training(data, "alexnet_one_tower", seed)) for seed in SEEDS]
    notes = []
    every = [each for pair in pairs for each in pair]
    there = pairs if setting.train else [pair for pair in pairs if _are_there(pair, setting.runs)]
    wanted = [each for pair in there for each in pair] or every
    finished(wanted, setting.runs, make=setting.train, progress=setting.progress)
    if missing := [each.command(setting.runs) for each in every if each not in wanted]:
        notes.append(f"Of {len(pairs)} pairs of trainings {len(there)} are there. The others: {'; '.join(missing)}.")
    clipping = None
    if data == "parts":
        notes.append("(a) is left out: the recipes for Parts clip no filters.")
    else:
        clipping = _clippings(clipping_trainings(data), setting, notes)
    ours, theirs = ([load(setting.runs / each[side].name) for each in there] for side in (0, 1))
    result = fig6(
        ours,
        theirs,
        setting.gallery,
        clipping=clipping,
        seed=setting.seed,
        cache=setting.cache,
        progress=setting.progress,
    )
    result.notes += notes
    return result


def _clippings(wanted: Sequence[Training], setting: Setting, notes: list[str]) -> list[RunFolder] | None:
    """The trainings with and without clipping, as far as they are there; None without one of each. Notes the others."""
    there = [each for each in wanted if setting.train or _are_there([each], setting.runs)]
    missing = "; ".join(each.command(setting.runs) for each in wanted if each not in there)
    if wanted[-1] not in there or len(there) < 2:
        notes.append(f"(a) is left out: the trainings with and without clipping are not there. {missing}.")
        return None
    if missing:
        notes.append(f"(a) lacks a training with clipping that is not there: {missing}.")
    return finished(there, setting.runs, make=setting.train, progress=setting.progress)


def _are_there(trainings: Sequence[Training], runs: Path) -> bool:
    return all(RunFolder(runs / each.name).result() is not None for each in trainings)


FIGURE = Figure(
    name="fig6",
    title="Figure 6: first-layer filters, and what their stride leaves in the second layer",
    source="Zeiler & Fergus, Fig. 6 and sections 3 and 4.2",
    says="(a) Without clipping the filters' RMS one of the first layer dominates. (b, c) Filters of 7x7 with stride 2 "
    "are more distinctive than AlexNet's of 11x11 with stride 4, which are of low and high frequencies with few "
    "between, and fewer of them are dead. (d, e) The second layer's projections are cleaner, without the aliasing of a "
    "stride of 4.",
    run=_run,
    trainings=True,
)
