"""Well-known CNNs, with the layer names and state-dict keys of torchvision, so that its weight files fit.

`NETWORKS[name](num_classes)` is in eval mode and has random weights, the same at every call: He's, and statistics of
the batch norms as they would be for natural contrasts, so that activations neither die nor explode.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from benchmarks.zoo.branches import densenet121, googlenet, inception_like, squeezenet1_1
from benchmarks.zoo.chains import alexnet, vgg11_bn, vgg16
from benchmarks.zoo.made import picture, randomise
from benchmarks.zoo.sums import mobilenet_v2, resnet18, resnet50, se_resnet

__all__ = [
    "NETWORKS", "alexnet", "densenet121", "googlenet", "inception_like", "mobilenet_v2", "picture", "randomise",
    "resnet18", "resnet50", "se_resnet", "squeezenet1_1", "vgg11_bn", "vgg16",
]  # fmt: skip

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    build.__name__: build
    for build in (
        alexnet, vgg16, vgg11_bn, resnet18, resnet50, googlenet, squeezenet1_1, densenet121, mobilenet_v2,
        inception_like, se_resnet,
    )
}  # fmt: skip
