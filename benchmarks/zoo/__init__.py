"""Well-known CNNs, with the layer names and state-dict keys of torchvision, so that its weight files fit.

They are those of zfcuda.models, and some that only the tests and benchmarks need. `NETWORKS[name](num_classes)` is in
eval mode and has random weights, the same at every call: He's, and statistics of the batch norms as they would be for
natural contrasts, so that activations neither die nor explode.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from benchmarks.zoo.branches import densenet121, inception_like, squeezenet1_1
from benchmarks.zoo.made import made, picture, randomise
from benchmarks.zoo.sums import mobilenet_v2, se_resnet
from zfcuda import models

__all__ = ["NETWORKS", "made", "picture", "randomise"]


def _of_package(build: Callable[[int], nn.Module]) -> Callable[..., nn.Module]:
    def network(num_classes: int = 1000) -> nn.Module:
        return made(lambda: build(num_classes))

    return network


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "alexnet": _of_package(models.alexnet),
    "vgg16": _of_package(models.vgg16),
    "vgg11_bn": _of_package(models.vgg11_bn),
    "resnet18": _of_package(models.resnet18),
    "resnet50": _of_package(models.resnet50),
    "googlenet": _of_package(models.googlenet),
    "squeezenet1_1": squeezenet1_1,
    "densenet121": densenet121,
    "mobilenet_v2": mobilenet_v2,
    "inception_like": inception_like,
    "se_resnet": se_resnet,
}
