"""What an adversary is, and what all ways to one ask of their caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda import render
from zfcuda.batches import BatchTarget, class_targets
from zfcuda.class_names import class_names
from zfcuda.inputs import probabilities
from zfcuda.shown import Display, Displayed, View
from zfcuda.synthesis.adversarial.attack import Attacked, how_of, scores_without_gradients
from zfcuda.synthesis.adversarial.ball import limits_for
from zfcuda.synthesis.adversarial.epsilon import unit_of
from zfcuda.synthesis.pixel_range import PixelRange

_OUTSIDE = 1e-4  # of the range, that another way to the same pixels may cost


@dataclass(frozen=True)
class Adversarial(Displayed):
    """An image that was changed until a network answers something else, or as far as was allowed.

    Attributes:
        image: [1,C,H,W], of the dtype and on the device of the image that it was made of.
        change: image - the original, of the same shape.
        label: what the network says now, a class index.
        probability: of it, 0 to 1.
        steps: how many steps led to it.
        succeeded: whether the network says what it shall: the target, or without one anything but `original_label`.
        original_label, original_probability: what it says of the original.
        epsilon: [C] or [1], how far from the original it may be, in input units; None for :func:`zfcuda.fool`.
        classes: the names of the classes, where the model has them.
        drawn: makes a picture of an image [C,H,W]; None: what is drawn has its smallest value in black.
    """

    image: Tensor
    change: Tensor
    label: int
    probability: float
    steps: int
    succeeded: bool
    original_label: int
    original_probability: float
    epsilon: Tensor | None = None
    classes: Sequence[str] | None = field(default=None, repr=False, compare=False)
    drawn: Callable[[Tensor], Image.Image] | None = field(default=None, repr=False, compare=False)

    def display(self) -> Display:
        """Before, after, and the change between, made large."""
        changed, difference = (each[0].detach().float().cpu() for each in (self.image, self.change))
        drawn = PixelRange().picture if self.drawn is None else self.drawn
        before, now = (self._said(*each) for each in self._answers())
        largest, mean = float(difference.abs().max()), float(difference.abs().mean())
        change = View(render.projection(difference), "the change, as large as it can be seen")
        facts = [
            ("original", before),
            ("changed", now),
            ("succeeded", f"{'yes' if self.succeeded else 'no'}, after {self.steps} steps"),
            ("change", f"{mean:.3g} in the mean, {largest:.3g} at most, in the network's units"),
        ]
        views = [View(drawn(changed - difference), before), View(drawn(changed), now), change]
        return Display("Adversarial", facts, views, len(views))

    def _answers(self) -> tuple[tuple[int, float], tuple[int, float]]:
        return (self.original_label, self.original_probability), (self.label, self.probability)

    def _said(self, label: int, probability: float) -> str:
        return f"{_named(self.classes, label)}: {100 * probability:.3g} %"


@dataclass(frozen=True)
class Originals:
    """Images as they were before, and what a network says of them.

    Attributes:
        images: [N,C,H,W].
        logits: [N,K].
        how: how these become probabilities.
        index: int64 [N], the class that each shall be answered with, or no longer.
        towards: which of the two.
    """

    images: Tensor
    logits: Tensor
    how: str
    index: Tensor
    towards: bool
    classes: Sequence[str] | None = None

    def adversaries(self, made: Attacked, epsilon: Tensor | None, pixel_range: PixelRange) -> list[Adversarial]:
        """What came of each. epsilon: [N,C or 1,1,1]. pixel_range: of the images."""
        before, now = probabilities(self.logits, self.how).max(1), made.probabilities.max(1)
        return [
            Adversarial(
                classes=self.classes,
                drawn=pixel_range.picture,
                image=made.images[i : i + 1],
                change=made.images[i : i + 1] - self.images[i : i + 1],
                label=int(now.indices[i]),
                probability=float(now.values[i]),
                steps=int(made.steps[i]),
                succeeded=bool(made.succeeded[i]),
                original_label=int(before.indices[i]),
                original_probability=float(before.values[i]),
                epsilon=None if epsilon is None else epsilon[i].flatten(),
            )
            for i in range(len(self.images))
        ]


def originals(model: nn.Module, images: Tensor, target: BatchTarget) -> Originals:
    """Images with what the network says of them, which is no target's class.

    Args:
        model: unwrapped.
        target: a class for all or one for each, by index or name; None: away from what it says.

    Raises:
        TypeError, ValueError: a target is none of these, no class, or what the network says already; the network has
            one output.
    """
    if callable(target):
        raise TypeError("target: expected a class index or name, or None, got a callable")
    logits = scores_without_gradients(model, images)
    how = how_of(logits)
    if not logits.isfinite().all():
        raise ValueError("model: its answer is expected to be finite, got NaN or infinity")
    index = class_targets(target, logits, getattr(model, "classes", None))
    assert isinstance(index, list)
    if target is not None:
        for place, (wanted, said) in enumerate(zip(index, logits.argmax(1).tolist(), strict=True)):
            if wanted == said:
                at = f" of image {place}" if len(images) > 1 else ""
                raise ValueError(
                    f"target: expected another class than the network says{at} already, {named(model, said)}"
                )
    names = class_names(getattr(model, "classes", None))
    return Originals(images, logits, how, torch.tensor(index, device=logits.device), target is not None, names)


def named(model: nn.Module, index: int) -> str:
    """A class by name and index: "tabby (281)"; "class 281" where it has no name."""
    return _named(class_names(getattr(model, "classes", None)), index)


def _named(classes: Sequence[str] | None, index: int) -> str:
    names = classes or ()
    return f"{names[index]} ({index})" if index < len(names) else f"class {index}"


def check_range(images: Tensor, pixel_range: PixelRange, rounded: bool) -> None:
    """Refuses images that no picture is, and rounding where nothing says to what.

    Raises:
        ValueError: so.
    """
    if pixel_range.low is None or pixel_range.high is None:
        if rounded:
            raise ValueError("rounded: expected a model with a .preprocess, or limits: nothing says what 8 bits are")
        return
    low, high = limits_for(images, pixel_range)
    spare = (high - low) * _OUTSIDE
    if bool(((images < low - spare) | (images > high + spare)).any()):
        limits, got = (
            f"{_spoken(least.amin((0, 2, 3)).tolist())} to {_spoken(most.amax((0, 2, 3)).tolist())}"
            for least, most in ((low, high), (images, images))
        )
        raise ValueError(f"image: expected values within the limits of the channels, {limits}, got {got}")


def unit_for(images: Tensor, pixel_range: PixelRange) -> Tensor:
    """One of 255 pixel values, [N or 1,C or 1,1,1] float64; without limits of each image's own range."""
    unit = unit_of(pixel_range)
    if unit is not None:
        return unit[None].to(images.device)
    flat = images.double().flatten(1)
    return ((flat.amax(1) - flat.amin(1)).clamp_min(1e-6) / 255).view(-1, 1, 1, 1)


def _spoken(values: list[float]) -> str:
    return "/".join(f"{value:.4g}" for value in values)
