"""What is trained: a network for these classes, its first weights, and what of it stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from zfcuda.data.preprocess import Preprocess
from zfcuda.data.preprocess_facts import as_ours
from zfcuda.models.architectures.initialise import he, small_normal
from zfcuda.models.architectures.last_layer import with_classes
from zfcuda.models.architectures.registry import entry, is_name, scales
from zfcuda.models.checkpoints.load import find
from zfcuda.models.checkpoints.loaded import Loaded
from zfcuda.network import layers
from zfcuda.train.generators import seed_generators
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


def subject(options: Options, classes: int, names: Sequence[str] = ()) -> Subject:
    """The network that options name, for a number of classes, with its first weights drawn from the options' seed.

    Args:
        names: what the classes are called: weights of as many others lose their last layer, too. Empty: not known.

    Raises:
        ValueError: no such network, weights of another one, a layer to freeze below that it does not have.
    """
    seed_generators(options.seed)  # a network of one's own may draw from any
    name = options.model
    if options.weights is None:
        shape = {"width": options.width} if scales(name) and options.width not in (None, 1.0) else {}
        if is_name(name):
            model: nn.Module = entry(name).build(classes, **shape)  # type: ignore[call-arg]
        else:
            loaded = _found(name)
            name = loaded.origin or name
            shape = dict(loaded.options)
            model = with_classes(loaded.model, classes)[0]
        _initialise(model, options)
        return Subject(_prepared(model, options), name, {**shape, "num_classes": classes}, None)
    loaded = _found(name, None if options.weights == PRETRAINED else options.weights)
    if not loaded.trained:
        raise ValueError(f"weights: {name} has none that are installed; name a file")
    preprocess = as_ours(getattr(loaded.model, "preprocess", None))
    known = getattr(loaded.model, "classes", None) or names
    model, begun = with_classes(loaded.model, classes, anew=bool(names) and list(known) != list(names))
    built = {**loaded.options, "num_classes": classes}
    return Subject(_prepared(model, options), loaded.origin or name, built, preprocess, begun)


def _found(name: str, weights: str | None = None) -> Loaded:
    """What a name names; an error begins with the option that is wrong."""
    try:
        return find(name, weights=weights)
    except ValueError as error:
        option = "model" if weights is None else "weights"
        raise ValueError(f"{option}: {str(error).removeprefix('name: ')}") from error


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
    """The modules that have run, with all that they contain, before a layer does.

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
        yield model.get_submodule(name)
