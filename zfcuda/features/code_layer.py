"""The layer whose output is a network's code of a picture: what its last linear layer classifies."""

from __future__ import annotations

from torch import nn

from zfcuda.network.graph import submodules, unwrap
from zfcuda.network.trace import trace


def code_layer(model: nn.Module) -> str:
    """The layer that the last linear one reads, dropout aside: in AlexNet the ReLU of fc7, the notes' CNN codes.

    Raises:
        ValueError: the model has no linear layer with a layer in front of it, or cannot be followed: name a layer.
    """
    model = unwrap(model)
    there = submodules(model)
    leaves = [
        name
        for name in trace(model).layers
        if not [*there[name].children()] and not isinstance(there[name], nn.Dropout | nn.Identity)
    ]
    linear = [place for place, name in enumerate(leaves) if isinstance(there[name], nn.Linear)]
    if not linear or not linear[-1]:
        raise ValueError(
            f"layer: expected a name, since {type(model).__name__} has no linear layer behind others that its codes "
            "could be taken from; zfcuda layers lists the names"
        )
    return leaves[linear[-1] - 1]
