"""An image of the size that a model was made for, where nobody gives one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from zfcuda.data.preprocessing import made_for
from zfcuda.inputs import integer
from zfcuda.network.example import example_image, takes


def example_of(model: nn.Module, size: Any = None, name: str = "size") -> Tensor:
    """An image [1,C,H,W] of zeros, of the model's dtype and on its device.

    Args:
        model: unwrapped.
        size: a side in pixels or (height, width); None: what the model was made for, or 224.
        name: of the argument that would say it.

    Raises:
        ValueError: size is none, or nothing says which the model takes.
    """
    made = made_for(model)
    if made and size is None:
        return example_image(model, made)
    channels = made[0] if made else next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), 3)
    if size is not None:
        try:
            high, wide = (integer("size", side, 1) for side in _sides(size))
        except (TypeError, ValueError):
            raise ValueError(f"size: expected a side in pixels or (height, width), above 0, got {size!r}") from None
        return example_image(model, (channels, high, wide))
    example = example_image(model, (channels, 224, 224))
    if not takes(model, example):
        raise ValueError(
            f"{name}: expected one, since {type(model).__name__} does not say what images it was made for "
            "(.preprocess, .input_size), and takes none of 224 x 224"
        )
    return example


def _sides(size: Any) -> Iterable[Any]:
    try:
        return (integer("size", size),) * 2
    except TypeError:
        return tuple(size)
