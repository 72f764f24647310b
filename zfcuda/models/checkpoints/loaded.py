"""A network and what is known about it, and what every way to one has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zfcuda.models.architectures import imagenet
from zfcuda.models.checkpoints.errors import WeightsError
from zfcuda.models.checkpoints.match import matched
from zfcuda.models.checkpoints.trained import Trained


class UnknownNetworkError(WeightsError):
    """Weights that fit none of the networks known by name."""


@dataclass(frozen=True)
class Loaded:
    """A network and what is known about it.

    Attributes:
        model: in eval mode, with `.classes` (list of names, or None) and `.preprocess` (PIL picture -> Tensor
            [1,C,H,W], or None).
        title: what to call it.
        origin: how it is called in a file that says whose weights it holds; None: no name leads to it.
        trained: False where its weights are random.
        num_classes: None where it is not known without running it.
        input_size: (C, H, W) of its images; None where it is not known.
        weights: the file that they came from.
        options: what the network of that origin was built with: num_classes, and width of a narrow ZFNet.
    """

    model: nn.Module
    title: str
    origin: str | None
    trained: bool
    num_classes: int | None = None
    input_size: tuple[int, int, int] | None = None
    weights: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def describe(model: Any, classes: list[str] | None, preprocess: Any) -> None:
    """Hangs on a network what is known about it."""
    model.classes, model.preprocess = classes, preprocess


def names(trained: Trained) -> list[str] | None:
    """The names of the classes; ImageNet's with their synonyms."""
    named = list(trained.classes) or None
    return imagenet.classes() if named == imagenet.classes() else named


def same(name: str, trained: Trained, file: Path) -> None:
    """Refuses weights that are of another network than the one asked for."""
    if name != trained.network:
        raise WeightsError(f"{file}: weights of {trained.network}, not of {name}")


def agree(asked: int | None, there: int | None, file: Path) -> None:
    """Refuses weights that are for another number of classes than the one asked for."""
    if asked is not None and there is not None and asked != there:
        raise WeightsError(f"num_classes: {asked}, but {file} is for {there} classes")


def fill(model: nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Puts weights into a network; where one of them does not fit, none."""
    model.load_state_dict(matched(model, tensors, file), strict=False)
