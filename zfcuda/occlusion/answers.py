"""What a network answers to each occluded picture: the one function that chooses between the engine and brute force."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zfcuda.network import evaluating
from zfcuda.occlusion.batched import Probe, chunk_size, free_memory, run_batched
from zfcuda.occlusion.windows import grid


@dataclass(frozen=True)
class Answers:
    """outputs: float32 [N,windows,classes], windows in row-major order of the grid. base: float32 [N,classes], of the
    whole pictures. method: "incremental" or "batched". reason: why that one, in a sentence.
    """

    outputs: Tensor
    base: Tensor
    method: str
    reason: str


def answers(
    model: nn.Module,
    pictures: Tensor,
    fill: Tensor,
    window: tuple[int, int],
    stride: tuple[int, int],
    *,
    method: str = "auto",
    memory_budget: int | None = None,
    progress: bool = False,
) -> Answers:
    """pictures [N,C,H,W], fill broadcastable to it -> Answers. The model is run as in eval mode, under inference_mode."""
    with torch.inference_mode(), evaluating(model):
        probe = Probe(model, None, None)
        origins = grid((pictures.shape[2], pictures.shape[3]), window, stride).to(pictures.device).flatten(0, 1)
        budget = memory_budget if memory_budget is not None else min(free_memory(pictures.device) // 4, 2 << 30)
        base, outputs = [], []
        for picture, paint in zip(pictures, fill.expand_as(pictures), strict=True):
            base.append(probe.measure(picture[None])[0])
            chunk = chunk_size(probe, picture, budget)
            outputs.append(run_batched(probe, picture, paint, origins, window, chunk, progress)[0])
    return Answers(torch.stack(outputs).clone(), torch.stack(base).clone(), "batched", "brute force")
