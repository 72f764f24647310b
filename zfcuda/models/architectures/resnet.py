"""The residual networks as readable lists, with torchvision's names.

Each function takes `num_classes`, the outputs of fc (a ValueError where that is not positive), and returns a module
[N,3,224,224] -> [N,num_classes] (other sizes from 1x1 up, too) with He's initial weights. Names and shapes are those of
torchvision's network of the same name, so that its weight files fit.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from zfcuda.models.architectures.initialise import he
from zfcuda.models.checks import check_num_classes


class BasicBlock(nn.Module):
    """Two 3x3 convolutions added to the input (He et al. 2015, Fig. 5 left): `before` -> `maps` maps."""

    expansion = 1

    def __init__(self, before: int, maps: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, maps, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(maps)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(maps, maps, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(maps)
        self.downsample = _shortcut(before, maps, stride)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        residual += x if self.downsample is None else self.downsample(x)
        return self.relu(residual)


class Bottleneck(nn.Module):
    """1x1 to fewer maps, 3x3, 1x1 to four times as many, added to the input (Fig. 5 right): -> 4 `maps` maps.

    The stride is in the 3x3, where torchvision has it; the paper has it in the first 1x1.
    """

    expansion = 4

    def __init__(self, before: int, maps: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, maps, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(maps)
        self.conv2 = nn.Conv2d(maps, maps, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(maps)
        self.conv3 = nn.Conv2d(maps, 4 * maps, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * maps)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(before, 4 * maps, stride)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        residual += x if self.downsample is None else self.downsample(x)
        return self.relu(residual)


def _shortcut(before: int, after: int, stride: int) -> nn.Sequential | None:
    """What the input passes through where its shape changes; None where it is added as it is."""
    if stride == 1 and before == after:
        return None
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


def _stage(block: type[BasicBlock | Bottleneck], before: int, maps: int, count: int, stride: int) -> nn.Sequential:
    after = maps * block.expansion
    return nn.Sequential(block(before, maps, stride), *(block(after, maps) for _ in range(count - 1)))


def resnet(block: type[BasicBlock | Bottleneck], blocks: tuple[int, int, int, int], num_classes: int) -> nn.Sequential:
    """A residual network of any depth, with so many blocks of one kind in each stage."""
    check_num_classes(num_classes)
    wider = block.expansion
    network = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),  # 224 -> 112
            bn1=nn.BatchNorm2d(64),
            relu=nn.ReLU(inplace=True),
            maxpool=nn.MaxPool2d(3, stride=2, padding=1),  # -> 56
            layer1=_stage(block, 64, 64, blocks[0], stride=1),
            layer2=_stage(block, 64 * wider, 128, blocks[1], stride=2),  # -> 28
            layer3=_stage(block, 128 * wider, 256, blocks[2], stride=2),  # -> 14
            layer4=_stage(block, 256 * wider, 512, blocks[3], stride=2),  # -> 7
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(512 * wider, num_classes),
        )
    )
    he(network)
    return network


def resnet18(num_classes: int = 1000) -> nn.Sequential:
    """He et al. 2015, Table 1, 18 layers."""
    return resnet(BasicBlock, (2, 2, 2, 2), num_classes)


def resnet34(num_classes: int = 1000) -> nn.Sequential:
    """He et al. 2015, Table 1, 34 layers."""
    return resnet(BasicBlock, (3, 4, 6, 3), num_classes)


def resnet50(num_classes: int = 1000) -> nn.Sequential:
    """He et al. 2015, Table 1, 50 layers, with bottlenecks."""
    return resnet(Bottleneck, (3, 4, 6, 3), num_classes)
