"""A trial: some windows of an image by the engine and by brute force, timed, where a prediction cannot tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from tqdm import tqdm

from zfcuda.memory.budget import out_of_memory
from zfcuda.network.graph import first_line
from zfcuda.occlusion.brute_force import chunk_size
from zfcuda.occlusion.choice import measured, predicted, settle, trial_size
from zfcuda.occlusion.incremental.chunk import Base
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.prepared import Answers, Begun, PreparedEngine, Refusal, by_choice, refused, telling
from zfcuda.occlusion.watched_model import WatchedModel
from zfcuda.occlusion.window_outputs import WindowOutputs

T = TypeVar("T")
_clock = time.perf_counter


def tried(
    engine: PreparedEngine,
    watched: WatchedModel,
    reduced: WatchedModel,
    occluded: OccludedImage,
    method: str,
    dtype: torch.dtype | None,
    budget: int,
) -> PreparedEngine | Refusal:
    """Chooses, where that is an open question: the engine, with what it has run of the windows, or brute force.

    Where the engine is chosen, nothing that ran here runs again: two windows of the engine's are held against the model
    in any case.

    watched, reduced: the model, and the model in the dtype that the windows are run in.
    """
    if engine.question is None:
        return engine
    question, settled = engine.question, replace(engine, question=None)
    first, *others = _windows(occluded)
    cut = ((first,), tuple(others))
    base = Base(engine.values, occluded.image.dtype if dtype is None else dtype)

    def run(windows: tuple[int, ...]) -> WindowOutputs:
        return engine.plan.run(
            occluded.fill,
            base,
            base.dtype,
            budget,
            tqdm(disable=True),
            limit=engine.limit,
            windows=np.array(windows, np.int64),
        )

    try:
        begun = run(cut[0])  # alone, since the first run lays out the filters
        more, took = _timed(lambda: run(cut[1]))
    except Exception as error:  # whatever it may be, the model itself can be run
        if out_of_memory(error):
            raise
        return refused(first_line(error), method)
    windows = [first, *others][: max(1, min(len(others), chunk_size(watched, occluded.image, budget)))]
    answers: Answers | None = None
    try:
        logits, by_model = _timed(lambda: reduced(occluded.batch(windows)))
        answers = Answers(windows, logits)
        choice = measured(question.costs, (others, took), (len(windows), by_model))
    except (ValueError, RuntimeError, MemoryError):  # brute force, which may run fewer at once, says it again
        choice = predicted(question.costs)
    choice = settle(watched.module, question.about, replace(choice, cut=cut if choice.engine else ()))
    if not choice.engine:
        return by_choice(choice)
    if choice.cut != cut:  # another thread has chosen meanwhile
        return replace(settled, choice=choice)
    own = answers if reduced.dtype is None else None
    return replace(settled, choice=choice, begun=Begun(base, [begun, more], own))


def _timed(run: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the seconds that it took."""
    started = _clock()
    result = run()
    return result, _clock() - started


def _windows(occluded: OccludedImage) -> list[int]:
    """The windows of a trial: the one that covers most, the one at the border that does, and others all over the grid.

    The engine's are held against the model on the second, too, where no other's answer tells more.
    """
    count = len(occluded)
    every = torch.arange(count, device=occluded.origins.device)
    pair = telling(occluded, every, occluded.changes()[:, None]).tolist()
    rest = np.setdiff1d(np.arange(count), pair)
    spread = np.linspace(0, len(rest) - 1, trial_size(count) - 1).round().astype(np.int64)
    return [*pair, *rest[spread].tolist()]
