"""The one loop that all images are made by: an image, an objective, views of it, steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.autograd import derivatives, module_of, no_gradient
from zfcuda.files.signals import held
from zfcuda.memory.reused import reused_memory
from zfcuda.network.example import image_dtypes
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.evaluation import Evaluation, faint
from zfcuda.synthesis.interrupted import kept
from zfcuda.synthesis.objectives import Objective
from zfcuda.synthesis.parameterization import Parameterization
from zfcuda.synthesis.redirected import cutting
from zfcuda.synthesis.steppers import Adam, Stepper
from zfcuda.synthesis.transforms import Transform
from zfcuda.synthesis.warn import warn
from zfcuda.synthesis.watched import watching

# (step, images, what the objective said of them) -> whether it is enough.
After = Callable[[int, Tensor, Tensor], bool | None]

_ADAM = Adam()


@dataclass(frozen=True)
class Optimised:
    """What came of a run.

    Attributes:
        images: [N,C,H,W], float32.
        values: [evaluations,N] float32, what the objective said of the images as they were, transformed; an evaluation
            for each step, of L-BFGS several.
        stopped: why it ended before its last step, in words; "" where it did not.
        interrupted: the Ctrl-C or signal that ended it, for who has to pass it on.
        reached: [N] float32, what the objective says of these images, without transforms; only where it was asked for.
        asleep: the numbers of the images that excite nothing; only where they were to be woken.
        unwritten: why there is no animation though there should be one, in words.
    """

    images: Tensor
    values: Tensor
    stopped: str = ""
    interrupted: KeyboardInterrupt | None = None
    reached: Tensor | None = None
    asleep: tuple[int, ...] = ()
    unwritten: str = ""


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
    awaken: bool = False,
    in_parts: bool = False,
    reached: bool = False,
) -> Optimised:
    """Changes images until a model says more of an objective.

    Ctrl-C ends it with the images so far, numbers that are not finite with the last good ones; both are warned of.

    Args:
        model: a network [N,C,H,W] -> anything; it is run as in eval, and left as it was.
        objective: what is made larger, of each image.
        image: the start, and what is changed.
        steps: how many.
        stepper: how a gradient becomes a step; Adam where none is given.
        transforms: what each image goes through before the model sees it.
        dice: for the transforms.
        after: is called after each evaluation; True ends the run.
        described: what the bar says.
        progress: whether there is a bar.
        awaken: whether an image of which the model says nothing that a small change would change (a unit that is
            rectified to 0) gets its steps from gradients that pass through rectifiers, until it excites something; what
            excites nothing in the end is warned of. Each row of the parameters then belongs to one image.
        in_parts: whether many images are run so many at a time as memory holds, and one at a time where the model does
            not keep the images of a batch apart (a norm over the batch). The objective then takes each image by itself,
            or says that it looks at them together.
        reached: whether the images of the end are looked at.

    Raises:
        TypeError, ValueError: naming what does not fit: a layer, a unit, a class; the objective does not depend on the
            image by gradients; it is not finite where the image starts. All of it before the first step.
    """
    inner = module_of(model)
    values: list[Tensor] = []
    stopped, interrupted = "", None
    with reused_memory(), watching(model, objective.layers, logits=objective.logits) as watched:
        look = Evaluation(watched, objective, image_dtypes(inner)[0], in_parts)
        good = [parameter.detach().clone() for parameter in image.parameters]
        step = stepper.start(image.parameters)
        asleep: Tensor | None = None  # [N], whether each ever was; None: none of them
        best = _Best(image.parameters)
        done = 0

        def evaluate() -> Tensor:
            nonlocal asleep
            images = image.images()
            shown = images
            for transform in transforms:
                assert dice is not None, "transforms need dice"
                shown = transform(shown, dice)
            said, by_shown, by_images = look(images, shown, done)
            values.append(said)
            silent = None if by_shown is None or not awaken else (by_shown == 0).flatten(1).all(1)
            if silent is not None and by_shown is not None and bool(silent.any()):
                if asleep is None:
                    for module in cutting(inner):
                        watched.leave_alone(module)
                woken = look(images, shown, done, redirected=True)[1]
                assert woken is not None
                rows = silent.view(-1, 1, 1, 1)
                by_shown = torch.where(rows, faint(woken), by_shown)
                by_images = None if by_images is None else by_images.masked_fill(rows, 0.0)
                asleep = silent if asleep is None else asleep | silent
            unseen = by_shown is None and (objective.layers or objective.logits)  # priors alone are no objective
            if unseen or not _differentiated(shown, by_shown, images, by_images, image.parameters):
                raise no_gradient(inner, images.detach()[:1].to(image_dtypes(inner)[0]), f"objective: {objective.text}")
            if not _finite([said, *(p.grad for p in image.parameters if p.grad is not None)]):
                raise _NotFiniteError
            for last, parameter in zip(good, image.parameters, strict=True):
                last.copy_(parameter.detach())
            if asleep is not None:
                best.look(said)
            if after is not None and after(len(values) - 1, images.detach(), said):
                raise _EnoughError
            return -said.sum()

        try:
            with tqdm(total=steps, desc=described, unit="step", disable=not progress, leave=False) as bar:
                for _ in range(steps):
                    step_once(step, evaluate)
                    with torch.no_grad():
                        image.project()
                    done += 1
                    bar.update()
        except _EnoughError:
            pass
        except _NotFiniteError:
            if len(values) == 1:
                raise ValueError(f"objective: {objective.text} is not finite where the image starts") from None
            stopped = f"step {done} of {steps} gave numbers that are not finite: the image before it"
        except KeyboardInterrupt as stop:
            interrupted = kept(stop)
            stopped = f"stopped in step {done} of {steps}: the image so far"
        end: Tensor | None = None
        still: list[int] = []
        try:
            with held(), torch.no_grad():
                if stopped:  # a step may have been broken off, before it was brought back to where it may be
                    for last, parameter in zip(good, image.parameters, strict=True):
                        parameter.copy_(last)
                made = image.images().detach().clone()
            if (reached or asleep is not None) and not interrupted:
                end = look.value(made)
            if asleep is not None and end is not None and bool((lost := asleep & (end <= values[0])).any()):
                with torch.no_grad():
                    best.put_back(lost)
                    made = image.images().detach().clone()
                end = look.value(made)
                still = torch.nonzero(lost & (best.said <= values[0])).flatten().tolist()
        except KeyboardInterrupt as stop:
            interrupted, end = kept(stop), None
            stopped = stopped or f"stopped behind step {done} of {steps}: the image so far"
    if stopped:
        warn(stopped)
    if still and end is not None:
        which = "" if len(still) == len(made) else f" in {len(still)} of {len(made)} images ({_listed(still)})"
        warn(
            f"no image found that excites {objective.text}{which}, it stays at {end[still[0]]:.4g}: the image as it is"
        )
    said = torch.stack(values).cpu() if values else torch.empty(0, len(made), dtype=torch.float32, device="cpu")
    asked = end.cpu() if reached and end is not None else None
    return Optimised(made, said, stopped, interrupted, asked, tuple(still))


def broken_off(made: Optimised, stop: KeyboardInterrupt, where: str) -> Optimised:
    """What a run made, where Ctrl-C came behind its last step, in the part of the work that is named; warns of it."""
    said = f"stopped in {where}: the image so far"
    return replace(made, stopped=said, interrupted=kept(stop, said))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:9])) + (", ..." if len(numbers) > 9 else "")


class _Best:
    """The parameters that each image had when the most was said of it: one that flickers may end as nothing."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self._parameters = parameters
        self._kept: list[Tensor] = []
        self.said = torch.empty(0)

    def look(self, said: Tensor) -> None:
        """Takes note of what is said now [N]."""
        if not self._kept:
            self.said, self._kept = said.clone(), [parameter.detach().clone() for parameter in self._parameters]
            return
        more = said > self.said
        self.said = torch.where(more, said, self.said)
        for best, now in zip(self._kept, self._parameters, strict=True):
            best.copy_(torch.where(more.view(-1, *[1] * (now.ndim - 1)), now.detach(), best))

    def put_back(self, which: Tensor) -> None:
        """Gives these images [N] the parameters that were best."""
        for best, now in zip(self._kept, self._parameters, strict=True):
            now.copy_(torch.where(which.view(-1, *[1] * (now.ndim - 1)), best, now))


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


def _differentiated(
    shown: Tensor, by_shown: Tensor | None, images: Tensor, by_images: Tensor | None, parameters: list[Tensor]
) -> bool:
    """Puts the derivatives of what is made smaller into `.grad`; whether there are any."""
    pairs = [(value, -by) for value, by in ((shown, by_shown), (images, by_images)) if by is not None]
    seeds = [by.to(value.dtype) for value, by in pairs]
    for parameter, by in zip(parameters, derivatives([value for value, _ in pairs], seeds, parameters), strict=True):
        parameter.grad = None if by is None else by.contiguous()
    return all(parameter.grad is not None for parameter in parameters)


def _finite(tensors: Sequence[Tensor]) -> bool:
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())
