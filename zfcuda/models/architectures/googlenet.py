"""GoogLeNet as a readable list, with torchvision's names."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.models.architectures.initialise import he
from zfcuda.models.checks import check_num_classes
from zfcuda.network.kinds import batch_norm

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which torchvision's images come with


class ConvNorm(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, before: int, maps: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, maps, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(maps, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """Four branches on the same input, their maps side by side (Szegedy et al., Fig. 2b).

    Args:
        before: maps of the input.
        one: maps of the 1x1 branch.
        three: maps of the 3x3 branch: (its 1x1 reduction, the 3x3 after it).
        five: maps of the "5x5" branch, likewise; it is 3x3 in torchvision, so in all its weights.
        pooled: maps of the 1x1 after the pooling.
    """

    def __init__(self, before: int, one: int, three: tuple[int, int], five: tuple[int, int], pooled: int) -> None:
        super().__init__()
        self.branch1 = ConvNorm(before, one)
        self.branch2 = nn.Sequential(ConvNorm(before, three[0]), ConvNorm(*three, 3))
        self.branch3 = nn.Sequential(ConvNorm(before, five[0]), ConvNorm(*five, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), ConvNorm(before, pooled))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Recolour(nn.Module):
    """Turns ImageNet's mean and deviation into 0.5 and 0.5, which the published weights were trained with.

    It has no weights: its constants are in no state_dict.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("mean", "variance"):
            # On the CPU even where the network is built on the device "meta", for its weights to come from a file.
            self.register_buffer(name, torch.empty(3, device="cpu"), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the constants (again, after `to_empty`)."""
        with torch.no_grad():
            for i, (mean, std) in enumerate(zip(_MEAN, _STD, strict=True)):
                self.mean[i] = (0.5 - mean) / std
                self.variance[i] = (0.5 / std) ** 2

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, self.mean, self.variance, eps=0.0)


class GoogLeNet(nn.Sequential):
    """[N,3,224,224] -> logits [N,num_classes]; see :func:`googlenet`.

    Attributes:
        ignored_keys: how the names begin that torchvision's file has for the side classifiers, which are used in
            training alone.
    """

    ignored_keys = ("aux1.", "aux2.")


def googlenet(num_classes: int = 1000, *, transform_input: bool = True) -> GoogLeNet:
    """Szegedy et al. 2014, with batch norm and without the side classifiers, as torchvision has it.

    Args:
        num_classes: outputs of fc.
        transform_input: the first layer brings images of ImageNet's mean and deviation to those that the published
            weights want; torchvision does so where it loads them, and only then.

    Returns:
        A module [N,3,224,224] -> [N,num_classes] (other sizes from 15x15 up, too) with the names and shapes of
        torchvision's googlenet, so that its weight file fits but for `ignored_keys`, and He's initial weights.

    Raises:
        ValueError: for a num_classes that is not positive.
    """
    check_num_classes(num_classes)

    def pool(kernel: int) -> nn.MaxPool2d:
        return nn.MaxPool2d(kernel, stride=2, ceil_mode=True)

    layers: dict[str, nn.Module] = {"transform_input": Recolour()} if transform_input else {}
    layers |= {
        "conv1": ConvNorm(3, 64, 7, 2),  # 224 -> 112
        "maxpool1": pool(3),  # -> 56
        "conv2": ConvNorm(64, 64),
        "conv3": ConvNorm(64, 192, 3),
        "maxpool2": pool(3),  # -> 28
        "inception3a": Inception(192, 64, (96, 128), (16, 32), 32),  # 256 maps
        "inception3b": Inception(256, 128, (128, 192), (32, 96), 64),  # 480
        "maxpool3": pool(3),  # -> 14
        "inception4a": Inception(480, 192, (96, 208), (16, 48), 64),  # 512
        "inception4b": Inception(512, 160, (112, 224), (24, 64), 64),  # 512
        "inception4c": Inception(512, 128, (128, 256), (24, 64), 64),  # 512
        "inception4d": Inception(512, 112, (144, 288), (32, 64), 64),  # 528
        "inception4e": Inception(528, 256, (160, 320), (32, 128), 128),  # 832
        "maxpool4": pool(2),  # -> 7
        "inception5a": Inception(832, 256, (160, 320), (32, 128), 128),  # 832
        "inception5b": Inception(832, 384, (192, 384), (48, 128), 128),  # 1024
        "avgpool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "dropout": nn.Dropout(0.2),
        "fc": nn.Linear(1024, num_classes),
    }
    network = GoogLeNet(OrderedDict(layers))
    he(network)
    return network
