"""Adversaries: the same image to people, and another class to the network (Goodfellow 2014, Madry 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.autograd import module_of
from zfcuda.batches import BatchTarget, check_count, checked_images, part_of
from zfcuda.inputs import checked_image, integer
from zfcuda.network.example import image_dtypes
from zfcuda.synthesis.adversarial.adversary import Adversarial, check_range, originals, unit_for
from zfcuda.synthesis.adversarial.attack import Attacked, Goal, attack
from zfcuda.synthesis.adversarial.ball import NORMS, Ball, noise_of
from zfcuda.synthesis.adversarial.bisection import smallest
from zfcuda.synthesis.adversarial.epsilon import checked_epsilon, root_of
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.interrupted import kept
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.watched import watching

METHODS = ("fgsm", "pgd")
_TOGETHER = 32  # images of one batch


def adversarial(
    model: nn.Module,
    image: Any,
    *,
    target: int | str | None = None,
    method: str = "pgd",
    norm: str = "inf",
    epsilon: float | Tensor | str | None = None,
    steps: int = 10,
    limits: Any = None,
    seed: int = 0,
    rounded: bool = False,
    progress: bool = False,
) -> Adversarial:
    """Changes an image by no more than epsilon so that the network answers something else.

    What it climbs are the odds of the answer, whose level sets and directions are those of the cross entropy. "fgsm"
    goes all the way in one step; "pgd" begins at random in the ball, makes steps of 2.5 epsilon / steps, returns to
    ball and range after each, and gives the image of the largest margin that it met.

    Args:
        model: a network [N,C,H,W] -> logits [N,K].
        image: [C,H,W] or [1,C,H,W] in the network's input units, or a picture where the model has a preprocess.
        target: the class, by index or name, that it shall answer; None: any but what it says now.
        method: "fgsm" (Goodfellow et al. 2014, section 4) or "pgd" (Madry et al. 2017, section 2.1).
        norm: "inf": each number changes by no more than epsilon; "2": all of them together, as the root of the sum of
            squares.
        epsilon: a number in the network's input units, or one for each channel [C]: a deviation that differs from
            channel to channel makes pixel values differ, and :func:`zfcuda.synthesis.pixel_values` gives what N of 255
            are. Of norm "2" the sum is then of squares of change / epsilon, and 1 the largest. None: 4 of 255 pixel
            values; of norm "2" the root of C x H x W of one. "smallest": the smallest with which it succeeds, by
            bisection to 3 % (rounded, of norm "inf": to a whole number of pixel values).
        steps: of "pgd".
        limits: (low, high), each a number or a tensor [C]: what pixels may be; None: what the model's preprocess makes
            of black and white, and no limit where it has none.
        seed: what the random start begins with.
        rounded: whether the image has values that 8 bits have, so that a PNG of it is it (a zfcuda.Preprocess gives the
            bytes: `model.preprocess.restored(made.image)`). The network is shown rounded values from the first step on.
        progress: whether there is a bar.

    Returns:
        An :class:`zfcuda.synthesis.Adversarial`. It lies in the ball to the last bit: |image - original| <= epsilon as
        float32 computes it (16-bit images as 16 bits do), and within the limits.

    Raises:
        TypeError, ValueError: naming what does not fit: there are several images (those go to
            :func:`zfcuda.synthesis.adversaries`); the image is outside the limits; epsilon is not above 0, or None
            where there are no limits; the target is no class, or what the network says already.
    """
    inner = module_of(model)
    if (isinstance(image, Tensor) and image.ndim == 4 and len(image) != 1) or isinstance(image, list | tuple):
        raise ValueError(
            f"image: expected [C,H,W] or [1,C,H,W], or one picture, got {len(image)} of them; "
            "zfcuda.synthesis.adversaries takes many at once"
        )
    return attacked(
        inner,
        checked_image(image, inner),
        target=target,
        method=method,
        norm=norm,
        epsilon=epsilon,
        steps=steps,
        limits=limits,
        seed=seed,
        rounded=rounded,
        progress=progress,
    )[0][0]


def adversaries(
    model: nn.Module,
    images: Any,
    *,
    target: BatchTarget = None,
    method: str = "pgd",
    norm: str = "inf",
    epsilon: float | Tensor | str | None = None,
    steps: int = 10,
    limits: Any = None,
    seed: int = 0,
    rounded: bool = False,
    progress: bool = False,
) -> list[Adversarial]:
    """The same for many images: image i gets what :func:`zfcuda.adversarial` gives with seed + i.

    They run 32 at a time; one at a time where it is not proven that the model keeps the images of a batch apart.

    Args:
        model, method, norm, epsilon, steps, limits, seed, rounded, progress: as adversarial takes them.
        images: [N,C,H,W], or a list of images or pictures that become images of one size.
        target: one for all, or one for each.

    Returns:
        One for each image; after Ctrl-C those that were done, with a warning.

    Raises:
        TypeError, ValueError: as there.
    """
    return attacked(
        module_of(model),
        images,
        target=target,
        method=method,
        norm=norm,
        epsilon=epsilon,
        steps=steps,
        limits=limits,
        seed=seed,
        rounded=rounded,
        progress=progress,
    )[0]


@dataclass(frozen=True)
class _Way:
    """How images are attacked, checked."""

    method: str
    norm: str
    epsilon: Tensor | None  # [C or 1,1,1]; None: the smallest
    steps: int
    pixel_range: PixelRange
    seed: int
    rounded: bool


@torch.inference_mode(False)
def attacked(
    model: nn.Module,
    images: Any,
    *,
    target: BatchTarget,
    method: str,
    norm: str,
    epsilon: float | Tensor | str | None,
    steps: int,
    limits: Any,
    seed: int,
    rounded: bool,
    progress: bool,
) -> tuple[list[Adversarial], KeyboardInterrupt | None]:
    """The same with the Ctrl-C that ended it, for commands. model: unwrapped."""
    if method not in METHODS:
        raise ValueError(f"method: expected 'fgsm' or 'pgd', got {method!r}")
    if norm not in NORMS:
        raise ValueError(f"norm: expected 'inf' or '2', got {norm!r}")
    steps, seed = integer("steps", steps, 1), integer("seed", seed, 0)
    found = checked_images(images, model)
    if not len(found):
        return [], None
    pixel_range = PixelRange.of(model, limits).to(found)
    of_each = None if epsilon == "smallest" else checked_epsilon(epsilon, found, pixel_range, norm)
    check_range(found, pixel_range, rounded)
    check_count(target, len(found))
    way = _Way(method, norm, of_each, steps, pixel_range, seed, rounded)
    done: list[Adversarial] = []
    with watching(model, (), logits=True) as watched:
        coupled = len(found) > 1 and watched.coupling(found[:1].to(image_dtypes(model)[0])) is not None
    together = 1 if coupled else _TOGETHER
    many = range(0, len(found), together)
    for first in tqdm(many, desc="batches", disable=not progress or len(many) == 1, leave=False):
        part = slice(first, first + together)
        try:
            some, interrupted = _some(model, found[part], part_of(target, part), way, first, progress)
        except KeyboardInterrupt as stop:
            if not done:
                raise
            return done, kept(stop, f"stopped behind image {len(done)} of {len(found)}: those so far")
        done += some
        if interrupted is not None:
            return done, interrupted
    return done, None


def _some(
    model: nn.Module, images: Tensor, target: BatchTarget, way: _Way, first: int, progress: bool
) -> tuple[list[Adversarial], KeyboardInterrupt | None]:
    """Attacks a batch, whose first image has the number `first`."""
    before = originals(model, images, target)
    one_step = way.method == "fgsm"
    steps = 1 if one_step else way.steps
    noise = None
    if not one_step:
        noise = noise_of(Dice(way.seed + first, len(images), images.device), images.shape[1:], way.norm)

    def tried(which: Tensor, epsilon: Tensor, until: bool) -> Attacked:
        """Attacks some of them, each with its epsilon [n,C or 1,1,1]; until: until all have succeeded, no longer."""
        ball = Ball(
            images[which],
            way.pixel_range,
            epsilon=epsilon,
            norm=way.norm,
            noise=None if noise is None else noise[which],
            rounded=way.rounded,
        )
        goal = Goal(before.index[which], towards=before.towards, how=before.how, first=until)
        length = epsilon if one_step else epsilon * (2.5 / steps)
        return attack(
            model, ball, goal, length=length, norm=way.norm, steps=steps, described=way.method, progress=progress
        )

    everyone = torch.arange(len(images), device=images.device)
    if way.epsilon is None:
        unit = unit_for(images, way.pixel_range) * (1 if way.norm == "inf" else root_of(images))
        whole = way.rounded and way.norm == "inf"
        made, epsilon = smallest(tried, unit.expand(len(images), -1, -1, -1), whole=whole)
    else:
        epsilon = way.epsilon.expand(len(images), *way.epsilon.shape)
        made = tried(everyone, epsilon, False)
    return before.adversaries(made, epsilon, way.pixel_range), made.interrupted
