"""Whether an answer is that of the plain loop: in float32, or, where rounding alone parts them, in float64."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

import zfcuda
from benchmarks import opponents
from benchmarks.opponents import Scene
from zfcuda.occlusion.windows import grid


def scene(image: Tensor, window: int, stride: int) -> Scene:
    """The windows of a map of this image [1,3,H,W]."""
    origins = grid((image.shape[2], image.shape[3]), (window, window), (stride, stride))
    return Scene(image, window, stride, origins.flatten(0, 1))


def tolerance(expected: Tensor) -> float:
    """By how much a logit may be off from that of the float32 loop."""
    expected = expected.detach()
    return float(1e-4 * expected.std() + 1e-5 * expected.abs().max())


def off(logits: Tensor, expected: Tensor, allowed: float) -> float:
    """The worst logit's distance, of what is allowed."""
    return float((logits.flatten(0, 1) - expected).abs().max() / allowed)


def in_float64(network: nn.Module, image: Tensor, window: int) -> dict[str, float]:
    """How far float32's loop and the engine in float64 are from the loop in float64, of the tolerance; nine windows.

    A deep network of random weights multiplies what float32 rounds off.
    """
    few = scene(image, window, (image.shape[-1] - window) // 2)
    single = opponents.loop(network, few, 1)
    double = copy.deepcopy(network).double()
    exact = Scene(image.double(), few.window, few.stride, few.origins)
    allowed = tolerance(single)
    with torch.inference_mode():
        expected = opponents.loop(lambda x: double(x).double(), exact, 1)
    ours = zfcuda.occlusion_map(double, exact.image, window=window, stride=few.stride, method="incremental").logits
    return {"loop_float32": off(single[:, None], expected, allowed), "engine": off(ours, expected, allowed)}


def check(name: str, worst: float, network: nn.Module, image: Tensor, window: int) -> dict[str, Any]:
    """What a row says of how its answer was verified; worst: by how much it is off in float32, of the tolerance.

    Raises:
        RuntimeError: it is not the loop's, for another reason than rounding.
    """
    said: dict[str, Any] = {"deviation_over_tolerance": worst}
    if worst <= 1:
        return said
    said["in_float64"] = in_float64(network, image, window)
    rounded, exact = said["in_float64"]["loop_float32"], said["in_float64"]["engine"]
    if not (exact <= 1e-2 and rounded > 0.5 and worst <= 10 * rounded):  # NaN too
        raise RuntimeError(
            f"{name}: a logit is {worst:.3g} times the tolerance off, {exact:.2g} in float64, where float32's "
            f"own loop is {rounded:.2g} off"
        )
    return said
