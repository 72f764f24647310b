"""Style transfer: the shapes of one picture, drawn as another one is. Gatys, Ecker & Bethge, CVPR 2016."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.autograd import module_of
from zfcuda.inputs import integer, weight
from zfcuda.shown import pictures
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.gram import grams
from zfcuda.synthesis.gram import style as in_style_of
from zfcuda.synthesis.objectives import content as as_content_of
from zfcuda.synthesis.optimise import Optimised, broken_off, optimise
from zfcuda.synthesis.parameterization import Fourier
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.scales import full_size, level_count, resized, shrunk, with_short_side
from zfcuda.synthesis.steppers import LBFGS
from zfcuda.synthesis.style_choice import style_choice
from zfcuda.synthesis.watched import code_of

STYLE_WEIGHT = 25.0
STEPS = 100
_COARSEST = 96  # pixels of the short side, where it begins
_LEVELS = 3


def transfer_style(
    model: nn.Module,
    content: Any,
    style: Any,
    *,
    content_layer: str | None = None,
    style_layers: Sequence[str] | Mapping[str, float] | None = None,
    content_weight: float = 1.0,
    style_weight: float = STYLE_WEIGHT,
    style_size: int | None = None,
    limits: Any = None,
    steps: int = STEPS,
    progress: bool = False,
) -> Tensor:
    """An image with the content of one and the style of another.

    It begins as the content, on a small scale, where large strokes come from; the change goes on to the next scale,
    twice as large. L-BFGS changes the spectrum, in colours without correlation, until

        content_weight * |F - P|^2 / |P|^2  +  style_weight * mean over style layers of |G - A|^2 / |A|^2

    is small, where F is the content layer of the image and P that of the content, G the Gram matrices of the image and
    A those of the style. Both are shares: 0 is the same, 1 what an image has that no layer answers to. Nothing of it is
    random.

    Source: Gatys, Ecker & Bethge, "Image Style Transfer Using Convolutional Neural Networks" (CVPR 2016), equations 1
    to 7; the divisors are ours, so that weights mean the same for any network, layers and sizes.

    Args:
        model: a network [N,C,H,W] -> anything; it is run as in eval up to the last of the layers, on images of the
            content's and the style's size, whatever it was made for, and left as it was.
        content: an image [C,H,W] or [1,C,H,W] in the network's input units; or a PIL picture, a path or an array uint8
            [H,W,C], which is taken in its full size.
        style: the same; it may have another size.
        content_layer: the name of the layer that tells content. None: the last rectifier whose map has an eighth of the
            image's sides, or nearly.
        style_layers: names of layers that give maps, or how much each weighs. None: the first rectifier of each size of
            map, down to a sixteenth of the sides. On EfficientNet-Lite0 the last ones (`_blocks.1._relu0`, `3`, `5`,
            `11`) draw more strokes, but colours of less of the style, and noise.
        content_weight, style_weight: how much each matters; 0 for not at all. On EfficientNet-Lite0 a style weight of 3
            is a tint, 10 to 30 give the strokes and keep a face, with 300 it is gone; beyond 100 little changes.
        style_size: how long the short side of the style is made, in pixels: small for fine strokes, large for coarse
            ones. None: as the content's.
        limits: (low, high), each a number or [C], what pixels can be; None: what the model's preprocess makes of black
            and white, and no limit where it has none.
        steps: on each scale.
        progress: whether there is a bar.

    Returns:
        [1,C,H,W] float32, of the content's size. Ctrl-C gives the image so far, with a warning.

    Raises:
        TypeError, ValueError: naming the argument: an image does not fit the model, a layer is none of it (those that
            there are follow), a style layer gives vectors and no maps, a weight is negative, a size or steps below 1.
    """
    made = transferred(
        model,
        content,
        style,
        content_layer=content_layer,
        style_layers=style_layers,
        content_weight=content_weight,
        style_weight=style_weight,
        style_size=style_size,
        limits=limits,
        steps=steps,
        progress=progress,
    )
    return pictures(made.images, "In another style", PixelRange.of(module_of(model), limits).picture)


@torch.inference_mode(False)
def transferred(
    model: nn.Module,
    content: Any,
    style: Any,
    *,
    content_layer: str | None = None,
    style_layers: Sequence[str] | Mapping[str, float] | None = None,
    content_weight: float = 1.0,
    style_weight: float = STYLE_WEIGHT,
    style_size: int | None = None,
    limits: Any = None,
    steps: int = STEPS,
    progress: bool = False,
) -> Optimised:
    """The same with the loss, as what was made larger: minus the sum above; and why it ended."""
    inner = module_of(model)
    of_content, of_style = weight("content_weight", content_weight), weight("style_weight", style_weight)
    steps = integer("steps", steps, 1)
    pixel_range = PixelRange.of(inner, limits)
    whole, dtype = full_size(content, inner, pixel_range, "content")
    sample, _ = full_size(style, inner, pixel_range, "style")
    pixel_range = pixel_range.to(whole)
    if whole.shape[1] != sample.shape[1]:
        raise ValueError(f"style: expected {whole.shape[1]} channels, as content has, got {sample.shape[1]}")
    short = min(whole.shape[2:]) if style_size is None else integer("style_size", style_size, 1)
    sample = resized(sample, with_short_side(_size(sample), short, "style"))
    if content_layer is None or style_layers is None:
        chosen, others = style_choice(inner, whole.to(dtype))
        content_layer = chosen if content_layer is None else content_layer
        style_layers = others if style_layers is None else style_layers
    if isinstance(style_layers, str) or not style_layers:
        raise TypeError(f"style_layers: expected names of layers, got {style_layers!r}")
    weights = dict(style_layers) if isinstance(style_layers, Mapping) else None
    change: Tensor | None = None
    made: Optimised | None = None
    short = min(*whole.shape[2:], *sample.shape[2:])
    for level in reversed(range(level_count(short, _COARSEST, _LEVELS))):
        size = shrunk(_size(whole), level)
        described = f"{size[1]} x {size[0]}"
        try:
            here, of_style_here = (resized(each, shrunk(_size(each), level)).to(dtype) for each in (whole, sample))
            code = code_of(model, here, content_layer)
            scale = float(code.square().mean()) or 1.0
            wanted = in_style_of(grams(model, of_style_here, tuple(style_layers)), weights) * of_style
            wanted = wanted + as_content_of(content_layer, code) * (of_content / scale)
            base = pixel_range.clamp(here.float())
            image = Fourier(tuple(base.shape), Dice(0, 1, base.device), pixel_range, contrast=0.0, exponent=0.5)
            image.start_at(base if change is None else pixel_range.clamp(base + resized(change, size)))
            stepper = LBFGS(history=20)
            made = optimise(model, wanted, image, steps=steps, stepper=stepper, described=described, progress=progress)
            change = made.images - base
        except KeyboardInterrupt as stop:
            if made is None or change is None:
                raise
            made = broken_off(made, stop, described)
        if made.stopped:
            break
    assert made is not None and change is not None
    if made.images.shape != whole.shape:
        made = replace(made, images=pixel_range.clamp(whole + resized(change, _size(whole))))
    return made


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]
