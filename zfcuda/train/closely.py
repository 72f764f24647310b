"""The network that close-ups are trained with."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from zfcuda.models import ZFNet


def without_last_pooling(network: nn.Module) -> ZFNet:
    """All layers of a ZFNet but pool5: it reads images of 112 pixels, whose conv5 map is 6 x 6 already.

    Raises:
        ValueError: the network is no ZFNet.
    """
    if not isinstance(network, ZFNet):
        raise ValueError(f"close_ups: expected a ZFNet, got {type(network).__name__}")
    return ZFNet(OrderedDict((name, layer) for name, layer in network.named_children() if name != "pool5"))
