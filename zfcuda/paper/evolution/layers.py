"""The layers of a network that learn, and where what each says is read."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from zfcuda.network import layers as names_of
from zfcuda.report.layers import chosen, conv_layers


@dataclass(frozen=True)
class Learning:
    """A layer with weights.

    Attributes:
        name: its dotted name. output: where its activity is read: the ReLU behind it, where there is one of its own.
        maps: whether it is a convolution.
    """

    name: str
    output: str
    maps: bool


def learning(model: nn.Module, image: Tensor, *, most: int = 10) -> list[Learning]:
    """The convolutions that run, and the fully connected layers, in forward order; of more than most evenly spaced.

    image: [1,C,H,W], as the model takes it.
    """
    outputs = {layer.name: layer.output for layer in conv_layers(model, image)[0]}
    order = names_of(model)
    found = []
    for place, name in enumerate(order):
        if name in outputs:
            found.append(Learning(name, outputs[name], True))
        elif isinstance(model.get_submodule(name), nn.Linear):
            behind = order[place + 1] if place + 1 < len(order) else name
            rectified = isinstance(model.get_submodule(behind), nn.ReLU)
            found.append(Learning(name, behind if rectified else name, False))
    return chosen(found, most)
