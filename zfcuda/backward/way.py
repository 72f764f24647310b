"""What a rule gives for one node: how its value is computed, and how a signal goes back through it.

A signal has the shape [n, *value.shape] for n seeds; that of several tensors is a list of such, with None for zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from zfcuda.network import Node
from zfcuda.network.calls import torchs

WayBack = Callable[[Any], Sequence[Any]]  # a signal for each source; None: nothing goes there
Arguments = dict[str, Any]
Rule = Callable[[Arguments], tuple[Tensor, WayBack]]  # for nodes whose arguments have names of their own

SETTINGS_DEPEND = "its weights or settings depend on the image"


class UnsupportedError(Exception):
    """Raised for what no rule covers; the message says which setting it is, if it is one."""


@dataclass(frozen=True)
class Way:
    """The way through one node.

    sources: the nodes that its signal goes on to.
    run: takes the values of all nodes that it reads, returns its own and the way back.
    """

    sources: list[int]
    run: Callable[[Mapping[int, Any]], tuple[Any, WayBack]]


@dataclass(frozen=True)
class TorchCall:
    """A call of torch in its own form.

    name: that of the function, method, operator or module, without the underscore of an in-place form.
    function: it itself.
    input: its first argument; settings: those that follow; named: those by name.
    """

    name: str
    function: Any
    input: Any
    settings: tuple[Any, ...]
    named: dict[str, Any]

    def run(self, input: Any) -> Any:
        """The same call on another input."""
        return self.function(input, *self.settings, **self.named)

    @staticmethod
    def of(node: Node, arguments: Mapping[str, Any]) -> TorchCall | None:
        """What a node calls, with these arguments; None: it has another form, or is not known to be torch's."""
        if node.kind not in ("reshape", "pointwise", "other"):
            return None
        name, function = torchs(arguments["function"])
        args, named = arguments["args"], dict(arguments["kwargs"])
        if not name or not (args or "input" in named):
            return None
        input = args[0] if args else named.pop("input")
        return TorchCall(name, function, input, tuple(args[1:]), named)


def same(signal: Tensor) -> list[Tensor]:
    """The way back through what changes no value."""
    return [signal]


def per_image(signal: Tensor, back: Callable[[Tensor], Tensor]) -> Tensor:
    """Sends [n,N,...] back through what works on each image by itself and takes a batch of any size."""
    part = back(signal.flatten(0, 1))
    return part.view(*signal.shape[:2], *part.shape[1:])
