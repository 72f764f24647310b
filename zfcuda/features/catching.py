"""What chosen layers of a model give, caught while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.independence import coupling
from zfcuda.network import evaluating, layers, trace
from zfcuda.network.graph import plain_name, submodules
from zfcuda.network.hooks import hooked
from zfcuda.network.intact import Watching, restoring
from zfcuda.network.trace import RECORDING

Keep = Callable[[str, Tensor, Tensor], Any]  # layer, its output, the numbers of the images


class _ReachedError(BaseException):
    """Ends a run behind the last layer that is asked for; no model catches it as an error."""


class Catching:
    """Runs a model and keeps what layers give, of each as of its last call; to be used in a with statement.

    A run ends behind the last of the layers, where the model can be followed, so that it is known which call that is,
    and has no hooks of its user's. What runs leave half done on its modules is undone in the end.

    Args:
        model: unwrapped, in eval mode meanwhile.
        layers: names as the model itself calls them.
        keep: makes what is kept of a layer's output, at once: what comes behind may overwrite it.
        counts: how often a run calls each layer, from `called` after a first run; None: keep() gets every call.
        all_calls: how many calls of these layers a run has, from calls_of(); None: that is not known.

    Attributes:
        called: layer -> how often the latest run called it.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str],
        keep: Keep,
        counts: Mapping[str, int] | None = None,
        all_calls: int | None = None,
    ) -> None:
        self.model, self.layers, self.keep, self.counts = model, list(layers), keep, counts
        self.called: Counter[str] = Counter()
        self._found: dict[str, Any] = {}
        self._all = all_calls
        self._indices = torch.empty(0)
        self._contexts: list[Any] = []

    def __enter__(self) -> Catching:
        watching = Watching(self.model)
        there = submodules(self.model)
        for layer in self.layers:
            watching.add(there[layer], self._hook(layer))
        for context in (restoring(self.model), evaluating(self.model), torch.no_grad(), watching):
            context.__enter__()
            self._contexts.append(context)
        return self

    def __exit__(self, *error: Any) -> None:
        while self._contexts:
            self._contexts.pop().__exit__(*error)

    def __call__(self, images: Tensor, indices: Tensor) -> dict[str, Any]:
        """What was kept of each layer for images [n,C,H,W] of these numbers [n].

        Raises:
            ValueError: a layer was not called, not as often as before, or gave no tensor.
        """
        self._found.clear()
        self.called.clear()
        self._indices = indices
        with suppress(_ReachedError):
            self.model(images)
        for layer in self.layers:
            if not self.called[layer]:
                raise ValueError(f"layer: {layer!r} is not called when the model runs")
            if self.counts is not None and self.called[layer] != self.counts[layer]:
                raise ValueError(
                    f"layer: expected one that is called as often for every image, got {layer!r}: "
                    f"{self.counts[layer]} calls, and {self.called[layer]}"
                )
        return {layer: self._found[layer] for layer in self.layers}

    def coupling(self, images: Tensor) -> str | None:
        """By what the images of a batch may influence one another's layers; None: it is proven that they do not."""
        keep, self.keep = self.keep, lambda layer, activation, indices: activation
        try:
            with RECORDING, restoring(self.model):
                return coupling(lambda batch: list(self(batch, self._indices).values()), [images])
        finally:
            self.keep = keep
            self._found.clear()

    def _hook(self, layer: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def caught(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not isinstance(output, Tensor):
                raise ValueError(f"layer: expected one that gives a Tensor, got {layer!r}: {type(output).__name__}")
            self.called[layer] += 1
            if self.counts is None or self.called[layer] == self.counts[layer]:
                self._found[layer] = self.keep(layer, output.detach(), self._indices)
            if self.called.total() == self._all:
                raise _ReachedError

        return caught


def calls_of(model: nn.Module, names: Sequence[str]) -> int | None:
    """How many calls of these layers a run of an unwrapped model has; None: that is not known."""
    if hooked(model):
        return None
    try:
        network = trace(model)
    except (ValueError, TypeError, RuntimeError):
        return None
    if not set(names) <= set(layers(network)):
        return None
    there = submodules(model)
    wanted = [there[name] for name in names]
    first = {id(module): plain_name(name) for name, module in reversed(list(model.named_modules()))}
    return sum(sum(name == first[id(module)] for name, _ in network.calls) for module in wanted)
