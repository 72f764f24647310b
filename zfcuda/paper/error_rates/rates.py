"""Error rates as rows of tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
from torch import Tensor

from zfcuda.paper.error_rates.scored import Scored
from zfcuda.paper.result import Row

PARTS = ("training", "validation", "test")


def wrong(runs: Sequence[Scored], part: str) -> Tensor:
    """Which pictures of "training" or "test" each run gets wrong, bool [runs, pictures]."""
    return torch.stack([getattr(run, part).wrong() for run in runs])


def errors(runs: Sequence[Scored], part: str, top: int = 1) -> list[float]:
    """The error of each run in per cent. part: of PARTS; top: 1 or 5."""
    if part == "validation":
        return [100 * run.validation[top == 5] for run in runs]
    return [100 * float(getattr(run, part).wrong(top).double().mean()) for run in runs]


def mean_row(runs: Sequence[Scored]) -> dict[str, float | int | None]:
    """Means over the runs of one network in per cent, with the standard deviation over its trainings."""
    found: dict[str, float | int | None] = {"trainings": len(runs)}
    for part in PARTS:
        each = errors(runs, part)
        found[f"{part} error %"] = round(statistics.fmean(each), 2)
        found[f"{part} deviation"] = round(statistics.stdev(each), 2) if len(each) > 1 else None
    five = runs[0].test.probabilities.shape[1] > 5
    found["test top-5 error %"] = round(statistics.fmean(errors(runs, "test", 5)), 2) if five else None
    return found


def single_row(run: Scored) -> Row:
    """One run."""
    return {
        "network": run.network,
        "seed": run.seed,
        **{f"{part} error %": round(errors([run], part)[0], 2) for part in PARTS},
        "epoch kept": run.epoch,
        "minutes": round(run.minutes, 1),
    }


def cost_row(run: Scored) -> Row:
    """What a network takes."""
    return {"network": run.network, "parameters": run.parameters, "multiply-adds an image": run.multiply_adds}
