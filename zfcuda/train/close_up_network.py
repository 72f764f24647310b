"""The network that close-ups are trained with."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from zfcuda.models.architectures.stages import FusedSequential


def without_last_pooling(network: nn.Module) -> FusedSequential:
    """All layers of a ZFNet, or of AlexNet in one tower, but pool5: it reads images of 112 pixels, whose conv5 map is
    6 x 6 already.

    Raises:
        ValueError: the network is neither.
    """
    layers = OrderedDict(network.named_children())
    if not isinstance(network, FusedSequential) or layers.pop("pool5", None) is None:
        raise ValueError(f"close_ups: expected a ZFNet, got {type(network).__name__}")
    return FusedSequential(layers)


class Forward(nn.Module):
    """A network's forward, or that of its twin for close-ups: one module, so that DistributedDataParallel has both.

    Args:
        network: images [N,C,H,W] -> logits [N,K].
        close: the same layers but for those without parameters; None: there are no close-ups.
    """

    def __init__(self, network: nn.Module, close: nn.Module | None = None) -> None:
        super().__init__()
        self.network, self.close = network, close

    def forward(self, images: Tensor, closely: bool = False) -> Tensor:
        logits: Tensor = self.close(images) if closely and self.close is not None else self.network(images)
        return logits
