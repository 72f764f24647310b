"""The zoo, network by network: what `python -m benchmarks occlusion --networks zoo` runs."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterable, Sequence

import torch

from benchmarks.failures import Failures
from benchmarks.measure import full_float32
from benchmarks.zoo_maps import profile, subjects, trial
from benchmarks.zoo_maps.record import Row, Rows

PROFILED = 3  # of the rows that reach the smallest part of their bound


def chosen(networks: Iterable[str]) -> list[str]:
    """The names of networks, "zoo" for all, "zoo/alexnet" for one.

    Raises:
        ValueError: a name is not known.
        MissingError: torchvision is not installed.
    """
    everything = subjects.names()
    wanted = [name.removeprefix(f"{subjects.ZOO}/") for name in networks]
    unknown = [name for name in wanted if name not in (subjects.ZOO, *everything)]
    if unknown:
        raise ValueError(f"expected zoo, or names of torchvision's networks, got {', '.join(unknown)}")
    return everything if subjects.ZOO in wanted else wanted


def run(names: Sequence[str], settings: trial.Settings, rows: Rows, *, resume: bool) -> None:
    """Measures networks and adds their rows; goes on past one that fails. resume: leaves out those that have one.

    Raises:
        Exception: the first failure, after all others have been measured.
    """
    failures = Failures()
    for name in names:
        if resume and name in rows.by_name:
            continue
        with failures.noted(name), torch.inference_mode(), full_float32(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = measured(name, settings)
            rows.add(row)
            print(trial.describe(row), flush=True)
        torch._dynamo.reset()
        gc.collect()
    failures.end()


def measured(name: str, settings: trial.Settings) -> Row:
    """One network's row; where it is left out, the reason stands in it."""
    reason = subjects.too_large(name)
    if reason is None:
        with torch.inference_mode(False), torch.no_grad():
            network, image = subjects.build(name)
        try:
            return trial.Trial(name, network, image, settings).row()
        except trial.LeftOutError as error:
            reason = str(error)
    return {"network": name, "dtype": str(settings.dtype).removeprefix("torch."), "skipped": reason}


def profiled(names: Sequence[str] | None, settings: trial.Settings, rows: Rows) -> None:
    """Adds to rows where the engine's time goes. names: None for those that reach the smallest part of their bound."""
    for name in slowest(rows.by_name.values()) if names is None else names:
        network, image = subjects.build(name)
        parts = profile.seconds(trial.Trial(name, network, image, settings))
        print(name, *(f"  {part:60} {spent:8.3f} s" for part, spent in parts.items()), sep="\n", flush=True)
        if name in rows.by_name:
            rows.add(rows.by_name[name] | {"profile": parts})


def slowest(rows: Iterable[Row]) -> list[str]:
    """The networks that reach the smallest part of their bound."""
    measured_rows = [row for row in rows if "skipped" not in row and trial.ENGINE in row["seconds"]]
    return [row["network"] for row in sorted(measured_rows, key=lambda row: float(row["reached"]))[:PROFILED]]
