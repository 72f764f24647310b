"""What a model answers for a batch: the scores that it should be, and what is said of anything else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor


def scores_of(answer: Any, count: int, name: str = "model", advice: Callable[[Any], str] = lambda answer: "") -> Tensor:
    """A model's answer to `count` images as scores [n,classes], of its own dtype; [n] is one class.

    Args:
        name: what made it, "model" or the argument that picked it.
        advice: what would help, for the end of an error: of the answer.

    Raises:
        ValueError: it is not [n,classes] of a floating dtype.
    """
    expected = f"{name}: expected it to return scores"
    if isinstance(answer, Tensor):
        scores = answer[:, None] if answer.dim() == 1 else answer
        if not answer.is_floating_point():
            raise ValueError(f"{expected} of a floating dtype, got {answer.dtype}{advice(answer)}")
        if scores.dim() == 2 and len(scores) == count:
            return scores
    images = "one image" if count == 1 else f"{count} images"
    raise ValueError(f"{expected} [N,classes] for {images}, got {spoken(answer)}{advice(answer)}")


def spoken(answer: Any) -> str:
    """What a model returns, in words: the keys or places, and the shapes of the tensors there."""
    if isinstance(answer, Tensor):
        return f"a Tensor of shape {list(answer.shape)}"
    within = ", ".join(
        f"{key!r}: {list(value.shape) if isinstance(value, Tensor) else type(value).__name__}"
        for key, value in parts_of(answer).items()
    )
    return type(answer).__name__ + (f" with {within}" if within else "")


def parts_of(answer: Any) -> dict[Any, Any]:
    """What a model returns by its keys, places or names."""
    if isinstance(answer, Mapping):
        return dict(answer)
    if isinstance(answer, tuple | list):
        return dict(enumerate(answer))
    if dataclasses.is_dataclass(answer):
        return {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
    return {}
