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
        inner: evaluations of one step, at most.
    """

    history: int = 10
    inner: int = 1

    def start(self, parameters: list[Tensor]) -> Callable[[Evaluate], None]:
        optimizer = torch.optim.LBFGS(
            parameters, lr=1.0, max_iter=self.inner, history_size=self.history, line_search_fn="strong_wolfe"
        )
        return lambda evaluate: optimizer.step(lambda: float(evaluate().detach()))  # type: ignore[arg-type, return-value]


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
