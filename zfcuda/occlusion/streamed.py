"""One map, told block by block while it is computed, in an order of the caller's: coarse first, then finer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from tqdm import tqdm

from zfcuda.memory.budget import budget_of, out_of_memory
from zfcuda.network import evaluating
from zfcuda.network.graph import first_line
from zfcuda.occlusion.brute_force import BruteForce, chunk_size
from zfcuda.occlusion.dispatch import OcclusionOutputs, base_logits_of
from zfcuda.occlusion.experiment import Experiment
from zfcuda.occlusion.incremental.chunk import Base
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.prepared import (
    Evidence,
    PreparedEngine,
    Refusal,
    check_outputs,
    own_answers,
    prepare,
    refused,
    telling,
)
from zfcuda.occlusion.result import OcclusionMap
from zfcuda.occlusion.trial import tried
from zfcuda.occlusion.watched_model import WatchedModel
from zfcuda.occlusion.window_outputs import WindowOutputs

#: Called with windows, int64 [n], rows of the grid one after the other, and what they gave.
Told = Callable[[Tensor, WindowOutputs], None]
_FIRST = 8  # windows of the first block
_LARGEST = 1024


def streamed_map(
    experiment: Experiment, image: Tensor, order: list[Tensor], told: Told, *, seconds: float = 0.2
) -> OcclusionMap:
    """Computes the map of an image, and tells it block by block.

    The numbers are those of :func:`zfcuda.occlusion_map` with the same arguments, but for rounding. Where the engine's
    answers turn out not to be the model's own, all windows are run and told again.

    Args:
        experiment: whose windows are run; in the image's own dtype.
        image: [C,H,W].
        order: int64 tensors that hold each window once; no block goes from one of them into the next.
        told: called after each block.
        seconds: that a block should take.

    Raises:
        As occlusion_map.
    """
    e, image = experiment, experiment.checked(image)
    occluded = e.occluded(image)
    budget = budget_of(e.memory_budget, image.device)
    with torch.no_grad(), evaluating(e.model):
        watched = WatchedModel(e.model, e.layer, None)
        base = base_logits_of(watched, image)
        base_activity = watched.activity
        e.check(base, None if base_activity is None else base_activity[0])
        prepared = prepare(watched, occluded, base, e.stride, e.method, None, None, e.memory_budget)
        if isinstance(prepared, PreparedEngine):
            prepared = tried(prepared, watched, watched, occluded, e.method, None, budget)
        reason, found = "", None
        if isinstance(prepared, PreparedEngine):
            plan, begun, limit = prepared.plan, prepared.begun, prepared.limit
            values = Base(prepared.values, image.dtype) if begun is None else begun.base

            def by_engine(windows: Tensor) -> WindowOutputs:
                return plan.run(
                    occluded.fill,
                    values,
                    image.dtype,
                    budget,
                    tqdm(disable=True),
                    limit=limit,
                    windows=windows.cpu().numpy(),
                )

            try:
                found = _blocks(by_engine, occluded, order, told, seconds, _LARGEST)
                checked = telling(occluded, torch.arange(len(occluded), device=base.device), found.logits - base)
                own = own_answers(watched, occluded, checked, None if begun is None else begun.answers)
                reason = check_outputs(
                    prepared, found, Evidence(found.logits, found.logits[checked], own), None, image.dtype
                )
            except Exception as error:  # whatever it may be, the model itself can be run
                if out_of_memory(error):
                    raise
                prepared, found = refused(first_line(error), e.method), None
        if found is None:
            assert isinstance(prepared, Refusal)
            reason = prepared.reason
            most = 1 if prepared.coupled is not None else chunk_size(watched, image, budget)
            found = _blocks(BruteForce(watched, occluded, base, most), occluded, order, told, seconds, most)
        method = "incremental" if isinstance(prepared, PreparedEngine) else "batched"
        activity = None if found.activity is None else found.activity[None]
        outputs = OcclusionOutputs(found.logits[None], base[None], activity, base_activity, method, reason)
    return e.map(outputs, image)


def coarse_to_fine(rows: int, columns: int, coarsest: int = 8) -> Iterator[tuple[int, Tensor]]:
    """The windows of a grid in levels, (step, windows int64 [n]): what lies step apart and came in no level before."""
    index = torch.arange(rows * columns).view(rows, columns)
    came = torch.zeros(rows, columns, dtype=torch.bool)
    step = coarsest
    while step > 1 and (rows <= 2 * step or columns <= 2 * step):
        step //= 2
    while step >= 1:
        level = torch.zeros_like(came)
        level[::step, ::step] = True
        if (level & ~came).any():
            yield step, index[level & ~came]
        came |= level
        step //= 2


def _blocks(
    run: Callable[[Tensor], WindowOutputs],
    occluded: OccludedImage,
    order: list[Tensor],
    told: Told,
    seconds: float,
    most: int,
) -> WindowOutputs:
    """Runs all windows in blocks of at most so many. Returns what they gave, in the order of the grid."""
    logits: Tensor | None = None
    activity: Tensor | None = None
    count = min(_FIRST, most)
    for level in order:
        begin = 0
        while begin < len(level):
            windows = level[begin : begin + count].to(occluded.image.device)
            begin += count
            started = time.perf_counter()
            outputs = run(windows)
            took = time.perf_counter() - started
            if logits is None:
                logits = outputs.logits.new_empty(len(occluded), outputs.logits.shape[1])
                if outputs.activity is not None:
                    activity = outputs.activity.new_empty(len(occluded), outputs.activity.shape[1])
            logits[windows] = outputs.logits
            if activity is not None and outputs.activity is not None:
                activity[windows] = outputs.activity
            told(windows, outputs)
            count = max(1, min(most, 2 * count if took < seconds / 2 else count // 2 if took > 2 * seconds else count))
    assert logits is not None
    return WindowOutputs(logits, activity)
