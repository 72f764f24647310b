"""The one loop that all images are made by: an image, an objective, views of it, steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.autograd import derivative, module_of, no_gradient
from zfcuda.network.example import image_dtypes
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.objectives import Objective
from zfcuda.synthesis.parameterization import Parameterization
from zfcuda.synthesis.steppers import Adam, Stepper
from zfcuda.synthesis.transforms import Transform
from zfcuda.synthesis.watched import Watched, checked_names, watching

# (step, images, what the objective said of them) -> whether it is enough.
After = Callable[[int, Tensor, Tensor], bool]

_ADAM = Adam()


@dataclass(frozen=True)
class Optimised:
    """What came of a run.

    Attributes:
        images: [N,C,H,W], float32.
        values: [steps,N] float32, what the objective said before each step.
        stopped: why it ended before its last step, in words; "" where it did not.
        interrupted: the Ctrl-C or signal that ended it, for who has to pass it on.
    """

    images: Tensor
    values: Tensor
    stopped: str = ""
    interrupted: KeyboardInterrupt | None = None


def optimise(
    model: nn.Module,
    objective: Objective,
    image: Parameterization,
    *,
    steps: int,
    stepper: Stepper = _ADAM,
    transforms: Sequence[Transform] = (),
    dice: Dice | None = None,
    after: After | None = None,
    described: str = "steps",
    progress: bool = False,
) -> Optimised:
    """Changes images until a model says more of an objective.

    Ctrl-C ends it with the images so far, numbers that are not finite with the last good ones; both are warned of.

    Args:
        model: a network [N,C,H,W] -> anything; it is run as in eval, and left as it was.
        objective: what is made larger, of each image.
        image: the start, and what is changed.
        steps: how many.
        transforms: what each image goes through before the model sees it.
        dice: for the transforms.
        after: is called after each evaluation; True ends the run.
        described: what the bar says.
        progress: whether there is a bar.

    Raises:
        TypeError, ValueError: naming what does not fit: a layer, a unit, a class; the objective does not depend on the
            image by gradients; it is not finite where the image starts.
    """
    inner = module_of(model)
    names = checked_names(inner, objective.layers, model)
    dtype = image_dtypes(inner)[0]
    values: list[Tensor] = []
    stopped, interrupted = "", None
    with watching(inner, names, logits=objective.logits) as watched:
        good = [parameter.detach().clone() for parameter in image.parameters]
        step = stepper.start(image.parameters)

        def evaluate() -> Tensor:
            said, images = _evaluate(watched, objective, image, transforms, dice, dtype, len(values))
            values.append(said.detach())
            if not _differentiated(-said.sum(), image.parameters):
                raise no_gradient(inner, images.detach()[:1].to(dtype), f"objective: {objective.text}")
            if not all(p.grad is not None and p.grad.isfinite().all() for p in image.parameters) or not (
                said.isfinite().all()
            ):
                raise _NotFiniteError
            for kept, parameter in zip(good, image.parameters, strict=True):
                kept.copy_(parameter.detach())
            if after is not None and after(len(values) - 1, images.detach(), said.detach()):
                raise _EnoughError
            return -said.sum()

        try:
            with tqdm(total=steps, desc=described, unit="step", disable=not progress, leave=False) as bar:
                for _ in range(steps):
                    step_once(step, evaluate)
                    with torch.no_grad():
                        image.project()
                    bar.update()
        except _EnoughError:
            pass
        except _NotFiniteError:
            if len(values) == 1:
                raise ValueError(f"objective: {objective.text} is not finite where the image starts") from None
            stopped = f"step {len(values) - 1} of {steps} gave numbers that are not finite: the image before it"
        except KeyboardInterrupt as stop:
            interrupted = stop
            stopped = f"stopped in step {len(values)} of {steps}: the image so far"
        with torch.no_grad():
            if stopped and interrupted is None:
                for kept, parameter in zip(good, image.parameters, strict=True):
                    parameter.copy_(kept)
            made = image.images().detach().clone()
    if stopped:
        warnings.warn(stopped, stacklevel=2)
    return Optimised(made, torch.stack(values).cpu() if values else torch.empty(0, len(made)), stopped, interrupted)


class _EnoughError(Exception):
    """Ends the run, with what is there."""


class _NotFiniteError(Exception):
    """Ends the run, with what was there before."""


def step_once(step: Callable[[Callable[[], Tensor]], None], evaluate: Callable[[], Tensor]) -> None:
    """One step, which changes parameters without a history; evaluations have one."""

    def with_gradients() -> Tensor:
        with torch.enable_grad():
            return evaluate()

    with torch.no_grad():
        step(with_gradients)


def _evaluate(
    watched: Watched,
    objective: Objective,
    image: Parameterization,
    transforms: Sequence[Transform],
    dice: Dice | None,
    dtype: torch.dtype,
    number: int,
) -> tuple[Tensor, Tensor]:
    """What the objective says [N] of the images as they are now, and these."""
    images = image.images()
    shown = images
    for transform in transforms:
        assert dice is not None, "transforms need dice"
        shown = transform(shown, dice)
    shown = shown.to(dtype).contiguous(memory_format=torch.channels_last)
    said = objective.value(watched(shown, of=images, step=number))
    assert said.shape == (len(images),), f"{objective.text}: expected [{len(images)}], got {list(said.shape)}"
    return said, images


def _differentiated(value: Tensor, parameters: list[Tensor]) -> bool:
    for parameter in parameters:
        found = derivative(value, torch.ones_like(value), parameter)
        parameter.grad = None if found is None else found.contiguous()  # torch's L-BFGS reads it as one row
    return all(parameter.grad is not None for parameter in parameters)
