"""LeNet-5, for digits, as a readable list of named layers."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from zfcuda.models.architectures.initialise import he
from zfcuda.models.checks import check_num_classes


def lenet5(num_classes: int = 10) -> nn.Sequential:
    """LeCun et al. 1998, Fig. 2, as it is built today: ReLU for tanh, max pooling for the trained averages, every map
    of conv2 sees every map of pool1, and a linear layer for the radial basis functions at the end.

    Args:
        num_classes: outputs of fc5.

    Returns:
        A module [N,1,32,32] -> [N,num_classes] with He's initial weights; 61,706 parameters for ten classes.

    Raises:
        ValueError: for a num_classes that is not positive.
    """
    check_num_classes(num_classes)
    network = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 6, 5),  # 32 -> 28
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),  # -> 14
            conv2=nn.Conv2d(6, 16, 5),  # -> 10
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),  # -> 5
            flatten=nn.Flatten(),
            fc3=nn.Linear(16 * 5 * 5, 120),  # the paper's C5: on a map of 5x5, a 5x5 convolution is a linear layer
            relu3=nn.ReLU(),
            fc4=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            fc5=nn.Linear(84, num_classes),
        )
    )
    he(network)
    return network
