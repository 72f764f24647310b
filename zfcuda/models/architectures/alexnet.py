"""AlexNet in the two forms without groups, as readable lists: torchvision's, and the one that ZFNet starts from."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from zfcuda.models.architectures.initialise import he, small_normal
from zfcuda.models.architectures.stages import FusedSequential
from zfcuda.models.checks import check_num_classes


def alexnet(num_classes: int = 1000) -> nn.Sequential:
    """Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks": one tower, no normalisation.

    Args:
        num_classes: outputs of the last layer.

    Returns:
        A module [N,3,224,224] -> [N,num_classes] (other sizes from 63x63 up, too) with the names and shapes of
        torchvision's alexnet, so that its weight files fit, and He's initial weights.

    Raises:
        ValueError: for a num_classes that is not positive.
    """
    check_num_classes(num_classes)
    features = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),  # 224 -> 55
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),  # -> 27
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),  # -> 13
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),  # -> 6
    )
    classifier = nn.Sequential(
        nn.Dropout(),
        nn.Linear(256 * 6 * 6, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
        nn.Linear(4096, num_classes),
    )
    network = nn.Sequential(
        OrderedDict(features=features, avgpool=nn.AdaptiveAvgPool2d(6), flatten=nn.Flatten(), classifier=classifier)
    )
    he(network)
    return network


def alexnet_one_tower(num_classes: int = 1000, *, width: float = 1.0) -> FusedSequential:
    """Krizhevsky et al. 2012 on one GPU: dense connections where the original is split in two, from which Zeiler &
    Fergus (section 3) went on to ZFNet. Pooling comes before normalisation, as in ZFNet.

    Args:
        num_classes: outputs of fc8.
        width: scales the maps of all convolutions and the size of fc6 and fc7, as that of ``zfnet`` does.

    Returns:
        A module [N,3,224,224] -> [N,num_classes], layers named as those of ZFNet, weights drawn as for ZFNet.

    Raises:
        ValueError: for a width or num_classes that is not positive.
    """
    if not width > 0:
        raise ValueError(f"width: expected a positive number, got {width!r}")
    check_num_classes(num_classes)
    a, b, c, d, e, hidden = (max(1, round(maps * width)) for maps in (96, 256, 384, 384, 256, 4096))

    def norm() -> nn.LocalResponseNorm:
        return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)

    network = FusedSequential(
        OrderedDict(
            conv1=nn.Conv2d(3, a, 11, stride=4, padding=2),  # 224 -> 55
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(3, stride=2),  # -> 27
            norm1=norm(),
            conv2=nn.Conv2d(a, b, 5, padding=2),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(3, stride=2),  # -> 13
            norm2=norm(),
            conv3=nn.Conv2d(b, c, 3, padding=1),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(c, d, 3, padding=1),
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(d, e, 3, padding=1),
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(3, stride=2),  # -> 6
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
    small_normal(network)
    return network
