"""The layers of a model that give a map: where on the image something is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.answers import spoken
from zfcuda.autograd import differentiating, run
from zfcuda.network.graph import submodules
from zfcuda.network.remembered import remembered

_LISTED = 12


def is_map(value: Any, count: int) -> bool:
    """Whether a layer's output for `count` images is a map of more than one place."""
    if not isinstance(value, Tensor) or value.dim() != 4 or not value.is_floating_point():
        return False
    return len(value) == count and value.shape[1] > 0 and value.shape[2] * value.shape[3] > 1


def maps(model: nn.Module, image: Tensor) -> dict[str, tuple[int, int]]:
    """The layers that give a map, and its height and width, in the order of their last calls.

    What fails behind a layer does not matter; what torch.jit compiled gives its values to nobody.

    image: [1,C,H,W].
    """

    def find() -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}

        def look(name: str) -> Callable[..., None]:
            def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
                found.pop(name, None)
                if is_map(output, len(image)):
                    found[name] = (output.shape[2], output.shape[3])

            return hook

        with differentiating(model, gradients=False) as watching:
            names = {module: name for name, module in reversed(submodules(model).items())}
            for module, name in names.items():
                if not isinstance(module, torch.jit.ScriptModule):
                    watching.add(module, look(name))
            with suppress(Exception):  # an error of the model's own comes again
                run(model, image)
        return found

    return remembered(model, ("maps", tuple(image.shape), image.dtype, image.device.type), find)


def no_map(model: nn.Module, image: Tensor, layer: str, value: Any) -> ValueError:
    """The error for a layer without a map, with those that have one. value: what it gives instead."""
    names = list(maps(model, image))
    there = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "") if names else "none"
    return ValueError(
        f"layer: expected one that gives a map [N,K,h,w] of more than one place, got {spoken(value)} from {layer!r}; "
        f"those that do: {there}"
    )
