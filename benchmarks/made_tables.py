"""What was measured of made images, as tables: adversaries beside others' and textures beside exhaustive search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Lines = tuple[list[str], list[list[str]], list[str]]  # columns, rows, sentences without the points at their ends


def adversaries(result: Mapping[str, Any]) -> Lines:
    columns = ["by", "attack", "answers changed", "mean change, of 255", "root mean square", "processor s a picture"]
    rows = [
        [
            row["by"],
            row["setting"],
            f"{row['succeeded']} of {row['pictures']}",
            f"{row['mean change of 255']:.3f}",
            f"{row['root mean square of 255']:.3f}",
            f"{row['processor seconds per picture']:.3f}",
        ]
        for row in result["beside"]["rows"]
    ]
    said = [
        f"{row['setting']}: {row['succeeded']} of {row['pictures']} pictures change the answer, {row['in the ball']} "
        f"lie within the ball, and a value changes by {row['mean change of 255']:.2f} in the mean"
        for row in result.get("all", {}).get("rows", [])
    ]
    return columns, rows, said


def textures(result: Mapping[str, Any]) -> Lines:
    columns = [
        "sample",
        "tree, s (quartiles)",
        "exhaustive, the same kernel",
        "a product of matrices",
        "NumPy, by pixels",
    ]
    rows = []
    for row in result["speed"]:
        low, high = row["quartiles"]["tree"]
        ratios = [f"{row['ratios'][name]:.1f}x" for name in ("ours", "batched", "numpy")]
        seconds = [row["seconds"][f"exhaustive_{name}"] for name in ("ours", "batched", "numpy")]
        others = [f"{ratio} ({time:.3g} s)" for ratio, time in zip(ratios, seconds, strict=True)]
        rows.append([row["texture"], f"{row['seconds']['tree']:.3g} ({low:.3g} to {high:.3g})", *others])
    likeness = result["likeness"]
    equal = ", ".join(f"{row['texture']} {row['equal_choices']:.0%}" for row in likeness)
    moved = ", ".join(
        f"{row['texture']} {row['earth_movers']['after']:.2g} ({row['earth_movers']['two_pieces']:.2g})"
        for row in likeness
    )
    said = [
        f"The tree, in {result['leaves']} leaves, chooses what exhaustive search chooses for so many pixels: {equal}",
        "The earth mover's distance of the output's histogram from the sample's, of 255, in the worst channel, and "
        f"beside it that of two pieces of one photograph: {moved}",
    ]
    return columns, rows, said
