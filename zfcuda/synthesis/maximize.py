"""Maximisation: an image that a unit, a layer or a class answers to most."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.autograd import module_of
from zfcuda.data.preprocessing import made_for
from zfcuda.network.example import example_image
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.objectives import Objective
from zfcuda.synthesis.optimise import Optimised, optimise
from zfcuda.synthesis.parameterization import Fourier, Parameterization, Pixels
from zfcuda.synthesis.parse import objective_of
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.steppers import Adam
from zfcuda.synthesis.transforms import Affine


def maximize(
    model: nn.Module,
    objective: Objective | str | int,
    *,
    size: int | tuple[int, int] | None = None,
    count: int = 1,
    steps: int = 256,
    parameterization: str = "fourier",
    limits: Any = None,
    seed: int = 0,
    progress: bool = False,
) -> Tensor:
    """Images that an objective says most of; see the module."""
    return maximized(
        model,
        objective,
        size=size,
        count=count,
        steps=steps,
        parameterization=parameterization,
        limits=limits,
        seed=seed,
        progress=progress,
    ).images


@torch.inference_mode(False)
def maximized(
    model: nn.Module,
    objective: Objective | str | int,
    *,
    size: int | tuple[int, int] | None = None,
    count: int = 1,
    steps: int = 256,
    parameterization: str = "fourier",
    limits: Any = None,
    seed: int = 0,
    progress: bool = False,
) -> Optimised:
    """The same with what the objective said, for commands."""
    inner = module_of(model)
    wanted = objective_of(objective, inner)
    made = made_for(inner) or (3, 224, 224)
    high, wide = made[1:] if size is None else (size, size) if isinstance(size, int) else size
    device = example_image(inner, (made[0], high, wide)).device
    pixel_range = PixelRange.of(inner, limits)
    dice = Dice(seed, count, device)
    shape = (count, made[0], high, wide)
    image: Parameterization
    if parameterization == "fourier":
        image = Fourier(shape, dice, pixel_range, contrast=0.01)
    elif parameterization == "pixels":
        image = Pixels(pixel_range.of_unit(0.5 + 0.02 * dice.normal(*shape[1:])), pixel_range)
    else:
        raise ValueError(f"parameterization: expected 'fourier' or 'pixels', got {parameterization!r}")
    side = min(high, wide)
    views = [Affine(jitter=side / 14, scale=0.1, degrees=5)]
    return optimise(
        inner, wanted, image, steps=steps, stepper=Adam(0.05), transforms=views, dice=dice, progress=progress
    )
