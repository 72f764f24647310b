"""Whether the explanations are true, as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.tables import NOT_MEASURED, markdown


def truth(path: Path) -> str:
    """Whether the explanations are true, held against drawn pictures of which it is known what decides.

    path: of the results.
    """
    if not path.exists():
        return NOT_MEASURED
    result = json.loads(path.read_text(encoding="utf-8"))
    methods, network, paper = result["methods"], result["network"], result["paper"]
    chance, luck = {name: f"{100 * value:.1f} %" for name, value in result["chance"].items()}, methods["random"]
    lines = markdown(
        ["method", "its maximum on the defining part", "energy on it", "order left without the network's knowledge"],
        [
            [
                name,
                _percent(row["pointing"]),
                _percent(row["energy"]),
                _plain(row["after_all"]) if "after_all" in row else "-",
            ]
            for name, row in methods.items()
            if row is not luck
        ]
        + [["by chance", chance["pointing"], chance["energy"], _plain(luck["after_all"])]],
    )
    guess = "8.3 %"  # one class of twelve
    asked = markdown(
        ["question", "answer", "by chance"],
        [
            [
                "the occluder position where the true class is least probable overlaps the defining part",
                _percent(paper["occluder"]),
                f"{_percent(paper['occluder_at_random'])} (a random position)",
            ],
            [
                "the strongest conv5 unit's projection has 3 times the energy density on the object than off it",
                f"{_percent(paper['projection'])} (median {paper['projection_ratio']['value']:.1f} times)",
                f"{_percent(paper['projection_evenly'])} (spread evenly over its receptive field)",
            ],
            ["accuracy", _percent(network["accuracy"]), guess],
            [
                "accuracy with the defining part removed (should be chance)",
                _percent(network["accuracy_without"]),
                guess,
            ],
        ],
    )
    return "\n".join(
        [
            f"`{result['command']}`, {result['pictures']} held-out pictures; [truth.md](truth.md) has all measures,",
            "with intervals and pictures, and says what each of them asks:",
            "",
            *lines,
            "",
            *asked,
        ]
    )


def _plain(figure: Mapping[str, float]) -> str:
    return f"{round(figure['value'], 2) + 0.0:.2f}"  # no minus before a zero


def _percent(figure: Mapping[str, float]) -> str:
    return f"{100 * figure['value']:.1f} %"
