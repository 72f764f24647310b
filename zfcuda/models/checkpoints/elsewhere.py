"""Networks that are not of this package: torchvision's, timm's, and the user's own."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from torch import nn

from zfcuda.complaint import reason
from zfcuda.models.architectures import imagenet
from zfcuda.models.architectures.last_layer import with_classes
from zfcuda.models.checkpoints import external
from zfcuda.models.checkpoints.errors import WeightsError
from zfcuda.models.checkpoints.identify import class_count
from zfcuda.models.checkpoints.loaded import Loaded, agree, describe, fill, names, same
from zfcuda.models.checkpoints.read import read_weights
from zfcuda.models.checkpoints.trained import Trained, read_trained


def external_network(package: str, name: str, weights: Path | None, num_classes: int | None) -> Loaded:
    """A network of torchvision or timm, with the weights in a file or random ones."""
    other = external.find(package, name)
    if other is None:
        alike = ", ".join(external.near(package, name))
        raise ValueError(f"{package} has no network {name!r}" + (f"; did you mean {alike}?" if alike else ""))
    trained = None if weights is None else read_trained(weights)
    if trained is not None and weights is not None:
        same(f"{package}/{name}", trained, weights)
        agree(num_classes, trained.num_classes, weights)
        num_classes = trained.num_classes
    tensors = None if weights is None else read_weights(weights)
    count = num_classes
    if tensors is not None and weights is not None:
        try:
            few, more = (external.shapes_with(other.build, n) for n in (2, 3))
        except Exception:  # one that cannot be built without memory, or takes no num_classes
            pass
        else:
            count = class_count(few, more, tensors) or num_classes
            agree(num_classes, count, weights)
    try:
        model = other.build(**({} if count is None else {"num_classes": count}))
    except Exception as error:
        raise ValueError(f"{package}/{name}: cannot be built: {reason(error)}") from error
    if tensors is not None and weights is not None:
        fill(model, tensors, weights)
    preprocess, size, classes = other.describe(model)
    named = list(classes) if classes and count in (None, len(classes)) else None
    if named == imagenet.classes():
        named = imagenet.classes()  # with synonyms
    if trained is not None:
        named, preprocess, size = names(trained), trained.preprocess, trained.input_size or size
    describe(model, named, preprocess)
    title = f"{package}/{name}" + ("" if weights is None else f" with {weights.name}")
    options = {} if count is None else {"num_classes": count}
    return Loaded(model, title, f"{package}/{name}", weights is not None, count, size, weights, options)


def own_network(name: str, weights: Path | None, num_classes: int | None) -> Loaded:
    """A network of the user's own Python, with the weights in a file or its own."""
    trained = None if weights is None else read_trained(weights)
    if trained is None or weights is None:
        model = external.from_python(name, num_classes)
        if weights is not None:
            fill(model, read_weights(weights), weights)
        size: Any = getattr(model, "input_size", None)
        title = name if weights is None else f"{name} with {weights.name}"
        return Loaded(model, title, None, True, num_classes, size, weights)
    agree(num_classes, trained.num_classes, weights)
    model = _filled(external.from_python(name, None, trained.options), trained, weights)
    describe(model, names(trained), trained.preprocess)
    size = trained.input_size or getattr(model, "input_size", None)
    title = f"{name} with {weights.name}"
    return Loaded(model, title, None, True, trained.num_classes, size, weights, trained.options)


def _filled(model: nn.Module, trained: Trained, file: Path) -> nn.Module:
    """The network with the weights of a training, which may have begun its last layer anew, for other classes.

    Whether they fit decides, not the name in the file: code moves.
    """
    tensors = read_weights(file)
    try:
        fill(model, tensors, file)
        return model
    except WeightsError as error:
        misfit = error
    try:
        model, _ = with_classes(deepcopy(model), trained.num_classes or 0)  # the user's own stays as it is
        fill(model, tensors, file)
    except ValueError:
        raise WeightsError(f"{misfit}; the file says that they are of {trained.network}") from None
    return model
