"""Inversion: an image that a layer answers to as it does to a given one, and what is left of that one in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda.autograd import derivative, leaf_of, module_of, no_gradient
from zfcuda.files.signals import held
from zfcuda.inputs import checked_image, checked_layer, integer, weight
from zfcuda.network.graph import submodules, wrapper_of
from zfcuda.shown import Display, Displayed, View
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.objectives import Objective, content, total_variation
from zfcuda.synthesis.optimise import Optimised, broken_off, optimise
from zfcuda.synthesis.parameterization import Fourier, Parameterization, Pixels
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.precision import wide
from zfcuda.synthesis.redirected import straight_through
from zfcuda.synthesis.steppers import LBFGS, Adam
from zfcuda.synthesis.warn import warn
from zfcuda.synthesis.watched import code_of, watching

_CONTRAST = 0.05  # of the noise that it begins with
_ENOUGH = 1e-10  # square of the relative error that ends it
_FAR = 0.5  # relative error beyond which an image is told to be none of the layer's
_LAST = 10  # one step in so many is on pixels
_PATIENCE = 40  # evaluations after which an image as far off as _LOST begins anew
_LOST = 0.5  # square of the relative error
_RATE = 0.03  # of Adam's, in them
_WOKEN = 0.75  # the share of the steps that are left which wake units


@dataclass(frozen=True)
class Inversion(Displayed):
    """An image made from the code of a layer.

    Attributes:
        image: [1,C,H,W], in the network's input units.
        error: |code - code0| / |code0|, where code is the layer's answer to the image and code0 its answer to the
            original; both as the model gives them, L2 norms.
        layer: which one.
        code, code0: these answers, [1,K,h,w] or [1,K].
        stopped: why it ended before its last step, in words; "" where it did not.
        interrupted: the Ctrl-C or signal that ended it, for who has to pass it on.
        drawn: makes a picture of an image [C,H,W]; None: what is drawn has its smallest value in black.
    """

    image: Tensor
    error: float
    layer: str
    code: Tensor
    code0: Tensor
    stopped: str = ""
    interrupted: KeyboardInterrupt | None = None
    drawn: Callable[[Tensor], Image.Image] | None = field(default=None, repr=False, compare=False)

    def display(self) -> Display:
        """The image, and how near its code came."""
        drawn = PixelRange().picture if self.drawn is None else self.drawn
        facts = [("layer", self.layer), ("error", f"{100 * self.error:.3g} % of the code")]
        facts += [("ended", self.stopped)] if self.stopped else []
        caption = f"what {self.layer} answers to as it does to the original"
        return Display("Inversion", facts, [View(drawn(self.image[0].detach().float().cpu()), caption)], 1)


@torch.inference_mode(False)
def invert(
    model: nn.Module,
    image: Any,
    layer: str,
    *,
    steps: int = 400,
    tv: float = 3.0,
    seed: int = 0,
    norm: float | None = None,
    limits: Any = None,
    progress: bool = False,
) -> Inversion:
    """An image that a layer answers to as it does to a given one: what differs from that one, the layer does not see.

    From noise, the squared relative error of the code is made smaller, together with two priors that choose among the
    images of one code: `tv` times the total variation, the mean of dx^2 + dy^2, and `norm` times the alpha norm, the
    mean 6th power of the distance from grey. For the first, pixels are from 0 to 1, for the second from -1 to 1. Nine
    tenths of the steps change the spectrum of the image in colours without correlation, the rest its pixels, by L-BFGS.

    A layer of which nearly all is 0 (EfficientNet-Lite0's last ReLU: 91 %) answers to noise with nothing that is to be
    found. Where L-BFGS gets nowhere, it begins anew by Adam, with gradients that pass through the layer's rectifier.

    Source: Mahendran & Vedaldi, "Understanding Deep Image Representations by Inverting Them", CVPR 2015
    (arXiv 1412.0035); the spectrum: Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017.

    Args:
        model: a network [N,C,H,W] -> anything; it is run as in eval, and left as it was.
        image: [C,H,W] or [1,C,H,W]; or a picture (PIL, a path, an array uint8 [H,W,C]), as the model's preprocess makes
            an image of it.
        layer: the dotted name of a layer, whose output is a map or a vector.
        steps: how many at most; it ends where the relative error is 1e-5.
        tv: the weight of total variation; 0: none.
        seed: of the noise.
        norm: the weight of the alpha norm; None: a hundredth of tv.
        limits: (low, high) of values, numbers or tensors [C]; None: what the model's preprocess makes of black and
            white pixels, else none, and priors are relative to the range of the image's own values.
        progress: whether there is a bar.

    Warns:
        UserWarning: the relative error is above a half.

    Raises:
        TypeError, ValueError: naming the argument that is none of these, an unknown layer (the others are listed), an
            image that the layer does not take, a layer that is zero for it.
    """
    steps, seed = integer("steps", steps, 1), integer("seed", seed, 0)
    tv = weight("tv", tv)
    norm = tv / 100 if norm is None else weight("norm", norm)
    inner = module_of(model)
    given = checked_image(image, inner)
    code0 = checked_code(model, given, layer)
    start = given.float()
    pixel_range = PixelRange.of(inner, limits).to(start)
    wanted = (1 / float(code0.square().mean())) * content(layer, code0)
    for share, prior in ((tv, total_variation(2)), (norm, _alpha_norm())):
        if share:
            wanted = wanted - share * _of_pixels(prior, pixel_range, start)
    module = submodules(inner)[checked_layer(layer, inner, wrapper_of(model))]
    made = _found(model, module, wanted, start, steps, seed, pixel_range, progress)
    found = pixel_range.clamp(made.images).to(given.dtype)  # a line search ends where it is, maybe just outside
    try:
        with held():  # without it there is no error to tell
            code = code_of(model, found, layer)
    except KeyboardInterrupt as stop:
        made = broken_off(made, stop, "the last look at the image")
    error = float((code - code0).norm() / code0.norm())
    if error > _FAR and not made.stopped:
        warn(
            f"layer: {layer!r} was not reached, its code is {error:.0%} off; more steps, a smaller tv or another seed "
            "may come nearer"
        )
    return Inversion(found, error, layer, code, code0, made.stopped, made.interrupted, pixel_range.picture)


def checked_code(model: nn.Module, image: Tensor, layer: str) -> Tensor:
    """The same as code_of, of a layer that can be inverted.

    Raises:
        ValueError: it does not depend on the image by gradients, or is zero or not finite for it; the layer does not
            take the image, or gives no map and no vector.
    """
    with watching(model, [layer]) as watched:
        leaf = leaf_of(image)
        found = watched(leaf).layers[layer]
        if derivative(found, torch.ones_like(found), leaf) is None:
            raise no_gradient(module_of(model), image, f"layer: {layer!r}")
    code = wide(found.detach().clone())
    size = float(code.square().mean())
    if not math.isfinite(size):
        raise ValueError(f"layer: {layer!r} is expected to be finite, got NaN or infinity")
    if size == 0:
        raise ValueError(f"layer: {layer!r} is zero for this image, as for many others: there is nothing to invert")
    return code


def _found(
    model: nn.Module,
    layer: nn.Module,
    wanted: Objective,
    start: Tensor,
    steps: int,
    seed: int,
    pixel_range: PixelRange,
    progress: bool,
) -> Optimised:
    """First by the spectrum, which finds what a photograph could be, then by pixels, which come nearer to the code.

    Where most units of the layer are 0 that should answer, no gradient says how to wake them: where it gets nowhere, it
    begins anew by steps of Adam whose gradients pass through the layer's rectifier.
    """
    of_pixels = steps // _LAST
    shape = (1, *start.shape[1:])

    def run(image: Parameterization, steps: int, described: str, **how: Any) -> Optimised:
        how = {"stepper": LBFGS(), "after": _is_enough, **how}
        return optimise(model, wanted, image, steps=steps, described=described, progress=progress, **how)

    def spectrum() -> Fourier:
        return Fourier(shape, Dice(seed, 1, start.device), pixel_range, _CONTRAST)

    made = run(spectrum(), steps - of_pixels, "spectrum", after=_is_enough_or_lost)
    left = steps - of_pixels - len(made.values)
    try:
        if left > 0 and not made.stopped and _is_lost(made.values[-1]):
            image, woken = spectrum(), math.ceil(_WOKEN * left)
            with straight_through(layer):
                made = run(image, woken, "waking units", stepper=Adam(_RATE))
            if not made.stopped and left > woken:
                made = run(image, left - woken, "spectrum")
        if made.stopped or not of_pixels or _is_enough(0, made.images, made.values[-1]):
            return made
        return run(Pixels(made.images, pixel_range), of_pixels, "pixels")
    except KeyboardInterrupt as stop:
        return broken_off(made, stop, "the steps behind the first ones")


def _is_lost(said: Tensor) -> bool:
    return bool((said < -_LOST).any())


def _is_enough_or_lost(step: int, images: Tensor, said: Tensor) -> bool:
    return _is_enough(step, images, said) or (step + 1 == _PATIENCE and _is_lost(said))


def _is_enough(step: int, images: Tensor, said: Tensor) -> bool:
    return bool((said > -_ENOUGH).all())


def _alpha_norm() -> Objective:
    """The mean 6th power of the distance of pixels of 0 to 1 from grey, which black and white have 1 of."""
    return Objective(lambda seen: (2 * seen.images - 1).pow(6).flatten(1).mean(1), text="alpha norm")


def _of_pixels(prior: Objective, pixel_range: PixelRange, original: Tensor) -> Objective:
    """A prior, asked about pixels of 0 to 1; without limits, those of the original are so."""
    if pixel_range.low is not None:
        pixels = pixel_range.unit
    else:
        low, span = original.amin(), pixel_range.span(original).clamp_min(1e-12)

        def pixels(images: Tensor) -> Tensor:
            return (images - low) / span

    return replace(prior, value=lambda seen: prior.value(replace(seen, images=pixels(seen.images.float()))))
