"""The last layer of a network, which tells its classes apart."""

from __future__ import annotations

from torch import nn

from zfcuda.models.checks import check_num_classes
from zfcuda.network import layers


def with_classes(model: nn.Module, classes: int, *, anew: bool = False) -> tuple[nn.Module, str | None]:
    """A network with a last layer for so many classes: its own, or a new one of zeros, and that one's name.

    Args:
        anew: a new one also where its own has as many outputs, of other classes.

    Raises:
        ValueError: it has no last layer, fully connected or a convolution; or no class is asked for.
    """
    check_num_classes(classes)
    found = [name for name in layers(model) if isinstance(model.get_submodule(name), nn.Linear | nn.Conv2d)]
    if not found:
        raise ValueError("model: expected a network with a last linear layer, found none")
    name = found[-1]
    last = model.get_submodule(name)
    if isinstance(last, nn.Linear):
        if last.out_features == classes and not anew:
            return model, None
        fresh: nn.Module = nn.Linear(last.in_features, classes, last.bias is not None)
    else:
        assert isinstance(last, nn.Conv2d)
        if last.out_channels == classes and not anew:
            return model, None
        fresh = nn.Conv2d(last.in_channels, classes, last.kernel_size, bias=last.bias is not None)  # type: ignore[arg-type]
    for parameter in fresh.parameters():
        nn.init.zeros_(parameter)
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, fresh)
    return model, name
