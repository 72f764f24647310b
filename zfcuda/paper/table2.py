"""Table 2: ZFNet against the network that it was made of, and several networks together, under one recipe."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from zfcuda.paper.cache import Cache
from zfcuda.paper.contrast import Contrast, contrast
from zfcuda.paper.error_rates.drawing import draw_dots, draw_parts
from zfcuda.paper.error_rates.rates import PARTS, cost_row, errors, mean_row, single_row, wrong
from zfcuda.paper.error_rates.scored import Answers, Runs, Scored, averaged, score, seeds_of
from zfcuda.paper.figure import Figure, Option, Setting
from zfcuda.paper.plots import COLOURS, plotted
from zfcuda.paper.result import Claim, Result
from zfcuda.paper.trainings import MissingRunsError, finished, training

OLD, NEW, WIDE = "alexnet_one_tower", "zfnet", "zfnet_wide"
TITLES = {OLD: "AlexNet, one tower", NEW: "ZFNet", WIDE: "wide ZFNet"}
#: Top-1 and top-5 errors on ImageNet's validation pictures, in per cent.
PAPER = {OLD: (40.5, 18.1), NEW: (38.4, 16.5), WIDE: (37.5, 16.0)}
PAPER_TOGETHER = {(NEW,): (36.7, 15.3), (NEW, WIDE): (36.0, 14.7)}


def table2(
    data: str = "parts",
    *,
    runs: str | Path,
    seeds: Sequence[int] = (0, 1, 2),
    most: int = 1200,
    make: bool = False,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Compares trainings of AlexNet in one tower with such of ZFNet, alone and averaged.

    Args:
        data: what they are trained on, as ``zfcuda train`` takes it.
        runs: the folder that the trainings lie in; those of zfnet_wide are taken where they are there.
        seeds: of the trainings.
        most: pictures to train and to test on that errors are measured on at most.
        make: make the trainings that are missing.
        cache: where the networks' answers are kept.
        progress: show bars on stderr.

    Returns:
        Result: tables of errors, differences, several networks together, each training, and what a network takes.
        Tensors "test.NETWORK", the probabilities [seeds,N,K], and "labels" [N].

    Raises:
        MissingRunsError: trainings are missing.
        ValueError: there is no seed; a training in the folder is of other pictures or another recipe.
    """
    if not seeds:
        raise ValueError("seeds: expected at least one, got none")
    folder, networks = Path(runs), [OLD, NEW]
    wanted = [training(data, name, seed) for name in networks for seed in seeds]
    folders = finished(wanted, folder, make=make, progress=progress)
    wide = [training(data, WIDE, seed) for seed in seeds]
    try:
        folders += finished(wide, folder)
        networks.append(WIDE)
    except MissingRunsError as missing:
        note = f"Without {TITLES[WIDE]} in the averages: {missing}"
    else:
        note = ""
    found = score(data, folders, most=most, cache=cache or Cache(), progress=progress)
    by_network = {name: found.of(name) for name in networks}
    together = _together(by_network)
    result = Result(notes=[*_notes(found, by_network), *([note] if note else [])])
    result.tables = {
        "Error rates": [
            {"network": TITLES[name], **mean_row(each), **_paper(PAPER[name])} for name, each in by_network.items()
        ],
        "ZFNet's errors less AlexNet's": [
            {"pictures": part, **_gain(by_network, part).row} for part in ("training", "test")
        ],
        "Averaged on test": [
            {"networks": title, **_error(answers), **_paper(paper)} for title, answers, paper in together
        ],
        "Each training": [single_row(run) for run in found.scored],
        "What a network takes": [cost_row(each[0]) for each in by_network.values()],
    }
    result.tensors = {
        f"test.{name}": torch.stack([run.test.probabilities for run in each]) for name, each in by_network.items()
    }
    result.tensors["labels"] = found.scored[0].test.labels
    result.claims = _claims(by_network)
    picture = plotted(lambda axes: _draw(axes[0], by_network, together), columns=2, size=(11.0, 3.8))
    if picture is not None:
        result.pictures[""], result.free = picture, {""}
    return result


def _gain(by_network: Mapping[str, Sequence[Scored]], part: str) -> Contrast:
    return contrast(wrong(by_network[NEW], part).double() - wrong(by_network[OLD], part).double())


def _together(by_network: Mapping[str, Sequence[Scored]]) -> list[tuple[str, Answers, tuple[float, float] | None]]:
    """What is averaged, its answers, and the paper's errors of the like."""
    count = len(by_network[NEW])
    several: list[tuple[str, ...]] = [(OLD,), (NEW,)] if count > 1 else []
    several += [(NEW, WIDE)] if WIDE in by_network else []
    return [
        (
            " and ".join(f"{count} x {TITLES[name]}" for name in names),
            averaged([run.test for name in names for run in by_network[name]]),
            PAPER_TOGETHER.get(names),
        )
        for names in several
    ]


