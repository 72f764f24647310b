"""Local response normalisation: passed by, divided by its scale, or differentiated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda import ops
from zfcuda.backward.way import Arguments, UnsupportedError, WayBack, per_image, same
from zfcuda.network import kinds
from zfcuda.ops.lrn import local_response_norm_backward


def across_channels(arguments: Arguments, setting: str) -> tuple[Tensor, WayBack]:
    """Local response normalisation across channels; setting: Rules.lrn."""
    settings = dict(arguments)
    input = settings.pop("input")
    if input.ndim != 4:
        raise UnsupportedError(f"local response normalisation of {input.ndim} dimensions")
    return ops.local_response_norm(input, **settings), back_across_channels(input, settings, setting)


def back_across_channels(input: Tensor, settings: Mapping[str, Any], setting: str) -> WayBack:
    """Gives the way back through local_response_norm(input, **settings); setting: Rules.lrn."""
    if setting == "exact":

        def back(signal: Tensor) -> list[Tensor]:
            values = input.expand_as(signal).flatten(0, 1)
            return [per_image(signal, lambda s: local_response_norm_backward(s, values, **settings))]

        return back
    size = settings["size"]

    def neighbours(x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, size // 2, (size - 1) // 2)).unfold(1, size, 1).sum(-1) / size

    factors = settings["k"], settings["alpha"], settings["beta"]
    return _normalisation(setting, input, *factors, neighbours)


def within_channels(arguments: Arguments, setting: str) -> tuple[Tensor, WayBack]:
    """Local response normalisation within a channel; its window is symmetric. setting: Rules.lrn."""
    size = arguments["size"]

    def neighbours(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, size, 1, size // 2)

    output = kinds.lrn_within(**arguments)
    factors = 1.0, arguments["alpha"], arguments["beta"]
    return output, _normalisation(setting, arguments["input"], *factors, neighbours)


def _normalisation(
    setting: str,
    input: Tensor,
    k: float,
    alpha: float,
    beta: float,
    neighbours: Callable[[Tensor], Tensor],
) -> WayBack:
    """Gives the way back through x * scale ** -beta, where scale is k + alpha * neighbours(x * x).

    neighbours: the mean of each element's neighbours; for "exact" it is its own transpose. The derivative is written
    out rather than left to autograd, which inference mode forbids. Half precision is computed in float32.
    """
    if setting == "identity":
        return same
    wide = input if input.dtype == torch.float64 else input.float()
    scale = k + alpha * neighbours(wide * wide)
    if setting == "divide":
        divisor = (scale**beta).to(input.dtype)
        return lambda signal: [signal / divisor]
    direct = scale**-beta
    indirect = wide * direct / scale

    def back(signal: Tensor) -> list[Tensor]:
        through_scale = per_image(signal.to(wide.dtype) * indirect, neighbours)
        return [(signal * direct - 2 * alpha * beta * wide * through_scale).to(signal.dtype)]

    return back
