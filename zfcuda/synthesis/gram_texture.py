"""Textures from a network's layers: noise is changed until its Gram matrices are a sample's. Gatys et al. 2015."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from zfcuda.autograd import module_of
from zfcuda.inputs import integer
from zfcuda.network.example import image_dtypes
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.gram import grams, style
from zfcuda.synthesis.optimise import Optimised, broken_off, optimise
from zfcuda.synthesis.parameterization import Fourier
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.steppers import LBFGS
from zfcuda.synthesis.style_choice import style_choice

_COARSEST = 48  # pixels of the short side of sample and picture, where a texture begins
_LEVELS = 4


@dataclass(frozen=True)
class GramTexture:
    """What came of it.

    Attributes:
        picture: as large as it was to be.
        loss: before each evaluation at the full size, from 1 for an image that no layer answers to down to 0; empty
            where it ended before.
        stopped: why it ended early, in words; "" where it did not.
        interrupted: the Ctrl-C or signal that ended it, for who has to pass it on.
    """

    picture: Image.Image
    loss: tuple[float, ...]
    stopped: str = ""
    interrupted: KeyboardInterrupt | None = None


def gram_texture(
    sample: Image.Image,
    size: tuple[int, int],
    model: nn.Module,
    layers: Sequence[str] | None,
    seed: int,
    *,
    steps: int = 300,
    progress: bool = False,
) -> Image.Image:
    """A picture of any size with the Gram matrices of a sample.

    Source: Gatys, Ecker & Bethge, "Texture Synthesis Using Convolutional Neural Networks" (2015). L-BFGS changes the
    spectrum of the picture, in colours without correlation; it begins on a small scale, where large shapes come
    from, and goes on with what that gives, twice as large each time.

    Args:
        sample: in mode "RGB".
        size: (width, height) in pixels; it need not be the sample's.
        model: a network [N,C,H,W] -> anything, with a preprocess; it is run as in eval up to the last of the layers,
            on images of the sample's and the picture's size.
        layers: names of layers that give maps; None: what
            :func:`zfcuda.synthesis.style_choice.style_choice` takes.
        seed: of the noise.
        steps: on each scale.
        progress: whether there is a bar.

    Returns:
        A picture in mode "RGB", or "L" for a network that sees grey. Ctrl-C gives it as far as it is, with a warning.

    Raises:
        TypeError, ValueError: there is no such layer, or it gives no map; size is not two positive integers; the model
            has no preprocess.
    """
    return gram_textured(sample, size, model, layers, seed, steps=steps, progress=progress).picture


@torch.inference_mode(False)
def gram_textured(
    sample: Image.Image,
    size: tuple[int, int],
    model: nn.Module,
    layers: Sequence[str] | None,
    seed: int,
    *,
    steps: int = 300,
    progress: bool = False,
) -> GramTexture:
    """The same with the loss and why it ended."""
    inner = module_of(model)
    wide, high = (integer("size", side) for side in size)
    if min(wide, high) < 1:
        raise ValueError(f"size: expected (width, height), two positive integers, got {size!r}")
    if integer("steps", steps) < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    if isinstance(layers, str) or (layers is not None and not layers):
        raise TypeError(f"layers: expected names of layers, got {layers!r}")
    pixel_range = PixelRange.of(inner)
    if pixel_range.low is None:
        raise ValueError(f"model: {type(inner).__name__} has no .preprocess that says what its pixels are")
    weight = next(inner.parameters(), torch.empty(0))
    whole = pixel_range.image(sample).to(weight.device)
    dtype = image_dtypes(inner)[0]
    names = style_choice(inner, whole.to(dtype))[1] if layers is None else tuple(layers)
    levels = min(_LEVELS, 1 + int(math.log2(max(1.0, min(wide, high, *whole.shape[2:]) / _COARSEST))))
    made: Optimised | None = None
    for level in reversed(range(levels)):
        here = (math.ceil(high / 2**level), math.ceil(wide / 2**level))
        described = f"{here[1]} x {here[0]}"
        try:
            of_sample = scaled(whole, (math.ceil(whole.shape[2] / 2**level), math.ceil(whole.shape[3] / 2**level)))
            wanted = style(grams(inner, of_sample.to(dtype), names))
            dice = Dice(seed, 1, weight.device)
            image = Fourier((1, whole.shape[1], *here), dice, pixel_range, contrast=0.01, exponent=0.75)
            if made is not None:
                image.start_at(pixel_range.clamp(scaled(made.images, here)))
            stepper = LBFGS(history=20)
            made = optimise(inner, wanted, image, steps=steps, stepper=stepper, described=described, progress=progress)
        except KeyboardInterrupt as stop:
            if made is None:
                raise
            made = broken_off(made, stop, described)
        if made.stopped:
            break
    assert made is not None
    is_whole = made.images.shape[2:] == (high, wide)
    picture = pixel_range.picture(pixel_range.clamp(scaled(made.images, (high, wide)))[0])
    loss = tuple((-made.values[:, 0]).tolist()) if is_whole else ()
    return GramTexture(picture, loss, made.stopped, made.interrupted)


def scaled(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images [N,C,H,W] in another size (high, wide); the same, where it is theirs."""
    if images.shape[2:] == size:
        return images
    return F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False)
