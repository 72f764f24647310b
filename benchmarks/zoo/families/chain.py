"""What the small networks share: convolutions with their norm, and the end of a network."""

from __future__ import annotations

from torch import nn

CLASSES = 10


def norm_after(conv: nn.Conv2d) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """A convolution and its batch norm."""
    return conv, nn.BatchNorm2d(conv.out_channels)


def classifier(*layers: nn.Module, maps: int) -> nn.Module:
    """Layers, the mean of each of their maps, and the logits."""
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maps, CLASSES))
