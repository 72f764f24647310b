"""Options that somebody has chosen and that would have no effect on this network and these weights."""

from __future__ import annotations

import warnings
from collections.abc import Collection

from torch import nn

from zfcuda.models.architectures.registry import is_name
from zfcuda.train.network import Subject
from zfcuda.train.options import Options


def check_given(given: Collection[str], options: Options, subject: Subject, steps: int) -> None:
    """Refuses what was chosen in vain: nobody has to wait for a run to see that it made no difference.

    Args:
        given: the names of the options that were chosen; the others are a recipe's.
        options: all of them.
        steps: of the whole run.

    Raises:
        ValueError: naming the first such option.

    Warns:
        of dropout in a network without such layers, which may have a way of its own, and of nothing that is frozen.
    """
    seen = subject.preprocess if options.mean == "model" else None
    if "mean" in given and options.mean == "model" and seen is None:
        raise ValueError(
            f"mean: expected pixel or channel, as {options.weights} does not say what it was trained with, got model"
        )
    for name in ("size", "short_side"):
        if name in given and seen is not None and getattr(options, name) != getattr(seen, name):
            raise ValueError(
                f"{name}: expected {getattr(seen, name)}, what the weights were trained with, or another --mean than "
                f"model, got {getattr(options, name)}"
            )
    if options.weights is not None:
        if "init" in given and options.init != "keep":
            raise ValueError(f"init: expected none beside weights to start from, got {options.init}")
        width = subject.options.get("width", 1.0)
        if "width" in given and options.width != width:
            raise ValueError(f"width: expected {width:g}, that of the weights to start from, got {options.width:g}")
    elif "width" in given and options.width not in (None, 1.0) and not is_name(options.model):
        raise ValueError(f"width: expected none for {options.model}, which has its own, got {options.width}")
    if "warm_up" in given and (options.warm_up or 0) >= steps:
        raise ValueError(f"warm_up: expected fewer than the {steps:,} steps of the run, got {options.warm_up}")
    if options.freeze_below is not None and all(each.requires_grad for each in subject.model.parameters()):
        warnings.warn(f"freeze_below: no weights are below {options.freeze_below}: all of them learn", stacklevel=2)
    if "dropout" in given and options.dropout and not any(isinstance(m, nn.Dropout) for m in subject.model.modules()):
        warnings.warn(f"dropout: {subject.name} has no dropout layers: {options.dropout} has no effect", stacklevel=2)
