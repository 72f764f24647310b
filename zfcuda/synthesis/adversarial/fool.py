"""Fooling images: any image, a class, and steps up its logit until the network answers it (CS231n, lecture 12)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from zfcuda.autograd import module_of
from zfcuda.inputs import checked_image, integer
from zfcuda.synthesis.adversarial.adversary import Adversarial, check_range, originals, unit_for
from zfcuda.synthesis.adversarial.attack import Goal, attack
from zfcuda.synthesis.adversarial.ball import Ball
from zfcuda.synthesis.adversarial.epsilon import root_of
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.example import example_of
from zfcuda.synthesis.pixel_range import PixelRange

_STEP = 0.25  # of 255 pixel values, the root mean square of a step


def fool(
    model: nn.Module,
    image: Any,
    target: int | str,
    *,
    steps: int = 100,
    limits: Any = None,
    seed: int = 0,
    rounded: bool = False,
    progress: bool = False,
) -> Adversarial:
    """Changes an image, little by little, until the network answers a class that a user chose.

    The four steps of the notes: start from any image; pick a class; go up along the gradient of its logit, a quarter of
    a pixel value in the root mean square; stop as soon as the network answers the class. Nothing bounds the change but
    the number of steps; :func:`zfcuda.adversarial` is for what stays within a bound.

    Args:
        model: a network [N,C,H,W] -> logits [N,K].
        image: [C,H,W] or [1,C,H,W] in the network's input units, or a picture where the model has a preprocess; None:
            grey noise, of the size that the model was made for.
        target: the class, by index or name.
        steps: how many at most.
        limits: as :func:`zfcuda.adversarial` takes them.
        seed: of the noise.
        rounded: as there.
        progress: whether there is a bar.

    Returns:
        An :class:`zfcuda.synthesis.Adversarial` without epsilon. Ctrl-C gives the image so far, with a warning.

    Raises:
        TypeError, ValueError: naming what does not fit: the image is outside the limits; the target is no class, or
            what the network says already.

    Source: CS231n, lecture 12.
    """
    return fooled(
        module_of(model), image, target, steps=steps, limits=limits, seed=seed, rounded=rounded, progress=progress
    )[0]


@torch.inference_mode(False)
def fooled(
    model: nn.Module,
    image: Any,
    target: int | str,
    *,
    steps: int,
    limits: Any,
    seed: int,
    rounded: bool,
    progress: bool,
) -> tuple[Adversarial, KeyboardInterrupt | None]:
    """The same with the Ctrl-C that ended it, for commands. model: unwrapped."""
    if target is None:
        raise TypeError("target: expected a class index or name, got None")
    steps, seed = integer("steps", steps, 1), integer("seed", seed, 0)
    pixel_range = PixelRange.of(model, limits)
    if image is None:
        example = example_of(model, name="image")
        noise = 0.5 + 0.1 * Dice(seed, 1, example.device).normal(*example.shape[1:]).clamp(-4, 4)
        image = pixel_range.to(example).of_unit(noise).to(example)
    start = checked_image(image, model)
    pixel_range = pixel_range.to(start)
    check_range(start, pixel_range, rounded)
    before = originals(model, start, target)
    made = attack(
        model,
        Ball(start, pixel_range, rounded=rounded),
        Goal(before.index, towards=True, how=before.how, ascends=True, first=True),
        length=unit_for(start, pixel_range) * (_STEP * root_of(start)),
        norm="2",
        steps=steps,
        described="steps",
        progress=progress,
    )
    return before.adversaries(made, None, pixel_range)[0], made.interrupted
