"""What is written of a stage and its deconvnet: how its numbers are, and how to read the figure."""

from __future__ import annotations

import math

import torch

from zfcuda.paper.unpooling.attached import Attached
from zfcuda.paper.unpooling.extract import Extract


def caption(stage: Attached, shown: Extract) -> str:
    """How to read it, in lines."""
    high, wide = stage.window.kernel
    at = "" if stage.above_position is None else f" at {stage.above_position}"
    lines = [
        f"Map {shown.unit} of the {len(stage.pooled)} of {stage.layer}. The signal comes down from the strongest "
        f"activation of {stage.above}: unit {stage.above_unit}{at}.",
        f"Each colour is one window of {high} x {wide}: its frame is around the maximum, and the small squares are its "
        "switch, which says where that was.",
        _sum(stage, shown),
        _beside(stage, shown),
        "Red is positive, blue negative, white zero, each map to a scale of its own. A black frame is around what is "
        "shown in numbers.",
    ]
    return "\n".join(line for line in lines if line)


def _sum(stage: Attached, shown: Extract) -> str:
    """What happens where a place is the maximum of several windows, in numbers; "" where none is."""
    winners: dict[tuple[int, ...], list[float]] = {}
    for y, x in shown.places:
        at = tuple(stage.winners(shown.unit)[y, x].tolist())
        winners.setdefault(at, []).append(float(stage.signal[shown.unit, y, x]))
    wins = stage.wins()[shown.unit]
    whole = [at for at, signals in winners.items() if len(signals) == wins[at] > 1]
    if not whole:
        return ""
    at = max(whole, key=lambda place: len(winners[place]))
    power, digits = written(limit(stage, shown, down=True))
    said = [f"{value / 10**power:.{digits}f}" for value in (*winners[at], float(stage.unpooled[(shown.unit, *at)]))]
    terms = " + ".join(f"({each})" if each.startswith("-") else each for each in said[:-1])
    return (
        f"A frame of {len(said) - 1} colours: one maximum of {len(said) - 1} windows. Unpooled, their signals add up: "
        f"{terms} = {said[-1]}."
    )


def _beside(stage: Attached, shown: Extract) -> str:
    """Says where values without a frame come from; "" where there are none."""
    framed = {tuple(stage.winners(shown.unit)[y, x].tolist()) for y, x in shown.places}
    top, left, bottom, right = shown.cells
    others = {
        (y + max(0, top), x + max(0, left))
        for y, x in stage.unpooled[shown.unit][max(0, top) : bottom, max(0, left) : right].nonzero().tolist()
    }
    return "Unpooled values without a frame come from the windows beside these." if others - framed else ""


def limit(stage: Attached, shown: Extract, *, down: bool) -> float:
    """The largest number that is shown of the convnet, or of the deconvnet."""
    top, left, rows, columns = shown.windows
    maps = stage.pooled_maps if stage.maps is None else stage.maps
    cells, windows = (stage.unpooled, stage.signal) if down else (maps, stage.pooled)
    few = windows[shown.unit, top : top + rows, left : left + columns]
    both = torch.cat([shown.cut(cells[shown.unit]).flatten(), few.flatten()])
    return float(torch.nan_to_num(both).abs().max()) or 1.0


def written(largest: float) -> tuple[int, int]:
    """(power of ten that is left out, digits behind the point), so that numbers up to the largest have three digits."""
    order = math.floor(math.log10(largest))
    power = 0 if -2 < order < 4 else order
    return power, min(2, max(0, 2 - (order - power)))
