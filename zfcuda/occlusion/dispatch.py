"""What a network answers to each occluded picture: by the incremental engine where that is exact and cheaper, else by
brute force.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.network import evaluating
from zfcuda.occlusion.brute_force import Probe, chunk_size, free_memory, out_of_memory, run_batched
from zfcuda.occlusion.incremental import Result
from zfcuda.occlusion.incremental.precision import agree
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.prepared import (
    PreparedEngine,
    Refusal,
    RefusedError,
    check_computed,
    check_finite,
    check_steady,
    computed,
    prepare,
    refused,
)
from zfcuda.occlusion.windows import grid


@dataclass(frozen=True)
class Answers:
    """outputs: float32 [N,windows,classes], windows in row-major order of the grid. base: float32 [N,classes], of the
    whole pictures. activity, base_activity: float32 [N,windows,units] and [N,units], total activation of a layer's
    units. method: "incremental" or "batched". reason: why that one, in a sentence.
    prepared: for more images of this size.
    """

    outputs: Tensor
    base: Tensor
    activity: Tensor | None
    base_activity: Tensor | None
    method: str
    reason: str
    prepared: PreparedEngine | Refusal | None = None


def answers(
    model: nn.Module,
    pictures: Tensor,
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
) -> Answers:
    """The answers to every picture with every window covered.

    Args:
        model: [N,C,H,W] -> [N,classes]; run as in eval mode, under inference_mode, and left as it was.
        pictures: [N,C,H,W], of the model's dtype and device, finite.
        fill: broadcastable to pictures.
        window, stride: (rows, columns).
        layer: whose units' total activation is recorded.
        method, dtype, memory_budget, progress: as in occlusion_map.
        check: called with each picture's base [classes] and base activity [units] before its windows are run.
        prepared: of an earlier call with the same model, size of pictures, window, stride, layer and method.

    Raises:
        ValueError: the model does not give [N,classes], gives NaN, is random, or writes to its input.
        RuntimeError: method="incremental" where that cannot be done.
    """
    origins = grid((pictures.shape[2], pictures.shape[3]), window, stride).to(pictures.device).flatten(0, 1)
    budget, repeated = budget_of(memory_budget, pictures.device), prepared is not None or len(pictures) > 1
    paints = fill.expand_as(pictures)
    reason = "there was no image"
    with torch.inference_mode(), evaluating(model):
        probe, reduced = Probe(model, layer, None), Probe(model, layer, dtype)
        bases, base_activity, outputs, activity = [], [], [], []
        with tqdm(total=len(origins) * len(pictures), desc="occlusion", unit="window", disable=not progress) as bar:
            for picture, paint in zip(pictures, paints, strict=True):
                occluded = OccludedImage(picture, paint, origins, window)
                base = _base(probe, picture)
                base_activity.append(None if probe.activity is None else probe.activity[0])
                if check is not None:
                    check(base, base_activity[-1])
                prepared = prepare(probe, occluded, base, stride, method, prepared)
                if isinstance(prepared, PreparedEngine):
                    try:
                        found = computed(prepared, probe, occluded, dtype, budget, bar, repeated)
                        reason = check_computed(prepared.plan, found, dtype, picture.dtype)
                        result = found.result
                    except (ValueError, RuntimeError, IndexError, RefusedError) as error:
                        if out_of_memory(error):
                            raise
                        prepared = refused(str(error).splitlines()[0], method)
                if isinstance(prepared, Refusal):
                    reason = prepared.reason
                    check_steady(probe, picture, base)
                    base = base if reduced.dtype is None else reduced(picture[None].clone())[0]
                    chunk = chunk_size(probe, picture, budget)
                    if chunk > 1 and not _independent(reduced, occluded):
                        chunk = 1
                    result = Result(*run_batched(reduced, occluded, chunk, bar))
                bases.append(base)
                outputs.append(result.logits)
                activity.append(result.activity)
    # Clones made outside of inference mode: autograd accepts them later.
    activities = [t for t in activity if t is not None]
    before = [t for t in base_activity if t is not None]
    return Answers(
        torch.stack(outputs).clone() if outputs else pictures.new_empty(0, len(origins), 0),
        torch.stack(bases).clone() if bases else pictures.new_empty(0, 0),
        torch.stack(activities).clone() if activities else None,
        torch.stack(before).clone() if before else None,
        "incremental" if isinstance(prepared, PreparedEngine) else "batched",
        reason,
        prepared,
    )


def budget_of(asked: int | None, device: torch.device) -> int:
    """Bytes; without a wish a quarter of what is free, at most 2 GiB."""
    return asked if asked is not None else min(free_memory(device) // 4, 2 << 30)


def _base(probe: Probe, picture: Tensor) -> Tensor:
    """[classes], of the whole picture."""
    batch = picture[None].clone()
    base = probe.measure(batch)[0]
    if not torch.equal(batch[0], picture):
        raise ValueError("model: it writes to its input, so that it would spoil the picture that it is given")
    check_finite(base)
    return base


def _independent(probe: Probe, occluded: OccludedImage) -> bool:
    """Whether a picture's answer is the same in company.

    It is not where a layer takes statistics of its batch, and there is none where a model takes one picture alone.
    """
    both = occluded.batch([0, len(occluded) // 2])
    try:
        in_company = probe(both)[0]
    except (ValueError, RuntimeError):
        return False
    return agree(in_company, probe(both[:1])[0], probe.dtype or both.dtype)
