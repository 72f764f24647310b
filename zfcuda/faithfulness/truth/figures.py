"""What the records of many pictures come to: a figure and its 95 % interval for each method and measure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zfcuda.faithfulness.intervals import bootstrap, wilson
from zfcuda.faithfulness.truth.measure import Record
from zfcuda.faithfulness.truth.paper import CONTRAST

#: Of each method, in the order of the columns.
MEASURES = (
    "pointing",
    "energy",
    "deletion",
    "insertion",
    "first",
    "pieces",
    "after_top",
    "after_all",
    "ssim_after_all",
)


@dataclass(frozen=True)
class Figure:
    """A share or a mean, its 95 % interval, and over how many pictures."""

    value: float
    low: float
    high: float
    pictures: int


@dataclass(frozen=True)
class Figures:
    """All that is published.

    Attributes:
        pictures: how many were measured.
        methods: name -> measure -> Figure; what no picture was measured for is left out.
        layers: name -> layer -> Figure: the rank correlation of magnitudes once the layers from the top down to this
            one are shuffled.
        chance: of "pointing" and "energy", where a pixel or a map without preference would be.
        network: "accuracy", and "accuracy_without" the defining part.
        paper: what :func:`zfcuda.faithfulness.truth.paper.paper_questions` asks.
    """

    pictures: int
    methods: dict[str, dict[str, Figure]]
    layers: dict[str, dict[str, Figure]]
    chance: dict[str, float]
    network: dict[str, Figure]
    paper: dict[str, Figure]

    def plain(self) -> dict[str, Any]:
        """The same as dicts and numbers, rounded to what means something."""

        def rounded(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: rounded(one) for key, one in value.items()}
            return round(value, 5) if isinstance(value, float) else value

        return {key: rounded(value) for key, value in asdict(self).items()}


def figures(records: Sequence[Record]) -> Figures:
    """The figures of some pictures.

    Raises:
        ValueError: there are none.
    """
    if not records:
        raise ValueError("records: expected at least one, got none")
    names = list(records[0]["methods"])
    paper = [record["paper"] for record in records]
    return Figures(
        pictures=len(records),
        methods={name: _of_method([record["methods"][name] for record in records]) for name in names},
        layers={name: _of_layers([record["methods"][name] for record in records]) for name in names},
        chance={
            "pointing": statistics.mean(record["pointing_chance"] for record in records),
            "energy": statistics.mean(record["part"] for record in records),
        },
        network={
            "accuracy": _share([record["right"] for record in records]),
            "accuracy_without": _share([record["right_without"] for record in records]),
        },
        paper={
            "occluder": _share([each["occluder"] for each in paper]),
            "occluder_at_random": _mean([each["occluder_at_random"] for each in paper]),
            "projection": _share([each["projection"] >= CONTRAST for each in paper]),
            "projection_evenly": _share([each["projection_evenly"] >= CONTRAST for each in paper]),
            "projection_ratio": _middle([each["projection"] for each in paper]),
        },
    )


def _of_method(rows: list[dict[str, Any]]) -> dict[str, Figure]:
    ends = [list(row["layers"].values()) for row in rows if "layers" in row]
    found = {}
    for measure in ("pointing", "first"):  # yes or no, but of random maps a share of them
        values = [row[measure] for row in rows]
        found[measure] = (_share if all(isinstance(value, bool) for value in values) else _mean)(values)
    for measure in ("energy", "deletion", "insertion", "pieces"):
        values = [row[measure] for row in rows if measure in row]
        if values:
            found[measure] = _mean(values)
    if ends:
        found["after_top"] = _mean([layers[0][1] for layers in ends])
        found["after_all"] = _mean([layers[-1][1] for layers in ends])
        found["ssim_after_all"] = _mean([layers[-1][2] for layers in ends])
    return {measure: found[measure] for measure in MEASURES if measure in found}


def _of_layers(rows: list[dict[str, Any]]) -> dict[str, Figure]:
    measured = [row["layers"] for row in rows if "layers" in row]
    return {layer: _mean([each[layer][1] for each in measured]) for layer in (measured[0] if measured else {})}


def _share(hits: Sequence[float]) -> Figure:
    count = int(sum(hits))
    return Figure(count / len(hits), *wilson(count, len(hits)), len(hits))


def _mean(values: Sequence[float]) -> Figure:
    return Figure(statistics.fmean(values), *bootstrap(values), len(values))


def _middle(values: Sequence[float]) -> Figure:
    """The median and the quartiles."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    return Figure(statistics.median(ordered), low, high, len(ordered))
