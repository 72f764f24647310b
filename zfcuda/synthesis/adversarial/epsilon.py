"""How far an adversary may go: in a network's input units, or in pixel values of 255."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.autograd import module_of
from zfcuda.inputs import number
from zfcuda.synthesis.pixel_range import PixelRange

USUAL = 4  # of 255, of norm "inf"


def pixel_values(model: nn.Module, count: float = 1.0, *, limits: Any = None) -> Tensor:
    """What so many of 255 pixel values are in a network's input units, which may differ from channel to channel.

    Args:
        model: a network with a preprocess.
        count: how many; 255 lie between black and white.
        limits: as :func:`zfcuda.adversarial` takes them.

    Returns:
        float32 [C] (or [1] for limits that are numbers), on the CPU; what `epsilon` takes.

    Raises:
        ValueError: nothing says what black and white are.

    Example:
        zfcuda.adversarial(model, image, epsilon=zfcuda.synthesis.pixel_values(model, 8))
    """
    unit = unit_of(PixelRange.of(module_of(model), limits))
    if unit is None:
        raise ValueError("limits: expected a pair (low, high), as the model has no .preprocess that tells them")
    return (unit.double() * number("count", count)).float().flatten().cpu()


def unit_of(pixel_range: PixelRange) -> Tensor | None:
    """One of 255 pixel values in input units, float32 [C or 1,1,1]; None where there are no limits.

    In float64, so that four of them are what is nearest to four.
    """
    if pixel_range.low is None or pixel_range.high is None:
        return None
    width = pixel_range.high.double() - pixel_range.low.double()
    return width.amin((1, 2), keepdim=True) / 255


def checked_epsilon(epsilon: Any, images: Tensor, pixel_range: PixelRange, norm: str) -> Tensor:
    """An epsilon for images [N,C,H,W] as float32 [C or 1,1,1], or float64.

    Args:
        epsilon: a number or a tensor [C], of input units; None: 4 of 255 pixel values in each number (norm "inf"), or
            as long as one of 255 in each number is (norm "2").

    Raises:
        TypeError, ValueError: it is no such thing, not above 0, or None where there are no limits.
    """
    if epsilon is None:
        unit = unit_of(pixel_range)
        if unit is None:
            raise ValueError(
                "epsilon: expected a number in the network's input units, as nothing says what 4 of 255 pixel values "
                "are: the model has no .preprocess, and limits are not given"
            )
        return (unit * (USUAL if norm == "inf" else root_of(images))).float().to(images.device)
    if isinstance(epsilon, str):
        raise TypeError(f"epsilon: expected a number, a tensor [C], 'smallest' or None, got {epsilon!r}")
    if not isinstance(epsilon, Tensor) or epsilon.ndim == 0:
        epsilon = torch.tensor([number("epsilon", epsilon)], dtype=torch.float64, device="cpu")
    channels = images.shape[1]
    if epsilon.numel() not in (1, channels) or epsilon.ndim != 1 or epsilon.is_complex():
        raise ValueError(
            f"epsilon: expected a number or one for each of {channels} channels, got {list(epsilon.shape)}"
        )
    if not bool((epsilon > 0).all()) or not bool(epsilon.isfinite().all()):
        numbers = epsilon.tolist()
        raise ValueError(f"epsilon: expected a number above 0, got {numbers[0] if len(numbers) == 1 else numbers}")
    return epsilon.detach().view(-1, 1, 1).to(images.device)


def root_of(images: Tensor) -> float:
    """The length of a vector of ones, one for each number of an image."""
    return math.sqrt(images[0].numel())
