"""What fooling and adversaries share: a batch of images, a class for each, and steps until the network answers so."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zfcuda.autograd import differentiating, logits_of
from zfcuda.files.signals import held
from zfcuda.inputs import normalization, probabilities
from zfcuda.network.example import image_dtypes
from zfcuda.synthesis.adversarial.ball import Ball
from zfcuda.synthesis.interrupted import kept
from zfcuda.synthesis.objectives import Objective
from zfcuda.synthesis.optimise import optimise
from zfcuda.synthesis.steppers import Steepest
from zfcuda.synthesis.warn import warn
from zfcuda.synthesis.watched import Seen


def scores_without_gradients(model: nn.Module, images: Tensor) -> Tensor:
    """The logits [N,K] of images, which take the model's dtype."""
    with differentiating(model, gradients=False):
        return logits_of(model, images.to(image_dtypes(model)[0])).detach()


class Goal:
    """What the network shall answer to each image, or shall answer no longer; keeps the best images so far.

    Args:
        index: int64 [N], a class for each.
        towards: whether it is wanted; False: anything else is.
        how: how scores become probabilities, as :func:`zfcuda.inputs.normalization` says it.
        ascends: whether the logit is made larger; else the odds of the answer, which lie on the same levels as the
            cross entropy but never flatten out where the network is sure.
        first: whether an image that succeeds is kept, whatever comes later; else the one with the largest margin is.

    Attributes:
        steps: int64 [N], how many steps led to the images that are kept.
    """

    def __init__(self, index: Tensor, *, towards: bool, how: str, ascends: bool = False, first: bool = False) -> None:
        self._index, self._towards, self._how, self._ascends, self._first = index, towards, how, ascends, first
        self._seen: Tensor | None = None
        self._margin = torch.full(index.shape, -torch.inf, dtype=torch.float32, device=index.device)
        self.images: Tensor | None = None
        self.probabilities: Tensor | None = None
        self.steps = torch.zeros_like(index)

    def objective(self) -> Objective:
        """It as what a step makes larger."""

        def value(seen: Seen) -> Tensor:
            scores = seen.scores()
            self._seen = scores.detach()
            if self._ascends:
                return scores.gather(1, self._index[:, None])[:, 0]
            own, others = self._divided(scores)
            return self._sign * (own - others.logsumexp(1))

        return Objective(value, logits=True, text="the answer")

    @property
    def _sign(self) -> int:
        return 1 if self._towards else -1

    def _divided(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The score of each image's class [N], and those of the others [N,K], where it is -inf."""
        if self._how == "none":
            scores = scores.clamp_min(1e-30).log()
        column = self._index[:, None]
        return scores.gather(1, column)[:, 0], scores.scatter(1, column, -torch.inf)

    def after(self, step: int, images: Tensor, said: Tensor) -> bool:
        """For the loop: looks at the images that `step` steps made."""
        if step == 0:
            return False
        assert self._seen is not None
        self.offer(step, images, self._seen)
        return self._first and bool(self.reached.all())

    def offer(self, step: int, images: Tensor, scores: Tensor) -> None:
        """Keeps images that come nearer to the goal than those before."""
        own, others = self._divided(scores)
        margin = self._sign * (own - others.amax(1))
        better = margin > self._margin
        if self._first:
            better &= ~self.reached
        if self.images is None or self.probabilities is None:
            self.images, self.probabilities = images.clone(), probabilities(scores, self._how)
            better[:] = True
        self.images = torch.where(better[:, None, None, None], images, self.images)
        self.probabilities = torch.where(better[:, None], probabilities(scores, self._how), self.probabilities)
        self.steps = torch.where(better, step, self.steps)
        self._margin = torch.where(better, margin.to(self._margin), self._margin)

    @property
    def reached(self) -> Tensor:
        """Whether the network answers so: bool [N]."""
        return self._margin > 0


@dataclass(frozen=True)
class Attacked:
    """What came of it.

    Attributes:
        images: [N,C,H,W], of the start's dtype.
        probabilities: [N,K], what the network says of them.
        steps: int64 [N].
        succeeded: bool [N].
        interrupted: the Ctrl-C that ended it.
    """

    images: Tensor
    probabilities: Tensor
    steps: Tensor
    succeeded: Tensor
    interrupted: KeyboardInterrupt | None


def attack(
    model: nn.Module,
    ball: Ball,
    goal: Goal,
    *,
    length: Tensor,
    norm: str,
    steps: int,
    described: str,
    progress: bool,
) -> Attacked:
    """Steps on a batch of images, as steep as the norm allows.

    Args:
        model: unwrapped.
        ball: where the images begin and stay.
        goal: what for; a new one for each attack.
        length: of a step; broadcast to the images.
    """
    made = optimise(
        model,
        goal.objective(),
        ball,
        steps=steps,
        stepper=Steepest(length.to(ball.parameters[0]), norm),
        after=goal.after if steps > 1 else None,
        described=described,
        progress=progress,
    )
    interrupted = made.interrupted
    try:
        if goal.images is None or not (goal.reached.all() and len(made.values) < steps):
            with held():  # without an answer there is nothing to give
                scores = scores_without_gradients(model, made.images)
                if not scores.isfinite().all():
                    warn("model: it answers the changed image with NaN or infinity")
                goal.offer(min(steps, len(made.values)), made.images, scores)
    except KeyboardInterrupt as stop:
        if goal.images is None:
            raise
        interrupted = kept(stop, "stopped behind the last step: the image so far")
    assert goal.images is not None and goal.probabilities is not None
    return Attacked(goal.images.to(ball.start.dtype), goal.probabilities, goal.steps, goal.reached, interrupted)


def how_of(logits: Tensor) -> str:
    """How a network's logits become probabilities.

    Raises:
        ValueError: it has one output, whose answer cannot change.
    """
    if logits.shape[1] < 2:
        raise ValueError("model: expected two classes or more, of which one is the answer, got one output")
    return normalization(logits)
