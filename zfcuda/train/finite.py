"""A loss or weights that are not finite end a run."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from zfcuda.complaint import one_line
from zfcuda.train.state import Training


class NotFiniteError(ValueError):
    """Raised where the loss, or a weight, is infinite or no number; the last checkpoint is from before that."""


def check_loss(training: Training, folder: Path) -> None:
    """Refuses to go on where the loss of a step of this epoch was not finite.

    Raises:
        NotFiniteError: naming the step, and what may help.
    """
    step = int(training.diverged)
    if step:
        raise NotFiniteError(f"loss: not finite in step {step:,} ({_place(training, step)}); {_help(folder)}")


def check_weights(training: Training, folder: Path) -> None:
    """Refuses to go on, and to keep them, where weights are not finite.

    Raises:
        NotFiniteError: naming the step, and what may help.
    """
    check_loss(training, folder)
    held = [each for each in training.network.state_dict().values() if each.is_floating_point() and each.numel()]
    if held and not torch.stack([each.isfinite().all() for each in held]).all():
        step = training.step
        raise NotFiniteError(f"weights: not finite after step {step:,} ({_place(training, step)}); {_help(folder)}")


def _place(training: Training, step: int) -> str:
    epoch, at = divmod(step - 1, training.epoch_steps)
    return f"epoch {epoch + 1}, step {at + 1} of {training.epoch_steps:,}"


def _help(folder: Path) -> str:
    shown = one_line(os.fspath(folder))
    steps = [
        int(step) for file in (folder / "checkpoints").glob("*-*.safetensors") if (step := file.name.split("-")[0])
    ]
    kept = f"the checkpoint after step {max(steps):,} is whole" if steps else "no checkpoint was due before"
    on = (
        f", with --weights {shown}/weights.safetensors from the best epoch"
        if (folder / "weights.safetensors").exists()
        else ""
    )
    return (
        f"{kept}, but the same command would meet it again, as it repeats each step; "
        f"begin in another --out with a smaller --rate, or --clip 1{on}"
    )
