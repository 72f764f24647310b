"""ZFNet, the classifier of Zeiler & Fergus (Fig. 3), as a readable list of named layers."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda import ops

_MAPS = {
    "paper": (96, 256, 384, 384, 256),
    "wide": (96, 256, 512, 1024, 512),  # Table 3, "Adjust layers 3,4,5: 512,1024,512 maps"
}


class ZFNet(nn.Sequential):
    """A sequence of torch.nn layers; the stages ReLU -> pooling -> normalisation run fused wherever nobody looks
    inside.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[N,3,224,224] -> logits [N,num_classes]."""
        layers = list(self)
        x, i = input, 0
        while i < len(layers):
            stage = layers[i : i + 3]
            if _fusible(x, stage):
                pool: Any = stage[1]
                norm: Any = stage[2]
                x, _switches = ops.relu_max_pool2d_lrn(
                    x, pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode,
                    size=norm.size, alpha=norm.alpha, beta=norm.beta, k=norm.k,
                )  # fmt: skip
                i += 3
            else:
                x = layers[i](x)
                i += 1
        return x


def _fusible(x: Tensor, stage: list[nn.Module]) -> bool:
    """Whether the next three layers are ReLU, max pooling, LRN, with no hook that would miss its call."""
    return (
        not isinstance(x, torch.fx.Proxy)
        and tuple(map(type, stage)) == (nn.ReLU, nn.MaxPool2d, nn.LocalResponseNorm)
        and not any(
            layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks
            for layer in stage
        )
    )


def zfnet(num_classes: int = 1000, *, variant: str = "paper", width: float = 1.0) -> ZFNet:
    """The network of Zeiler & Fergus, Fig. 3: 224 -> 110 -> 55 -> 26 -> 13 -> 13 -> 13 -> 13 -> 6 -> fc6 -> fc7 -> fc8.

    Args:
        num_classes: outputs of fc8.
        variant: "paper" (384, 384, 256 maps in conv3-5) or "wide" (512, 1024, 512, the paper's Table 3).
        width: scales the maps of all convolutions and the size of fc6 and fc7.

    Returns:
        A module [N,3,224,224] -> [N,num_classes] with layers conv1, relu1, pool1, norm1, ..., fc8. Weights are drawn
        from a normal distribution with standard deviation 0.01, biases are 0 (section 3). Convolution 2 has stride 2:
        from 55 with 5x5 and no padding that gives the paper's 26x26. Normalisation has AlexNet's constants, in torch's
        convention (alpha divided by size).

    Raises:
        ValueError: for an unknown variant, a width or num_classes that is not positive.
    """
    if variant not in _MAPS:
        raise ValueError(f"variant: expected one of {sorted(_MAPS)}, got {variant!r}")
    if not width > 0:
        raise ValueError(f"width: expected a positive number, got {width!r}")
    if num_classes < 1:
        raise ValueError(f"num_classes: expected at least 1, got {num_classes!r}")
    a, b, c, d, e = (max(1, round(maps * width)) for maps in _MAPS[variant])
    hidden = max(1, round(4096 * width))

    def norm() -> nn.LocalResponseNorm:
        return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)

    network = ZFNet(
        OrderedDict(
            conv1=nn.Conv2d(3, a, 7, stride=2, padding=1),  # 224 -> 110
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(3, stride=2, padding=1),  # -> 55
            norm1=norm(),
            conv2=nn.Conv2d(a, b, 5, stride=2),  # -> 26
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(3, stride=2, padding=1),  # -> 13
            norm2=norm(),
            conv3=nn.Conv2d(b, c, 3, padding=1),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(c, d, 3, padding=1),
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(d, e, 3, padding=1),
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(3, stride=2),  # 13 -> 6
            flatten=nn.Flatten(),
            fc6=nn.Linear(e * 6 * 6, hidden),
            relu6=nn.ReLU(),
            drop6=nn.Dropout(0.5),
            fc7=nn.Linear(hidden, hidden),
            relu7=nn.ReLU(),
            drop7=nn.Dropout(0.5),
            fc8=nn.Linear(hidden, num_classes),
        )
    )
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
