"""Table 3: ZFNet with layers removed or resized: what it costs, in training and on test."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zfcuda.paper.cache import Cache
from zfcuda.paper.contrast import Contrast, contrast
from zfcuda.paper.error_rates.drawing import draw_changes
from zfcuda.paper.error_rates.rates import cost_row, errors, mean_row, single_row, wrong
from zfcuda.paper.error_rates.scored import Scored, score, seeds_of
from zfcuda.paper.figure import Figure, Option, Setting
from zfcuda.paper.plots import plotted
from zfcuda.paper.result import Claim, Result
from zfcuda.paper.trainings import finished, training

WHOLE = "zfnet"


@dataclass(frozen=True)
class Variant:
    """A network of the table.

    Attributes:
        title: what was changed.
        paper: the paper's errors, training and validation top-1, validation top-5, in per cent.
        changed: the same errors of the network that the paper changed so.
    """

    title: str
    paper: tuple[float, float, float]
    changed: tuple[float, float, float]


_ALEXNET, _ZFNET = (35.1, 40.5, 18.1), (33.1, 38.4, 16.5)
VARIANTS = {
    WHOLE: Variant("the whole network", _ZFNET, _ZFNET),
    "zfnet_without_3_4": Variant("without layers 3, 4", (41.8, 45.4, 22.1), _ALEXNET),
    "zfnet_without_7": Variant("without layer 7", (27.4, 40.0, 18.4), _ALEXNET),
    "zfnet_without_6_7": Variant("without layers 6, 7", (27.4, 44.8, 22.4), _ALEXNET),
    "zfnet_without_3_4_6_7": Variant("without layers 3, 4, 6, 7", (71.1, 71.3, 50.1), _ALEXNET),
    "zfnet_hidden_2048": Variant("layers 6, 7 of half the units", (38.2, 40.2, 17.6), _ZFNET),
    "zfnet_hidden_8192": Variant("layers 6, 7 of twice the units", (22.0, 38.8, 17.0), _ZFNET),
    "zfnet_wide": Variant("wider layers 3, 4, 5", (18.8, 37.5, 16.0), _ZFNET),
    "zfnet_wide_hidden_8192": Variant("wider layers 3 to 7", (10.0, 38.3, 16.9), _ZFNET),
}
USUAL = ("zfnet_without_3_4", "zfnet_without_6_7", "zfnet_without_3_4_6_7", "zfnet_wide")

ByNetwork = Mapping[str, Sequence[Scored]]


def table3(
    data: str = "parts",
    *,
    runs: str | Path,
    variants: Sequence[str] = USUAL,
    seeds: Sequence[int] = (0, 1, 2),
    most: int = 1200,
    make: bool = False,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Compares trainings of ZFNet with such of networks that lack layers, or have them in another size.

    Args:
        data: what they are trained on, as ``zfcuda train`` takes it.
        runs: the folder that the trainings lie in.
        variants: names of VARIANTS, put beside the whole network.
        seeds, most, make, cache, progress: as :func:`zfcuda.paper.table2` takes them.

    Returns:
        Result: tables of errors, of the changes that the variants make, of each training, and of what a network takes.
        Tensors "test.NETWORK", the probabilities [seeds,N,K], and "labels" [N].

    Raises:
        MissingRunsError: trainings are missing.
        ValueError: there is no such variant, or no seed; a training in the folder is of other pictures or another
            recipe.
    """
    names = [WHOLE, *(name for name in VARIANTS if name in variants and name != WHOLE)]
    for name in variants:
        if name not in VARIANTS:
            raise ValueError(f"variants: expected some of {', '.join(VARIANTS)}, got {name!r}")
    if len(names) < 2 or not seeds:
        raise ValueError(f"{'seeds' if not seeds else 'variants'}: expected at least one, got none")
    wanted = [training(data, name, seed) for name in names for seed in seeds]
    folders = finished(wanted, Path(runs), make=make, progress=progress)
    found = score(data, folders, most=most, cache=cache or Cache(), progress=progress)
    by_network = {name: found.of(name) for name in names}
    result = Result()
    result.tables = {
        "Error rates": [_row(name, each) for name, each in by_network.items()],
        "Errors less those of the whole network": [
            {"network": VARIANTS[name].title, "pictures": part, **_change(by_network, name, part).row}
            for name in names[1:]
            for part in ("training", "test")
        ],
        "Each training": [single_row(run) for run in found.scored],
        "What a network takes": [cost_row(each[0]) for each in by_network.values()],
    }
    result.tensors = {
        f"test.{name}": torch.stack([run.test.probabilities for run in each]) for name, each in by_network.items()
    }
    result.tensors["labels"] = found.scored[0].test.labels
    result.claims = _claims(by_network)
    first = found.scored[0]
    result.notes = [
        f"{found.sets.title}; {found.recipe}.",
        "The paper removed layers from its replication of Krizhevsky et al.'s network (40.5 %), and resized those of "
        "its own (38.4 %); here all are changes of ZFNet.",
        f"Errors of training and test are of {len(first.training.labels):,} and {len(first.test.labels):,} pictures, "
        "their centre seen, without dropout; each run kept the weights that did best on validation.",
    ]
    picture = plotted(lambda axes: _draw(axes[0], by_network), columns=2, size=(11.0, 1.6 + 0.55 * len(names)))
    if picture is not None:
        result.pictures[""], result.free = picture, {""}
    return result


def _row(name: str, runs: Sequence[Scored]) -> dict[str, Any]:
    variant = VARIANTS[name]
    paper = dict(zip(("training %", "validation %", "validation top-5 %"), variant.paper, strict=True))
    return {"network": variant.title, **mean_row(runs), **{f"paper, {part}": value for part, value in paper.items()}}