def _claims(by_network: Mapping[str, Sequence[Scored]]) -> list[Claim]:
    old, new = (statistics.fmean(errors(by_network[name], "test")) for name in (OLD, NEW))
    gain = _gain(by_network, "test")
    worse = gain.positive
    claims = [
        Claim(
            "ZFNet errs less often than the network that it was made of, trained alike: 38.4 against 40.5 % top-1, "
            "16.5 against 18.1 % top-5.",
            f"On test {new:.1f} % against {old:.1f} % top-1: {gain}.",
            None if worse is None else not worse,
        )
    ]
    averages = [(NEW,), (NEW, WIDE)] if WIDE in by_network else [(NEW,)]
    alone = wrong(by_network[NEW], "test").double().mean(0)
    for names in averages if len(by_network[NEW]) > 1 else []:
        runs = [run for name in names for run in by_network[name]]
        mean = averaged([run.test for run in runs]).wrong().double()
        less = contrast((mean - alone)[None])
        says = "5 of them 36.7 % against 38.4 % of one" if names == (NEW,) else "the 6 best together 36.0 %"
        above = less.positive_for_these
        claims.append(
            Claim(
                f"Several networks averaged err less than one: {says}, top-1.",
                f"The mean of {len(runs)} trainings ({' and '.join(TITLES[name] for name in names)}) "
                f"{100 * mean.mean():.1f} % against {new:.1f} % of one ZFNet: {less}.",
                None if above is None else not above,
            )
        )
    return claims


def _notes(found: Runs, by_network: Mapping[str, Sequence[Scored]]) -> list[str]:
    first = found.scored[0]
    return [
        f"{found.sets.title}; {found.recipe}.",
        f"Errors of training and test are of {len(first.training.labels):,} and {len(first.test.labels):,} pictures, "
        "their centre seen; those of validation are as each run logged them, and each run kept the weights that did "
        "best there, so that they are a little too good. A run in bfloat16 may have logged a picture "
        "or two more or less than are counted here.",
        "Minutes are those of a machine that others used too.",
    ]


def _error(answers: Answers) -> dict[str, float | None]:
    top1, top5 = (round(100 * _share(answers, top), 2) for top in (1, 5))
    return {"test error %": top1, "test top-5 error %": top5 if answers.probabilities.shape[1] > 5 else None}


def _share(answers: Answers, top: int = 1) -> float:
    return float(answers.wrong(top).double().mean())


def _paper(numbers: tuple[float, float] | None) -> dict[str, float | None]:
    top1, top5 = numbers or (None, None)
    return {"paper, top-1 %": top1, "paper, top-5 %": top5}


def _draw(axes: Any, by_network: Mapping[str, Sequence[Scored]], together: Sequence[tuple[str, Answers, Any]]) -> None:
    pair = {TITLES[name]: {part: errors(by_network[name], part) for part in PARTS} for name in (OLD, NEW)}
    draw_parts(axes[0], pair)
    axes[0].set_title("one network", fontsize=11)
    rows = {f"1 {TITLES[name]}": errors(each, "test") for name, each in by_network.items()}
    rows |= {f"{title}, averaged": [100 * _share(answers)] for title, answers, _ in together}
    places = {TITLES[name]: number for number, name in enumerate(by_network)}
    mixed = len(places)
    numbers = [next((places[t] for t in places if row.split(" ", 1)[1] == t), mixed) for row in rows]
    draw_dots(axes[1], rows, [COLOURS[number] for number in numbers])
    axes[1].set_title("one, and several averaged", fontsize=11)
    axes[1].set_xlabel("test error, %")


def _run(setting: Setting) -> Result:
    return table2(
        setting.data,
        runs=setting.runs,
        seeds=seeds_of(setting),
        make=setting.train,
        cache=setting.cache,
        progress=setting.progress,
    )


FIGURE = Figure(
    name="table2",
    title="Table 2: ZFNet against AlexNet",
    source="Zeiler & Fergus, Table 2 and section 5.1",
    says="Errors on ImageNet's validation pictures: the authors' own replication of Krizhevsky et al.'s network has "
    "40.5 % (top-1) and 18.1 % (top-5), theirs, with filters of 7x7 and stride 2 in the first layer, 38.4 % and "
    "16.5 %, with more maps in layers 3 to 5 37.5 % and 16.0 %; five networks averaged 36.7 % and 15.3 %, and with the "
    "wide one 36.0 % and 14.7 %.",
    run=_run,
    trainings=True,
    options=(Option("seeds", "0,1,2", "N,N,...", "of the trainings"),),
)
