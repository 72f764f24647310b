"""The choice between the engine and brute force: predicted where that is clear, and kept for the process."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.network.graph import INNER
from zfcuda.network.remembered import answers_about
from zfcuda.occlusion.incremental.cost import Costs
from zfcuda.occlusion.output import ModelWithOutput

# Predictions of how many times as long brute force takes are off by less than these.
_CLEAR = (0.6, 1.6)
# Of what the map takes, as predicted, that a trial may waste, whichever way it ends.
_WASTE = 0.1
_SHARE = 25  # one window of so many is tried
_MOST = 16
_ENOUGH = 100  # windows: of fewer, so few could be tried that what they take says less than the prediction


@dataclass(frozen=True)
class Choice:
    """Which way a map's windows go.

    why: what the two ways take, as the end of a sentence. cut: windows that the engine runs before the others, those of
    a trial; whoever repeats the map cuts it so too, since rounding depends on which windows run together.
    """

    engine: bool
    why: str
    cut: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Question:
    """A choice that is not made yet. about: what decides it, beside the model."""

    about: Hashable
    costs: Costs


def what_decides(image: Tensor, model: nn.Module, *more: Hashable) -> Hashable:
    """All that a choice depends on beside the model itself. image: [C,H,W]. more: of the windows."""
    picks: Any = model._output if isinstance(model, ModelWithOutput) else None
    # Not itself, which might hold a lot: each call may come with another function of the same lines.
    output = (type(picks), getattr(picks, "__code__", None), str(getattr(picks, "key", "")))
    kind = (tuple(image.shape), image.stride(), image.dtype, str(image.device), torch.get_num_threads())
    return ("occlusion", kind, output, *more)


def recall(model: nn.Module, about: Hashable) -> Choice | None:
    """The choice that was made for this model, if it is what it was then but for the values of its weights."""
    choice: Choice | None = answers_about(_itself(model)).get(about)
    return choice


def settle(model: nn.Module, about: Hashable, choice: Choice) -> Choice:
    """Remembers a choice for as long as the model lives. Returns the one that holds: another thread may have chosen."""
    held: Choice = answers_about(_itself(model)).setdefault(about, choice)
    return held


def _itself(model: nn.Module) -> nn.Module:
    """The model that the caller holds; the one around it, which picks an output, is made for each call."""
    inner: nn.Module = getattr(model, INNER) if isinstance(model, ModelWithOutput) else model
    return inner


def predicted(costs: Costs) -> Choice:
    """The choice by prediction alone."""
    engine, brute = costs.in_all()
    return Choice(engine <= brute, _why("predicted to take", engine, brute, engine <= brute))


def clear(costs: Costs, device: torch.device) -> bool:
    """Whether the prediction decides: it is far from even, or a trial would cost more than it may.

    On a GPU it always does: a trial would have to wait for it. So it does where windows are few.
    """
    engine, brute = costs.in_all()
    ratio = brute / engine
    if device.type != "cpu" or len(costs.each) < _ENOUGH or not _CLEAR[0] < ratio < _CLEAR[1]:
        return True
    tried = trial_size(len(costs.each))
    # Where the engine wins, its two chunks more and brute force's part; else all that the engine has run.
    lost = 2 * costs.chunk + costs.brute(tried - 1)
    wasted = 2 * costs.chunk + (tried + 1) * float(costs.each.mean())
    return max(lost, wasted) > _WASTE * min(engine, brute)


def trial_size(windows: int) -> int:
    """How many of so many windows brute force runs in a trial; the engine one more."""
    return max(2, min(_MOST, windows // _SHARE))


def measured(costs: Costs, engine: tuple[list[int], float], brute: tuple[int, float]) -> Choice:
    """The choice by what some windows took.

    What is known of all windows, that patches at a border are smaller, and that a chunk and a batch take something for
    themselves, scales with what was measured.

    engine: windows, and the seconds that they took together. brute: how many windows, and their seconds.
    """
    slower = engine[1] / costs.engine(engine[0])
    full = brute[1] / costs.brute(brute[0])
    by_engine, by_brute = full * costs.once + slower * costs.engine(), full * (costs.checks + costs.brute())
    chosen = by_engine <= by_brute
    why = _why("measured on some windows to take", by_engine, by_brute, chosen)
    return Choice(chosen, why)


def _why(how: str, engine: float, brute: float, chosen: bool) -> str:
    other = f"running it in full takes {brute:.2g} s" if chosen else f"computing what each changes takes {engine:.2g} s"
    return f"{how} {engine if chosen else brute:.2g} s, where {other}"
