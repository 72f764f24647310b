"""The layers of a network that a verb takes where none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def default_layers(model: nn.Module, image: Tensor, most: int = 8) -> list[str]:
    """Names the layers that rectify, or where there are none the convolutions that run; a few, evenly spaced."""
    from zfcuda.features.rectifiers import rectified_layers
    from zfcuda.report.layers import chosen, conv_layers

    layers = chosen(rectified_layers(model), most)
    layers = layers or [layer.name for layer in chosen(conv_layers(model, image)[0], most)]
    if not layers:
        raise ValueError(f"--layer: expected a name, since {type(model).__name__} has no ReLU and no convolution")
    return layers
