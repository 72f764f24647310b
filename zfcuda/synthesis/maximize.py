"""Maximisation: an image that a unit, a layer or a class answers to most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda import render
from zfcuda.autograd import module_of
from zfcuda.inputs import integer
from zfcuda.shown import pictures
from zfcuda.synthesis.animation import Animation
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.example import example_of
from zfcuda.synthesis.objectives import Objective
from zfcuda.synthesis.optimise import Optimised, optimise
from zfcuda.synthesis.parameterization import Fourier, Parameterization, Pixels
from zfcuda.synthesis.parse import objective_of
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.priors import Regularizers
from zfcuda.synthesis.steppers import Adam, Stepper
from zfcuda.synthesis.transforms import Affine
from zfcuda.synthesis.warn import warn


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
    animation: Any = None,
) -> Tensor:
    """Images that an objective says most of: what a unit, a layer or a class wants to see.

    All images are made in one batch; image i is what seed + i gives alone. Random shifts, turns of a few degrees
    and scales of 0.8 to 1.6 come before the model in each step, so that the image does not depend on the place of
    single pixels. A unit that is 0 where the image starts, behind a ReLU, is woken by gradients that pass through
    rectifiers; one that nothing excites is warned of. Ctrl-C gives the images so far, with a warning.

    Args:
        model: a network [N,C,H,W] -> anything, of any dtype; it runs as in eval mode, and is left as it was.
        objective: "conv4:12" (a unit: the mean of its map), "conv4:12@5,7" (a unit at the place y, x of its map),
            "conv4" (a whole layer, DeepDream's objective), "243" or 243 or the name of a class (its logit), or what
            :mod:`zfcuda.synthesis` composes, such as ``unit("conv4", 12) - 0.1 * unit("conv4", 7)``.
        size: of the images, in pixels: a side or (height, width); None: what the model was made for.
        count: how many images. Many run so many at a time as memory holds.
        steps: how many; the time is in proportion.
        parameterization: "fourier", the images' spectra in decorrelated colours (Olah et al. 2017), or "pixels", with
            the blur and the decay of Yosinski et al. 2015.
        limits: (low, high), numbers or tensors [C], of pixels in the network's input units; None: what the model's
            preprocess makes of 0 and 255, and no limit where it has none.
        seed: of the start and of the shifts.
        progress: whether a bar is shown.
        animation: a file .gif, .png (APNG) or .webp that shows how the images come to be; None: none. Where it cannot
            be written in the end there is a warning.

    Returns:
        float32 [count,C,H,W] on the model's device, in the network's input units.

    Raises:
        TypeError, ValueError: naming the argument that is wrong: there is no such layer, unit, place or class (those
            that there are follow), a string that is no objective (with the place in it), a count or steps below 1, a
            size that the model does not take. All of this is before the first step.

    Source: Simonyan, Vedaldi & Zisserman 2013, section 2; Yosinski et al. 2015; Olah, Mordvintsev & Schubert 2017.

    Example:
        image = zfcuda.maximize(model, "conv4:12")
        nine = zfcuda.maximize(model, "star", count=9, steps=512)
    """
    made = maximized(
        model,
        objective,
        size=size,
        count=count,
        steps=steps,
        parameterization=parameterization,
        limits=limits,
        seed=seed,
        progress=progress,
        animation=animation,
    )
    if made.unwritten:
        warn(made.unwritten)
    return pictures(
        made.images,
        f"What {getattr(objective, 'text', objective)} wants to see",
        PixelRange.of(module_of(model), limits).picture,
    )


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
    animation: Any = None,
    pixel_range: PixelRange | None = None,
    described: str = "maximize",
) -> Optimised:
    """The same with what the objective says of the images, and why the run ended; for commands.

    Args:
        pixel_range: of the model's images; None: as limits and the model's own preprocess have it.
        described: what the bar says.
    """
    inner = module_of(model)
    wanted = objective_of(objective, model)
    count, steps, seed = integer("count", count, 1), integer("steps", steps, 1), integer("seed", seed, 0)
    kind = _KINDS.get(parameterization)
    if kind is None:
        raise ValueError(f"parameterization: expected {' or '.join(map(repr, _KINDS))}, got {parameterization!r}")
    whole = PixelRange.of(inner, limits) if pixel_range is None else pixel_range
    film = None
    if animation is not None:
        film = Animation(animation, steps=steps, picture=lambda images: sheet(images, whole))
    example = example_of(inner, size)
    within = whole.to(example)
    dice = Dice(seed, count, example.device)
    side = min(example.shape[2:])
    made = optimise(
        model,
        wanted,
        kind.start((count, *example.shape[1:]), dice, within),
        steps=steps,
        stepper=kind.stepper(within),
        transforms=[Affine(jitter=side / 14, zoom=(0.8, 1.6), degrees=10)],
        dice=dice,
        after=film,
        described=described,
        progress=progress,
        awaken=True,
        in_parts=True,
        reached=True,
    )
    return made if film is None else replace(made, unwritten=film.written(made.images))


def sheet(images: Tensor, pixel_range: PixelRange) -> Image.Image:
    """Images [N,C,H,W] as pictures in a square."""
    return render.grid([pixel_range.picture(image) for image in images], round(len(images) ** 0.5))


@dataclass(frozen=True)
class _Kind:
    """What goes with a parameterization.

    Attributes:
        start: (shape, dice, range) -> images of noise.
        stepper: range -> how they change.
    """

    start: Callable[[tuple[int, ...], Dice, PixelRange], Parameterization]
    stepper: Callable[[PixelRange], Stepper]


def _spectrum(shape: tuple[int, ...], dice: Dice, pixel_range: PixelRange) -> Parameterization:
    return Fourier(shape, dice, pixel_range, contrast=0.01, exponent=1.5, gain=2.0)


def _pixels(shape: tuple[int, ...], dice: Dice, pixel_range: PixelRange) -> Parameterization:
    noise = 0.05 * dice.normal(*shape[1:])
    start = noise if pixel_range.low is None else pixel_range.of_unit(0.5 + noise)
    return Pixels(start, pixel_range, Regularizers(decay=0.002, blur=1.0, blur_every=4))


def _width(pixel_range: PixelRange) -> float:
    """How far black and white are apart; where there is no limit, about as far as they are for most networks."""
    if pixel_range.low is None or pixel_range.high is None:
        return 4.0
    return float((pixel_range.high - pixel_range.low).mean())


_KINDS = {
    "fourier": _Kind(_spectrum, lambda _: Adam(0.05)),
    "pixels": _Kind(_pixels, lambda pixel_range: Adam(0.03 * _width(pixel_range))),
}
