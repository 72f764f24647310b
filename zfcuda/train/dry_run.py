"""A network runs once before a training of it begins: what is wrong with it is said before any work."""

from __future__ import annotations

import torch
from torch import Tensor

from zfcuda.complaint import out_of_memory, reason
from zfcuda.network import evaluating
from zfcuda.train.close_up_network import without_last_pooling
from zfcuda.train.network import Subject
from zfcuda.train.options import Options


def dry_run(subject: Subject, options: Options, classes: int) -> bool:
    """Runs a network once, and back, before a training of it begins.

    Returns:
        whether something that may learn has no part in the answer: what processes have to tell one another then.

    Raises:
        ValueError: it cannot read images of this size, its answers are no logits, or nothing of it learns.
    """
    model, preprocess = subject.model, subject.preprocess if options.mean == "model" else None
    shape = (3, options.size or 224, options.size or 224)
    if preprocess is not None:
        shape = (len(preprocess.mean), *preprocess.sides)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not learning:
        raise ValueError(f"freeze_below: expected a layer with weights at or above it, got {options.freeze_below!r}")
    if options.crops == "close_ups" and options.close_ups:
        without_last_pooling(model)
    images = torch.zeros(1, *shape).contiguous(memory_format=torch.channels_last)
    with evaluating(model), torch.enable_grad():
        try:
            logits = model(images)
        except Exception as error:
            if out_of_memory(error):
                raise
            size = f"{shape[1]} x {shape[2]}"
            hint = "; try size 224" if preprocess is None and shape[1] < 224 else ""
            raise ValueError(f"model: {subject.name} cannot read images of {size}{hint} ({reason(error)})") from error
        if not isinstance(logits, Tensor) or logits.shape != (1, classes):
            got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"model: expected logits [1, {classes}] of {subject.name}, got {got}")
        gradients = torch.autograd.grad(logits.sum(), learning, allow_unused=True)
    return any(gradient is None for gradient in gradients)