def _wrong(by_network: ByNetwork, name: str, part: str) -> Tensor:
    return wrong(by_network[name], part).double()


def _change(by_network: ByNetwork, name: str, part: str) -> Contrast:
    return contrast(_wrong(by_network, name, part) - _wrong(by_network, WHOLE, part))


def _claims(by_network: ByNetwork) -> list[Claim]:
    has = by_network.__contains__
    middle, top, both = (f"zfnet_without_{layers}" for layers in ("3_4", "6_7", "3_4_6_7"))
    claims = []
    if has(middle) and has(top) and has(both):
        claims.append(_depth(by_network, middle, top, both))
    if has("zfnet_wide"):
        claims.append(_wider(by_network))
    for name in ("zfnet_hidden_2048", "zfnet_hidden_8192"):
        if has(name):
            claims.append(_resized(by_network, name))
    if has("zfnet_wide_hidden_8192"):
        claims.append(_overfits(by_network))
    return claims


def _depth(by_network: ByNetwork, middle: str, top: str, both: str) -> Claim:
    """All four layers cost more than the two pairs do together."""
    errs = {name: _wrong(by_network, name, "test") for name in (WHOLE, middle, top, both)}
    more = contrast(errs[both] - errs[middle] - errs[top] + errs[WHOLE])
    costs = [f"{100 * float((errs[name] - errs[WHOLE]).mean()):+.1f}" for name in (middle, top, both)]
    return Claim(
        "Removing the two middle layers or the two fully connected ones costs little (+4.9 and +4.3 points), all four "
        "far more than both together (+30.8): the depth is what matters.",
        f"Without layers 3, 4 {costs[0]} points on test, without 6, 7 {costs[1]}, without all four {costs[2]}; beyond "
        f"the sum of the two {more}.",
        more.positive,
    )


def _wider(by_network: ByNetwork) -> Claim:
    test, training = (_change(by_network, "zfnet_wide", part) for part in ("test", "training"))
    worse = (test.positive, training.positive)
    return Claim(
        "Wider layers 3 to 5 help (-0.9 points on validation), and fit the training pictures far better (-14.3).",
        f"On test {test}; on training pictures {training}.",
        False if True in worse else None if None in worse else True,
    )


def _resized(by_network: ByNetwork, name: str) -> Claim:
    """Little is what the paper has at most, 1.8 points."""
    change = _change(by_network, name, "test")
    paper = VARIANTS[name]
    sure = change.over_trainings or change.over_pictures
    low, high = min(sure[0], change.over_pictures[0]), max(sure[1], change.over_pictures[1])
    little = 2.0
    return Claim(
        f"The size of layers 6, 7 makes little difference ({paper.title}: {paper.paper[1] - paper.changed[1]:+.1f}).",
        f"{paper.title.capitalize()}: {change} on test.",
        True if -little < low and high < little else False if low > little or high < -little else None,
    )


def _overfits(by_network: ByNetwork) -> Claim:
    """The gap between test and training is wider than that of the whole network."""
    wide, whole = (torch.tensor(_gaps(by_network[name])) for name in ("zfnet_wide_hidden_8192", WHOLE))
    return Claim(
        "Wider layers 3 to 7 overfit: 10.0 % on training pictures, 38.3 % on validation.",
        f"Between test and training lie {wide.mean():.1f} points, of the whole network {whole.mean():.1f}.",
        contrast((wide - whole)[:, None] / 100).positive,
    )


def _gaps(runs: Sequence[Scored]) -> list[float]:
    test, training = (errors(runs, part) for part in ("test", "training"))
    return [one - other for one, other in zip(test, training, strict=True)]


def _draw(axes: Any, by_network: ByNetwork) -> None:
    for place, (axis, part) in enumerate(zip(axes, ("training", "test"), strict=True)):
        whole = statistics.fmean(errors(by_network[WHOLE], part))
        rows = {VARIANTS[name].title: [e - whole for e in errors(each, part)] for name, each in by_network.items()}
        paper = {VARIANTS[n].title: VARIANTS[n].paper[place] - VARIANTS[n].changed[place] for n in by_network}
        draw_changes(axis, rows, paper)
        axis.set_title(f"{part} error" + (" (the paper: validation)" if place else ""), fontsize=11)
        axis.set_xlabel(f"points above the whole network, which has {whole:.1f} %")
    axes[0].legend(fontsize=9, loc="best")
    axes[1].set_yticklabels([])


def _run(setting: Setting) -> Result:
    return table3(
        setting.data,
        runs=setting.runs,
        variants=[word.strip() for word in str(setting.options["variants"]).split(",")],
        seeds=seeds_of(setting),
        make=setting.train,
        cache=setting.cache,
        progress=setting.progress,
    )


FIGURE = Figure(
    name="table3",
    title="Table 3: ZFNet with layers removed or resized",
    source="Zeiler & Fergus, Table 3 and section 5.1",
    says="Errors on ImageNet when layers are left out or get another size. Without the two fully connected layers, or "
    "without two middle ones, the error rises by 4 to 5 points; without all four by 31: the depth matters. Other "
    "sizes of the fully connected layers change little; wider middle layers gain a point, and with wider fully "
    "connected ones the network overfits.",
    run=_run,
    trainings=True,
    options=(
        Option("seeds", "0,1,2", "N,N,...", "of the trainings"),
        Option(
            "variants",
            "zfnet_without_3_4,zfnet_without_6_7,zfnet_without_3_4_6_7,zfnet_wide",
            "NAME,...",
            "networks beside zfnet: also zfnet_without_7, zfnet_hidden_2048, zfnet_hidden_8192, zfnet_wide_hidden_8192",
        ),
    ),
)
