"""What is trained: a network for these classes, its first weights, and what of it stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.complaint import out_of_memory, reason
from zfcuda.data.preprocess import Preprocess
from zfcuda.data.preprocess_facts import as_ours
from zfcuda.models.architectures.initialise import he, small_normal
from zfcuda.models.architectures.registry import NAMES, entry
from zfcuda.models.checkpoints.load import find
from zfcuda.network import evaluating, layers
from zfcuda.train.closely import without_last_pooling
from zfcuda.train.options import Options

PRETRAINED = "pretrained"
_FIRST_DEVIATION = 0.01  # of the first filters and the last layer: see he_for_training


@dataclass(frozen=True)
class Subject:
    """A network to train and what its file will say about it.

    Attributes:
        model: in eval mode.
        name: of ``zfcuda.models.NAMES``, or "module:attribute".
        options: what its builder took.
        preprocess: what it was trained with, where it starts from weights; else None.
        begun: the layer that was begun anew, as the weights are of other classes; None where there is none.
    """

    model: nn.Module
    name: str
    options: dict[str, Any]
    preprocess: Preprocess | None
    begun: str | None = None


def subject(options: Options, classes: int) -> Subject:
    """The network that options name, for a number of classes, with its first weights drawn from the options' seed.

    Raises:
        ValueError: no such network, weights of another one, a layer to freeze below that it does not have.
    """
    torch.manual_seed(options.seed)
    name = options.model
    shape = {"width": options.width} if name.startswith("zfnet") and options.width not in (None, 1.0) else {}
    if options.weights is None:
        if name in NAMES:
            model: nn.Module = entry(name).build(classes, **shape)  # type: ignore[call-arg]
        else:
            model = _for_classes(find(name, num_classes=None).model, classes)[0]
        _initialise(model, options)
        return Subject(_prepared(model, options), name, {"num_classes": classes, **shape}, None)
    loaded = find(name, weights=None if options.weights == PRETRAINED else options.weights)
    if not loaded.trained:
        raise ValueError(f"weights: {name} has none that are installed; name a file")
    preprocess = as_ours(getattr(loaded.model, "preprocess", None))
    model, begun = _for_classes(loaded.model, classes)
    return Subject(_prepared(model, options), name, {"num_classes": classes, **shape}, preprocess, begun)


def _initialise(model: nn.Module, options: Options) -> None:
    if options.init == "normal":
        small_normal(model, options.initial or 0.01)
    elif options.init == "he":
        he_for_training(model)


def he_for_training(model: nn.Module) -> None:
    """He's initial weights, but small ones in the first filters and the last layer.

    What the first filters learn on few pictures would drown in larger initial noise; the last layer finds all classes
    alike at first.
    """
    he(model)
    weighted = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in (*weighted[:1], *weighted[1:][-1:]):
        nn.init.normal_(layer.weight, std=_FIRST_DEVIATION)


def _for_classes(model: nn.Module, classes: int) -> tuple[nn.Module, str | None]:
    """The network with a last layer for so many classes: its own, or a new one of zeros, and that one's name."""
    found = [name for name in layers(model) if isinstance(model.get_submodule(name), nn.Linear | nn.Conv2d)]
    if not found:
        raise ValueError("model: expected a network with a last linear layer, found none")
    name = found[-1]
    last = model.get_submodule(name)
    if isinstance(last, nn.Linear):
        if last.out_features == classes:
            return model, None
        fresh: nn.Module = nn.Linear(last.in_features, classes, last.bias is not None)
    else:
        assert isinstance(last, nn.Conv2d)
        if last.out_channels == classes:
            return model, None
        fresh = nn.Conv2d(last.in_channels, classes, last.kernel_size, bias=last.bias is not None)  # type: ignore[arg-type]
    for parameter in fresh.parameters():
        nn.init.zeros_(parameter)
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, fresh)
    return model, name


def tried(subject: Subject, options: Options, classes: int) -> bool:
    """Runs a network once, and back, before a training of it begins.

    Returns:
        whether something that may learn has no part in the answer: what processes have to tell one another then.

    Raises:
        ValueError: it cannot read images of this size, its answers are no logits, or nothing of it learns.
    """
    model, preprocess = subject.model, subject.preprocess if options.mean == "model" else None
    shape = (3, options.size or 224, options.size or 224)
    if preprocess is not None:
        shape = (len(preprocess.mean), *preprocess.sides)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not learning:
        raise ValueError(f"freeze_below: expected a layer with weights at or above it, got {options.freeze_below!r}")
    if options.crops == "close_ups" and options.close_ups:
        without_last_pooling(model)
    images = torch.zeros(1, *shape).contiguous(memory_format=torch.channels_last)
    with evaluating(model), torch.enable_grad():
        try:
            logits = model(images)
        except Exception as error:
            if out_of_memory(error):
                raise
            size = f"{shape[1]} x {shape[2]}"
            raise ValueError(f"model: {subject.name} cannot read images of {size} ({reason(error)})") from error
        if not isinstance(logits, Tensor) or logits.shape != (1, classes):
            got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"model: expected logits [1, {classes}] of {subject.name}, got {got}")
        return None in torch.autograd.grad(logits.sum(), learning, allow_unused=True)


def _prepared(model: nn.Module, options: Options) -> nn.Module:
    if options.dropout is not None:
        for layer in model.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = options.dropout
    for layer in frozen(model, options.freeze_below):
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad_(False)
    return model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def frozen(model: nn.Module, below: str | None) -> Iterator[nn.Module]:
    """The modules without children that run before a layer.

    Raises:
        ValueError: there is no such layer.
    """
    if below is None:
        return
    names = layers(model)
    first = next((i for i, name in enumerate(names) if name == below or name.startswith(f"{below}.")), None)
    if first is None:
        raise ValueError(f"freeze_below: expected a layer of the network, got {below!r}; there are {', '.join(names)}")
    for name in names[:first]:
        layer = model.get_submodule(name)
        if not list(layer.children()):
            yield layer
