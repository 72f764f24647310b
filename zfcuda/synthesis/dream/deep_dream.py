"""DeepDream: a picture in which a layer sees more of what it sees in it already."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.autograd import module_of
from zfcuda.inputs import above, integer
from zfcuda.shown import pictures
from zfcuda.synthesis.animation import Animation
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.dream.tiles import Look, Tiling, tiled
from zfcuda.synthesis.objectives import Objective
from zfcuda.synthesis.optimise import Optimised, broken_off, optimise
from zfcuda.synthesis.parameterization import Pixels
from zfcuda.synthesis.parse import objective_of
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.scales import full_size, resized
from zfcuda.synthesis.steppers import Ascent
from zfcuda.synthesis.warn import warn
from zfcuda.synthesis.watched import watching

_MOST = 1 << 20  # pixels of a shift


def deep_dream(
    model: nn.Module,
    image: Any,
    layer: Objective | str,
    *,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 10,
    jitter: int = 32,
    seed: int = 0,
    rate: float = 1.5,
    tile: int = 512,
    limits: Any = None,
    animation: Any = None,
    progress: bool = False,
) -> Tensor:
    """A picture in which a layer sees more of what it sees in it already.

    The mean square of a layer is made larger; its gradient at the layer is the layer itself, so what is there is
    strengthened. This begins with the picture made small, an octave, and what was added to it is carried up to the next
    larger one, so that there are large forms and small ones. Each step looks at the picture shifted at random.

    A picture with a side longer than `tile` is looked at tile by tile, so that the memory needed does not grow with
    it. Tiles overlap by the receptive field of the layer where that is at most an eighth of a tile: the gradient is
    then that of the whole. Deeper layers see further; there the overlap is an eighth, and the shifts move the seams.

    Source: Mordvintsev, Olah & Tyka, "Inceptionism", Google Research Blog 2015, and the notebook published with it.

    Args:
        model: a network [N,C,H,W] -> anything; it is run as in eval, and left as it was.
        image: [C,H,W] or [1,C,H,W] of any size that the layer takes; or a picture (PIL, a path, an array uint8
            [H,W,C]), which is taken in its full size, in the colours of the model's preprocess.
        layer: the dotted name of a layer; or any objective, as :func:`zfcuda.maximize` takes it.
        octaves: how many sizes; those that are too small for the network are left out, with a warning.
        octave_scale: how much larger each is than the one before.
        steps: in each octave.
        jitter: the largest shift, in pixels.
        seed: of the shifts.
        rate: the mean change of a value in a step, in 255ths of the range of pixels.
        tile: the longest side that the network is shown at once, in pixels.
        limits: (low, high) of values, numbers or tensors [C]; None: what the model's preprocess makes of black and
            white pixels, else none, and `rate` is of the range of the image's own values.
        animation: a file .gif, .png (APNG) or .webp that shows how the picture comes to be; None: none. Where it cannot
            be written in the end there is a warning.
        progress: whether there is a bar.

    Returns:
        [1,C,H,W], of the image's size, dtype and device.

    Raises:
        TypeError, ValueError: naming the argument that is none of these, an unknown layer (the others are listed), or
            an image that the layer does not take.
    """
    made = dreamed(
        model,
        image,
        layer,
        octaves=octaves,
        octave_scale=octave_scale,
        steps=steps,
        jitter=jitter,
        seed=seed,
        rate=rate,
        tile=tile,
        limits=limits,
        animation=animation,
        progress=progress,
    )
    if made.unwritten:
        warn(made.unwritten)
    return pictures(
        made.images, f"Dream of {getattr(layer, 'text', layer)}", PixelRange.of(module_of(model), limits).picture
    )


@torch.inference_mode(False)
def dreamed(
    model: nn.Module,
    image: Any,
    layer: Objective | str,
    *,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 10,
    jitter: int = 32,
    seed: int = 0,
    rate: float = 1.5,
    tile: int = 512,
    limits: Any = None,
    animation: Any = None,
    progress: bool = False,
) -> Optimised:
    """The same with what the objective said, octave by octave, and why it ended; the arguments are deep_dream's."""
    octaves, steps, tile = integer("octaves", octaves, 1), integer("steps", steps, 1), integer("tile", tile, 1)
    jitter, seed = integer("jitter", jitter, 0), integer("seed", seed, 0)
    if jitter > _MOST:
        raise ValueError(f"jitter: expected at most {_MOST}, got {jitter}")
    octave_scale, rate = above("octave_scale", octave_scale, 1), above("rate", rate)
    inner = module_of(model)
    wanted = objective_of(layer, model)
    pixel_range = PixelRange.of(inner, limits)
    start, dtype = full_size(image, inner, pixel_range)
    pixel_range = pixel_range.to(start)
    change = float(pixel_range.span(start).mean()) * rate / 255
    if not change > 0:
        raise ValueError("image: expected more than one value, since its range is the scale of a step (or limits)")
    dice = Dice(seed, 1, start.device)
    with watching(model, wanted.layers, logits=wanted.logits) as watched:
        look = Look(watched, inner, wanted)
        sizes = _sizes(look, start, octaves, octave_scale, tile)
        film = None
        if animation is not None:
            film = Animation(animation, steps=steps * len(sizes), picture=lambda images: pixel_range.picture(images[0]))
        detail = torch.zeros_like(start)
        values: list[Tensor] = []
        made: Optimised | None = None
        for octave, size in enumerate(sizes):
            try:
                base = resized(start, size)
                tiling = Tiling.of(inner, list(watched.called.values()), wanted.logits, base, tile)
                made = optimise(
                    inner,
                    tiled(look, tiling, dice, jitter),
                    Pixels(base + resized(detail, size), pixel_range),
                    steps=steps,
                    stepper=Ascent(change),
                    after=None if film is None else partial(_shoot, film, steps * octave),
                    described=f"octave {octave + 1} of {len(sizes)}",
                    progress=progress,
                )
                detail = made.images - base
            except KeyboardInterrupt as stop:
                if made is None:
                    raise
                made = broken_off(made, stop, f"octave {octave + 1} of {len(sizes)}")
            values.append(made.values)
            if made.stopped:
                break
    assert made is not None, "there is one octave at least"
    whole = pixel_range.clamp(start + resized(detail, sizes[-1]))
    unwritten = "" if film is None else film.written(whole)
    return Optimised(whole.to(dtype), torch.cat(values), made.stopped, made.interrupted, unwritten=unwritten)


def _shoot(film: Animation, before: int, step: int, images: Tensor, said: Tensor) -> None:
    """Shows a film a step of an octave, so many steps after the first one began."""
    film(before + step, images)


def _sizes(look: Look, start: Tensor, octaves: int, scale: float, tile: int) -> list[tuple[int, int]]:
    """The sizes of octaves, smallest first, without those that the network cannot take.

    Raises:
        ValueError: it does not take the image itself.
    """
    high, wide = start.shape[2:]
    sizes = [(high, wide)]
    _try(look, start, (min(high, tile), min(wide, tile)))
    for octave in range(1, octaves):
        size = (round(high / scale**octave), round(wide / scale**octave))
        try:
            if min(size) < 1:
                raise ValueError("there is no pixel left")
            _try(look, start, (min(size[0], tile), min(size[1], tile)))
        except ValueError as error:
            warn(f"octaves: {octave} of {octaves}, since {size[0]} x {size[1]} pixels are too small: {error}")
            break
        sizes.insert(0, size)
    return sizes


def _try(look: Look, start: Tensor, size: tuple[int, int]) -> None:
    """Asks an objective once, of an image of that size."""
    with torch.no_grad():
        look(start[:, :, : size[0], : size[1]], 0)
