"""Textures from a network's layers: noise is changed until its Gram matrices are a sample's. Gatys et al. 2015."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import nn

from zfcuda.autograd import module_of
from zfcuda.inputs import integer
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.gram import grams, style
from zfcuda.synthesis.optimise import Optimised, broken_off, optimise
from zfcuda.synthesis.parameterization import Fourier
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.scales import full_size, level_count, resized, shrunk
from zfcuda.synthesis.steppers import LBFGS
from zfcuda.synthesis.style_choice import style_choice
from zfcuda.synthesis.texture.result import Textured
from zfcuda.synthesis.texture.shades import shades

_COARSEST = 48  # pixels of the short side of sample and picture, where a texture begins
_LEVELS = 4
_SHADES = 1e-3  # how much they weigh: no drift is left in gravel, and the loss falls as fast as without


@torch.inference_mode(False)
def gram_textured(
    sample: Image.Image,
    size: tuple[int, int],
    model: nn.Module,
    layers: Sequence[str] | None,
    seed: int,
    *,
    steps: int = 300,
    pixel_range: PixelRange | None = None,
    progress: bool = False,
) -> Textured:
    """A picture of any size with the Gram matrices of a sample.

    Source: Gatys, Ecker & Bethge, "Texture Synthesis Using Convolutional Neural Networks" (2015). L-BFGS changes the
    spectrum of the picture, in colours without correlation; it begins on a small scale, where large shapes come
    from, and goes on with what that gives, twice as large each time. Added to the loss is a thousandth of
    :func:`~zfcuda.synthesis.texture.shades.shades`, against patches that are darker than others.

    Args:
        sample: in mode "RGB".
        size: (width, height) in pixels, above 0; it need not be the sample's.
        model: a network [N,C,H,W] -> anything, with a preprocess; it is run as in eval up to the last of the layers,
            on images of the sample's and the picture's size.
        layers: names of layers that give maps; None: what
            :func:`zfcuda.synthesis.style_choice.style_choice` takes.
        seed: of the noise.
        steps: on each scale.
        pixel_range: of the model's images; None: what its preprocess says.
        progress: whether there is a bar.

    Raises:
        TypeError, ValueError: there is no such layer, or it gives no map; the model has no preprocess; steps is below
            1.
    """
    steps = integer("steps", steps, 1)
    inner = module_of(model)
    if isinstance(layers, str) or (layers is not None and not layers):
        raise TypeError(f"layers: expected names of layers, got {layers!r}")
    pixel_range = pixel_range or PixelRange.of(inner)
    if pixel_range.low is None:
        raise ValueError(f"model: {type(inner).__name__} has no .preprocess that says what its pixels are")
    whole, dtype = full_size(sample, inner, pixel_range, "sample")
    names = style_choice(inner, whole.to(dtype), "layers")[1] if layers is None else tuple(layers)
    sides, (wide, high) = (whole.shape[2], whole.shape[3]), size
    made: Optimised | None = None
    for level in reversed(range(level_count(min(*size, *sides), _COARSEST, _LEVELS))):
        here = shrunk((high, wide), level)
        described = f"{here[1]} x {here[0]}"
        try:
            smaller = resized(whole, shrunk(sides, level))
            wanted = style(grams(model, smaller.to(dtype), names))
            wanted = wanted + _SHADES * shades(smaller, pixel_range.unit, min(here))
            dice = Dice(seed, 1, whole.device)
            image = Fourier((1, whole.shape[1], *here), dice, pixel_range, contrast=0.01, exponent=0.75)
            if made is not None:
                image.start_at(pixel_range.clamp(resized(made.images, here)))
            stepper = LBFGS(history=20)
            made = optimise(model, wanted, image, steps=steps, stepper=stepper, described=described, progress=progress)
        except KeyboardInterrupt as stop:
            if made is None:
                raise
            made = broken_off(made, stop, described)
        if made.stopped:
            break
    assert made is not None
    is_whole = made.images.shape[2:] == (high, wide)
    picture = pixel_range.picture(pixel_range.clamp(resized(made.images, (high, wide)))[0])
    loss = tuple((-made.values[:, 0]).tolist()) if is_whole else ()
    return Textured(picture, made.stopped, made.interrupted, loss)
