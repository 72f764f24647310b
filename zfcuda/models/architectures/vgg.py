"""The VGG networks (Simonyan & Zisserman 2014) from one table.

Each function takes `num_classes`, the outputs of the last layer (a ValueError where that is not positive), and returns
a module [N,3,224,224] -> [N,num_classes] (other sizes from 32x32 up, too) with He's initial weights. Names and shapes
are those of torchvision's network of the same name, so that its weight files fit. "_bn" has batch norm after each
convolution, which the paper has not.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from zfcuda.models.architectures.initialise import he
from zfcuda.models.checks import check_num_classes

# How many 3x3 convolutions stand before each of the five poolings: columns A, B, D, E of the paper's Table 1.
_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_MAPS = (64, 128, 256, 512, 512)  # sides 224, 112, 56, 28, 14; the last pooling leaves 7


def _vgg(depth: int, num_classes: int, *, batch_norm: bool) -> nn.Sequential:
    check_num_classes(num_classes)
    features: list[nn.Module] = []
    before = 3
    for maps, count in zip(_MAPS, _CONVOLUTIONS[depth], strict=True):
        for _ in range(count):
            features.append(nn.Conv2d(before, maps, 3, padding=1))
            if batch_norm:
                features.append(nn.BatchNorm2d(maps))
            features.append(nn.ReLU(inplace=True))
            before = maps
        features.append(nn.MaxPool2d(2))
    classifier = nn.Sequential(
        nn.Linear(512 * 7 * 7, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(4096, num_classes),
    )
    network = nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*features),
            avgpool=nn.AdaptiveAvgPool2d(7),
            flatten=nn.Flatten(),
            classifier=classifier,
        )
    )
    he(network)
    return network


def vgg11(num_classes: int = 1000) -> nn.Sequential:
    """Configuration A: 8 convolutions, 3 linear layers."""
    return _vgg(11, num_classes, batch_norm=False)


def vgg11_bn(num_classes: int = 1000) -> nn.Sequential:
    """Configuration A with batch norm."""
    return _vgg(11, num_classes, batch_norm=True)


def vgg13(num_classes: int = 1000) -> nn.Sequential:
    """Configuration B: 10 convolutions, 3 linear layers."""
    return _vgg(13, num_classes, batch_norm=False)


def vgg13_bn(num_classes: int = 1000) -> nn.Sequential:
    """Configuration B with batch norm."""
    return _vgg(13, num_classes, batch_norm=True)


def vgg16(num_classes: int = 1000) -> nn.Sequential:
    """Configuration D: 13 convolutions, 3 linear layers."""
    return _vgg(16, num_classes, batch_norm=False)


def vgg16_bn(num_classes: int = 1000) -> nn.Sequential:
    """Configuration D with batch norm."""
    return _vgg(16, num_classes, batch_norm=True)


def vgg19(num_classes: int = 1000) -> nn.Sequential:
    """Configuration E: 16 convolutions, 3 linear layers."""
    return _vgg(19, num_classes, batch_norm=False)


def vgg19_bn(num_classes: int = 1000) -> nn.Sequential:
    """Configuration E with batch norm."""
    return _vgg(19, num_classes, batch_norm=True)
