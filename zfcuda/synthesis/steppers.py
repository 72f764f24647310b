"""How a step changes the numbers that images are made of.

Each is a factory: of parameters -> a function that, with the gradients in `.grad`, makes the step. Gradients are those
of what is made smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Evaluate = Callable[[], Tensor]

_LINE_SEARCH = 25  # evaluations of a line search, at most


class Stepper(Protocol):
    """A way to step."""

    def start(self, parameters: list[Tensor]) -> Callable[[Evaluate], None]:
        """What makes one step: it calls `evaluate`, which puts the gradients into `.grad`, at least once."""


@dataclass(frozen=True)
class Adam:
    """Kingma & Ba 2015.

    Attributes:
        rate: the step's length for each number, about.
    """

    rate: float = 0.05

    def start(self, parameters: list[Tensor]) -> Callable[[Evaluate], None]:
        optimizer = torch.optim.Adam(parameters, lr=self.rate)

        def step(evaluate: Evaluate) -> None:
            evaluate()
            optimizer.step()

        return step


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS with a line search, over all images together.

    Attributes:
        history: how many steps it remembers.
        inner: directions of one step, each with a line search of few evaluations.
    """

    history: int = 10
    inner: int = 1

    def start(self, parameters: list[Tensor]) -> Callable[[Evaluate], None]:
        optimizer = torch.optim.LBFGS(
            parameters,
            lr=1.0,
            max_iter=self.inner,
            history_size=self.history,
            # Without room for a line search it stays where a first try is worse, and tries the same for ever. Who runs
            # the loop says when it is enough.
            max_eval=_LINE_SEARCH * self.inner,
            tolerance_grad=0.0,
            tolerance_change=1e-12,
            line_search_fn="strong_wolfe",
        )
        last: tuple[list[Tensor], list[Tensor], float] | None = None  # where it was evaluated, gradients there, value

        def step(evaluate: Evaluate) -> None:
            def value() -> float:
                # A step begins by asking where the one before has ended, which as a rule was its last question.
                nonlocal last
                if last is not None and all(map(torch.equal, parameters, last[0])):
                    for parameter, gradient in zip(parameters, last[1], strict=True):
                        parameter.grad = gradient
                    return last[2]
                said = float(evaluate().detach())
                for parameter in parameters:
                    assert parameter.grad is not None
                    parameter.grad = parameter.grad.contiguous()  # torch makes one vector of all of them
                gradients = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
                last = [parameter.detach().clone() for parameter in parameters], gradients, said
                return said

            optimizer.step(value)

        return step


@dataclass(frozen=True)
class Ascent:
    """Steps along the gradient of each image, divided by its mean magnitude.

    Attributes:
        rate: the mean change of a number.
    """

    rate: float

    def start(self, parameters: list[Tensor]) -> Callable[[Evaluate], None]:
        def step(evaluate: Evaluate) -> None:
            evaluate()
            for parameter in parameters:
                assert parameter.grad is not None
                size = parameter.grad.abs().flatten(1).mean(1).clamp_min(1e-12)
                parameter.sub_(self.rate * parameter.grad / size.view(-1, *[1] * (parameter.ndim - 1)))

        return step


@dataclass(frozen=True)
class Steepest:
    """Steps of a given length, down as steeply as a norm allows: along signs (inf), or along the gradient (2).

    Attributes:
        length: broadcast to the parameters, how long a step is in each of their units.
    """

    length: Tensor
    norm: str = "inf"

    def start(self, parameters: list[Tensor]) -> Callable[[Evaluate], None]:
        def step(evaluate: Evaluate) -> None:
            evaluate()
            for parameter in parameters:
                assert parameter.grad is not None
                if self.norm == "inf":
                    way = parameter.grad.sign()
                else:
                    way = parameter.grad * self.length
                    size = way.flatten(1).norm(dim=1).clamp_min(torch.finfo(way.dtype).tiny)
                    way = way / size.view(-1, *[1] * (parameter.ndim - 1))
                parameter.sub_(self.length * way)

        return step
