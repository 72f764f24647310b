"""What matters: the map of each method of zfcuda.methods for the photograph."""

from __future__ import annotations

from functools import partial

from benchmarks.methods.scene import Scene, Shown, Trial, timed
from zfcuda.methods import METHODS, Method
from zfcuda.report.panels import coloured
from zfcuda.report.pieces import number


def trials() -> dict[str, Trial]:
    """A trial for each method."""
    return {name: partial(_map, one) for name, one in METHODS.items()}


def _map(one: Method, scene: Scene) -> Shown:
    maps, seconds = timed(lambda: one.compute(scene.model, scene.image, [scene.target]))
    values = maps[0].float().cpu()
    largest = float(values.abs().max())
    return Shown(
        one.name, coloured(values, largest, signed=one.signed), seconds, f"largest magnitude {number(largest)}"
    )
