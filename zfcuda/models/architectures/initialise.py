"""Weights to start training from."""

from __future__ import annotations

from torch import nn


def he(network: nn.Module) -> None:
    """He et al. 2015, section 2.2: normal with variance 2 / fan-in, biases 0; batch norms start as the identity.

    Through layers with ReLUs the activations then neither die nor explode, however deep the network.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def small_normal(network: nn.Module, deviation: float = 0.01) -> None:
    """Zeiler & Fergus, section 3: normal with standard deviation 0.01, biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
