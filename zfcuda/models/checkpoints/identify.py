"""Whose weights are these? Compares the names and shapes in a file with those of every network by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.models.architectures.registry import NAMES, entry
from zfcuda.models.checkpoints.prefixes import without_prefix

Shapes = Mapping[str, tuple[int, ...]]
_SCALED = [f"{layer}.bias" for layer in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")]  # by a width


@dataclass(frozen=True)
class Fit:
    """A network compared with the weights in a file.

    Attributes:
        name: one of NAMES.
        options: what its builder needs for these weights: num_classes, and width for a narrow ZFNet.
        matching: how many tensors of the file the network has, in the same shapes.
        tensors: how many both have together; equal to `matching` where the weights fit.
    """

    name: str
    options: Mapping[str, Any]
    matching: int
    tensors: int

    @property
    def exact(self) -> bool:
        return self.matching == self.tensors


def fits(weights: Mapping[str, Tensor]) -> list[Fit]:
    """Compares every network with these weights; the best fit comes first."""
    every = [fit(name, weights) for name in NAMES]
    return sorted(every, key=lambda one: -one.matching / max(1, one.tensors))


def fit(name: str, weights: Mapping[str, Tensor]) -> Fit:
    """Compares one network with these weights, built for as many classes, and as wide, as the file says."""
    known = entry(name)
    shapes, ignored = _shapes(name, known.num_classes, None)
    weights = without_prefix(weights, shapes)
    width = _width(name, weights, shapes)
    grown = [_shapes(name, classes, None)[0] for classes in (2, 3)]
    classes = class_count(grown[0], grown[1], weights) or known.num_classes
    wanted, _ = _shapes(name, classes, width)
    have = {key: tuple(value.shape) for key, value in weights.items() if _counts(key, ignored)}
    want = {key: shape for key, shape in wanted.items() if _counts(key, ())}
    options: dict[str, Any] = {"num_classes": classes} | ({} if width is None else {"width": width})
    return Fit(name, options, sum(want.get(key) == shape for key, shape in have.items()), len(have | want))


def class_count(few: Shapes, more: Shapes, weights: Mapping[str, Tensor]) -> int | None:
    """How many classes weights are for: what grows with the number of classes, in the file.

    few, more: the shapes of one network with different numbers of classes. None: the file has no such tensor.
    """
    weights = without_prefix(weights, few)
    grown = [key for key, shape in few.items() if more[key] != shape and key in weights and weights[key].dim() > 0]
    # The last of them: auxiliary classifiers come before the network's own.
    return len(weights[grown[-1]]) or None if grown else None


def whose(weights: Mapping[str, Tensor]) -> str:
    """The network that these weights are of, as the end of a message; "" where there is none near."""
    every = fits(weights)
    best = every[0]
    if best.exact:
        names = " or ".join(f"{one.name}'s" for one in every if one.exact)
        return f"; these are {names}, for {best.options['num_classes']} classes"
    if 2 * best.matching > best.tensors:
        return f"; the nearest is {best.name}, of whose tensors and the file's {best.matching} of {best.tensors} fit"
    return ""


def _width(name: str, weights: Mapping[str, Tensor], full: Shapes) -> float | None:
    """The shortest width that gives a ZFNet's layers the sizes in the file; None: 1, or no ZFNet.

    Where no width does, that of fc6, the widest layer: the shapes of others will tell what does not fit.

    full: the shapes of width 1, which every width scales and rounds.
    """
    sizes = {key: (len(weights[key]), full[key][0]) for key in _SCALED if key in weights and key in full}
    if not entry(name).scales or "fc6.bias" not in sizes:
        return None
    if all(size == whole for size, whole in sizes.values()):
        return None
    low = max((size - 0.5) / whole if size > 1 else 0.0 for size, whole in sizes.values())
    high = min((size + 0.5) / whole for size, whole in sizes.values())
    hidden, whole = sizes["fc6.bias"]
    if low >= high:
        return hidden / whole if hidden not in (0, whole) else None
    middle = (low + high) / 2
    return next((short for digits in range(1, 9) if low < (short := round(middle, digits)) < high), middle)


def _counts(key: str, ignored: tuple[str, ...]) -> bool:
    return not key.endswith("num_batches_tracked") and not key.startswith(ignored)


@lru_cache(maxsize=128)
def _shapes(name: str, num_classes: int, width: float | None) -> tuple[Shapes, tuple[str, ...]]:
    """The state_dict's shapes, and the prefixes of names in published files that the network does not use."""
    build: Callable[..., nn.Module] = entry(name).build
    with torch.device("meta"):
        network = build(num_classes) if width is None else build(num_classes, width=width)
    return shapes_of(network), tuple(getattr(network, "ignored_keys", ()))


def shapes_of(network: nn.Module) -> Shapes:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}
