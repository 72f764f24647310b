"""Dispatch: the windows run by the incremental engine where that is exact and cheaper, else by brute force."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.memory.budget import budget_of, out_of_memory
from zfcuda.memory.reused import reused_memory
from zfcuda.misfit import misfit
from zfcuda.network import evaluating
from zfcuda.network.graph import first_line
from zfcuda.occlusion.brute_force import BruteForce, chunk_size
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.prepared import (
    PreparedEngine,
    Refusal,
    check_finite,
    check_outputs,
    prepare,
    refused,
    run_engine,
)
from zfcuda.occlusion.trial import tried
from zfcuda.occlusion.watched_model import WatchedModel
from zfcuda.occlusion.window_outputs import WindowOutputs
from zfcuda.occlusion.windows import grid


@dataclass(frozen=True)
class OcclusionOutputs:
    """What the network gives for images, whole and with every window covered.

    Attributes:
        logits: float32 [N,windows,classes], windows in row-major order of the grid.
        base_logits: float32 [N,classes], of the whole images.
        activity, base_activity: float32 [N,windows,units] and [N,units], total activation of a layer's units.
        method: "incremental" or "batched". reason: why that one, in a sentence.
        prepared: for more images of this size.
    """

    logits: Tensor
    base_logits: Tensor
    activity: Tensor | None
    base_activity: Tensor | None
    method: str
    reason: str
    prepared: PreparedEngine | Refusal | None = None


def run_windows(
    model: nn.Module,
    images: Tensor,
    fill: Tensor,
    window: tuple[int, int],
    stride: tuple[int, int],
    *,
    layer: str | None = None,
    method: str = "auto",
    dtype: torch.dtype | None = None,
    memory_budget: int | None = None,
    progress: bool = False,
    check: Callable[[Tensor, Tensor | None], None] | None = None,
    prepared: PreparedEngine | Refusal | None = None,
) -> OcclusionOutputs:
    """Runs every image with every window covered.

    Args:
        model: [N,C,H,W] -> [N,classes]; run as in eval mode, without gradients, and left as it was.
        images: [N,C,H,W], of the model's dtype and device, finite.
        fill: broadcastable to images.
        window, stride: (rows, columns).
        layer: whose units' total activation is recorded.
        method, dtype, memory_budget, progress: as in occlusion_map.
        check: called with each image's base logits [classes] and base activity [units] before its windows are run.
        prepared: of an earlier call with the same model, size of images, window, stride, layer and method.

    Raises:
        ValueError: the model does not give [N,classes], gives NaN, is random, or writes to its input.
        RuntimeError: method="incremental" where that cannot be done.
    """
    origins = grid((images.shape[2], images.shape[3]), window, stride).to(images.device).flatten(0, 1)
    budget, repeated = budget_of(memory_budget, images.device), prepared is not None or len(images) > 1
    reason = "there was no image"
    # Not inference_mode: what the model makes here and keeps, a grid for one, may be trained with later.
    # What a layer frees is the next one's: up to a third of brute force's time on a CPU were fresh pages.
    reusing = reused_memory(given_back=False) if images.device.type == "cpu" else nullcontext()
    with torch.no_grad(), evaluating(model), reusing:
        watched, reduced = WatchedModel(model, layer, None), WatchedModel(model, layer, dtype)
        bases, base_activities, logits, activities = [], [], [], []
        with tqdm(total=len(origins) * len(images), desc="occlusion", unit="window", disable=not progress) as bar:
            for image, covering in zip(images, fill.expand_as(images), strict=True):
                occluded = OccludedImage(image, covering, origins, window)
                base = base_logits_of(watched, image, measured=not isinstance(prepared, PreparedEngine))
                base_activity = None if watched.activity is None else watched.activity[0]
                if check is not None:
                    check(base, base_activity)
                prepared = prepare(watched, occluded, base, stride, method, prepared, dtype, memory_budget)
                ran: tuple[WindowOutputs, str] | Refusal
                if isinstance(prepared, PreparedEngine):
                    prepared = tried(prepared, watched, reduced, occluded, method, dtype, budget)
                if isinstance(prepared, PreparedEngine):
                    ran = _by_engine(prepared, watched, occluded, base, method, dtype, budget, bar, repeated)
                    prepared = prepared.without_values()
                else:
                    ran = prepared
                if isinstance(ran, Refusal):
                    prepared, reason = ran, ran.reason
                    base = base if reduced.dtype is None else reduced(image[None].clone())[0]
                    outputs = _by_brute_force(watched, reduced, occluded, base, ran, budget, bar)
                else:
                    outputs, reason = ran
                bases.append(base)
                logits.append(outputs.logits)
                if base_activity is not None:
                    base_activities.append(base_activity)
                if outputs.activity is not None:
                    activities.append(outputs.activity)
    return OcclusionOutputs(
        torch.stack(logits) if logits else images.new_empty(0, len(origins), 0),
        torch.stack(bases) if bases else images.new_empty(0, 0),
        torch.stack(activities) if activities else None,
        torch.stack(base_activities) if base_activities else None,
        "incremental" if isinstance(prepared, PreparedEngine) else "batched",
        reason,
        prepared,
    )


def base_logits_of(model: WatchedModel, image: Tensor, *, measured: bool = True) -> Tensor:
    """Runs the whole image: [classes]. measured: whether to note what that takes in memory."""
    batch = image[None].clone()
    try:
        base = (model.measure if measured else model)(batch)[0]
    except RuntimeError as error:
        known = misfit(error, model.module, batch)
        if known is None:
            raise
        raise known from error
    if not torch.equal(batch[0], image):
        raise ValueError("model: it writes to its input, so that it would spoil the image that it is given")
    check_finite(base)
    return base


def _by_engine(
    engine: PreparedEngine,
    model: WatchedModel,
    occluded: OccludedImage,
    base: Tensor,
    method: str,
    dtype: torch.dtype | None,
    budget: int,
    bar: tqdm[Any],
    repeated: bool,
) -> tuple[WindowOutputs, str] | Refusal:
    """The engine's outputs and what was done, in a sentence; a refusal where they are not the model's own."""
    own = occluded.image.dtype
    try:
        outputs, evidence = run_engine(engine, model, occluded, base, dtype, budget, bar, repeated)
        return outputs, check_outputs(engine, outputs, evidence, dtype, own)
    except Exception as error:  # whatever it may be, the model itself can be run
        if out_of_memory(error):
            raise
        return refused(first_line(error), method)


def _by_brute_force(
    model: WatchedModel,
    reduced: WatchedModel,
    occluded: OccludedImage,
    base: Tensor,
    refusal: Refusal,
    budget: int,
    bar: tqdm[Any],
) -> WindowOutputs:
    """Runs all windows through the whole network.

    model: has measured the whole image. reduced: the model in the dtype that was asked for. base: what that gives for
    the whole image, [classes].
    """
    if model.memory is None and refusal.coupled is None:  # the engine was used so far
        model.measure(occluded.image[None].clone())
    chunk = 1 if refusal.coupled is not None else chunk_size(model, occluded.image, budget)
    # A CPU takes seconds for a batch of some networks; with the first window alone the bar moves sooner.
    sooner = not bar.disable and occluded.image.device.type == "cpu" and len(occluded) > chunk
    return BruteForce(reduced, occluded, base, chunk, bar.update).all(sooner=sooner)
