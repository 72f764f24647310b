"""Where the time of one map goes: the engine's steps by kind, and what it does around them.

Each part is without the parts inside it, so that they add up to the whole.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch

from benchmarks.zoo_maps.trial import Trial
from zfcuda.network import Network
from zfcuda.occlusion import prepared
from zfcuda.occlusion.incremental.chunk import Places
from zfcuda.occlusion.incremental.engine import Plan
from zfcuda.occlusion.watched_model import WatchedModel

ELSE = "all else"
# What is timed besides the steps: (whose, its name, what it is called). What is no longer there is not timed.
_AROUND: tuple[tuple[Any, str, str], ...] = (
    (WatchedModel, "measure", "the model itself, on the whole image and two windows"),
    (WatchedModel, "__call__", "the model itself, on the whole image and two windows"),
    (WatchedModel, "coupling", "whether the images of a batch are independent"),
    (prepared, "trace", "following the model"),
    (Network, "run", "the whole image, keeping its maps"),
    (prepared, "predict", "which way is cheaper"),
    (Plan, "__init__", "analysis and fusion"),
    (Places, "once", "tables"),
    (Places, "layout", "tables"),
)
# Of steps, what is part of their own class.
_WITHIN = {"prepared": "packed filters"}


class Clock:
    """Seconds by part; a part inside another stops that one's clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def _switch(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


def seconds(trial: Trial) -> dict[str, float]:
    """The parts of a map by the engine, after a first run, the largest first."""
    trial.ours("incremental")
    clock = Clock()
    with ExitStack() as stack, torch.inference_mode():
        for owner, name, called in _AROUND:
            if hasattr(owner, name):
                _timed(stack, clock, owner, name, lambda *_, called=called: called)  # type: ignore[misc]
        _time_steps(stack, clock)
        with clock.part(ELSE):
            trial.ours("incremental")
    return {part: round(spent, 4) for part, spent in sorted(clock.seconds.items(), key=lambda x: -x[1])}


def _timed(stack: ExitStack, clock: Clock, owner: Any, name: str, called: Callable[..., str]) -> None:
    """Makes a function count as a part for the time of the stack; called: its arguments -> the part's name."""
    function = getattr(owner, name)

    def run(*args: Any, **kwargs: Any) -> Any:
        with clock.part(called(*args)):
            return function(*args, **kwargs)

    stack.enter_context(mock.patch.object(owner, name, run))


def _time_steps(stack: ExitStack, clock: Clock) -> None:
    """Makes the steps of the plans that are run count, each by its kind."""
    run = Plan.run
    known: set[type] = set()

    def running(plan: Plan, *args: Any, **kwargs: Any) -> Any:
        for kind in {type(step) for step in plan.steps} - known:
            known.add(kind)
            _timed(stack, clock, kind, "run", kind_of)
            for name, called in _WITHIN.items():
                if hasattr(kind, name):
                    _timed(stack, clock, kind, name, lambda *_, called=called: called)  # type: ignore[misc]
        return run(plan, *args, **kwargs)

    stack.enter_context(mock.patch.object(Plan, "run", running))


def kind_of(step: Any, chunk: Any) -> str:
    """What a step is called: "convolution 3 x 3, depthwise, dense", "positions: cat"."""
    name = type(step).__name__.removesuffix("Step")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    if hasattr(step, "conv"):
        weight = chunk.base[step.conv.arguments["weight"].index]
        groups = step.groups(chunk.base)
        grouped = "" if groups == 1 else ", depthwise" if weight.shape[1] == 1 else f", {groups} groups"
        way = f", {step.way(chunk.base, chunk.changes)}" if hasattr(step, "way") else ""
        return f"{words} {weight.shape[2]} x {weight.shape[3]}{grouped}{way}"
    node = getattr(step, "node", None)
    if node is None or node.kind in words.replace(" ", "_") or words.startswith(("pooling", "global", "first")):
        return words
    function = node.arguments.get("function")
    return f"{words}: {getattr(function, '__name__', node.kind)}"
