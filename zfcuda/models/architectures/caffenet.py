"""CaffeNet, the AlexNet of Caffe's model zoo, as a readable list under its layer names."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from zfcuda.models.architectures.initialise import he
from zfcuda.models.architectures.stages import FusedSequential
from zfcuda.models.checks import check_num_classes


def caffenet(num_classes: int = 1000) -> FusedSequential:
    """Caffe's bvlc_reference_caffenet: Krizhevsky et al. 2012 with its groups, but pooling before normalisation.

    Args:
        num_classes: outputs of fc8.

    Returns:
        A module [N,3,227,227] -> [N,num_classes] with Caffe's layer names and its shapes of weights, so that the
        published weights fit; He's initial weights. The published weights want pixels in BGR, 0 to 255, minus their
        mean: :meth:`zfcuda.data.Preprocess.caffe`.

    Raises:
        ValueError: for a num_classes that is not positive.
    """
    check_num_classes(num_classes)

    def pool() -> nn.MaxPool2d:
        return nn.MaxPool2d(3, stride=2, ceil_mode=True)  # Caffe rounds up; from 227 on nothing is left over

    def norm() -> nn.LocalResponseNorm:
        return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)

    network = FusedSequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 96, 11, stride=4),  # 227 -> 55
            relu1=nn.ReLU(),
            pool1=pool(),  # -> 27
            norm1=norm(),
            conv2=nn.Conv2d(96, 256, 5, padding=2, groups=2),
            relu2=nn.ReLU(),
            pool2=pool(),  # -> 13
            norm2=norm(),
            conv3=nn.Conv2d(256, 384, 3, padding=1),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 384, 3, padding=1, groups=2),
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(384, 256, 3, padding=1, groups=2),
            relu5=nn.ReLU(),
            pool5=pool(),  # -> 6
            flatten=nn.Flatten(),
            fc6=nn.Linear(256 * 6 * 6, 4096),
            relu6=nn.ReLU(),
            drop6=nn.Dropout(0.5),
            fc7=nn.Linear(4096, 4096),
            relu7=nn.ReLU(),
            drop7=nn.Dropout(0.5),
            fc8=nn.Linear(4096, num_classes),
        )
    )
    he(network)
    return network
