"""What the layers of a model give for images: the model's own values, which it computes itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.batches import checked_images
from zfcuda.independence import coupling
from zfcuda.inputs import checked_layer
from zfcuda.misfit import misfit
from zfcuda.network import evaluating, trace
from zfcuda.network.graph import plain_name, submodules, unwrap, wrapper_of
from zfcuda.network.intact import Hook, Watching, restoring
from zfcuda.network.trace import RECORDING


def activations(model: nn.Module, image: Any, layers: str | Sequence[str]) -> dict[str, Tensor]:
    """What layers of a model give for an image or a batch: the paper's feature maps, of one layer or of many.

    The model itself runs once, as in eval mode, and what passes at the layers is copied: hooks of the user's and
    replaced methods count, and a ReLU in place behind a layer does not. Each image gets what it gets alone: where it
    is not proven that the model keeps the images of a batch apart, they run one by one.

    Args:
        model: any module, in any mode; it is left as it was.
        image: [C,H,W] or [N,C,H,W] of the model's dtype, on its device; or a PIL picture, a path or an array uint8
            [H,W,C], which the model's own `.preprocess` makes an image of. It may be of another size than the model
            was made for, as far as the layers that are asked for take it.
        layers: the dotted name of a submodule, or several; zfcuda.network.layers lists them.

    Returns:
        By the names as they were given, in this order: what the last call of the layer gave, [N,units,h,w] of a layer
        with maps, [N,units] of a vector layer, in the model's dtype, on its device.

    Raises:
        TypeError: an argument is of another type.
        ValueError: there is no such layer, it gives something else than a tensor or does not run for this image; the
            image does not fit.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    wanted = [layers] if isinstance(layers, str) else layers
    if not isinstance(wanted, Sequence) or not all(isinstance(name, str) for name in wanted):
        raise TypeError(f"layers: expected the name of a layer, or a list of names, got {layers!r}")
    if not wanted:
        raise ValueError("layers: expected the name of at least one layer, got none")
    wrapper, model = wrapper_of(model), unwrap(model)
    names = {given: checked_layer(given, model, wrapper) for given in wanted}
    images = checked_images(image, model)
    run = _Run(model, list(dict.fromkeys(names.values())))
    with torch.no_grad(), evaluating(model):
        if len(images) < 2 or run.coupling(images) is None:
            found = run(images)
        else:
            each = [run(one) for one in images.split(1)]
            found = {name: torch.cat([values[name] for values in each]) for name in run.layers}
    return {given: found[name] for given, name in names.items()}


class _Run:
    """Runs a model, and copies what its layers give."""

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        self.model, self.layers = model, layers

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Images [N,C,H,W] -> what each layer gives, by its name."""
        given: dict[str, Any] = {}
        calls: Counter[str] = Counter()
        there = submodules(self.model)

        def keeping(name: str) -> Hook:
            def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
                calls[name] += 1
                # A copy, before a layer that works in place overwrites it.
                given[name] = output.detach().clone() if isinstance(output, Tensor) else output

            return keep

        with Watching(self.model) as watching:
            for name in self.layers:
                watching.add(there[name], keeping(name))
            try:
                self.model(images.clone())  # it may write to its image
            except RuntimeError as error:
                if not self._complete(calls):
                    raise misfit(error, self.model, images) or error from error
        for name in self.layers:
            if name not in given:
                raise ValueError(f"layer: {name!r} does not run when {type(self.model).__name__} sees an image")
            if not isinstance(given[name], Tensor):
                raise ValueError(f"layer: expected one that gives a Tensor, {name!r} gives a {_kind(given[name])}")
        return given

    def coupling(self, images: Tensor) -> str | None:
        """Says what couples the images of a batch before these layers; None: it is proven that nothing does."""
        with RECORDING, restoring(self.model):
            return coupling(lambda batch: list(self(batch).values()), [images[:1]])

    def _complete(self, calls: Counter[str]) -> bool:
        """Whether the layers have run as often as they do: what fails behind them does not matter."""
        try:
            network = trace(self.model)
        except ValueError:
            return False
        there, modules = submodules(self.model), list(self.model.named_modules())
        first = {name: next(plain_name(n) for n, module in modules if module is there[name]) for name in self.layers}
        due = Counter(name for name, _ in network.calls)
        return all(calls[name] == due[first[name]] > 0 for name in self.layers)


def _kind(value: Any) -> str:
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, tuple | list) else type(value).__name__
