"""One small network of each family, to read and to try: a few blocks as the family's, for images of 32 x 32.

`FAMILIES[name]()` is in eval mode and has random weights, the same at every call. What a family has beyond these blocks
is more of them; docs/networks.md has the published networks.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.zoo.families import attention, joined, mobile, residual
from benchmarks.zoo.made import picture, randomise

SIDE = 32

_BUILD: dict[str, Callable[[], nn.Module]] = {
    "mobilenet_v2": lambda: mobile.inverted(nn.ReLU6),
    "mobilenet_v3": lambda: mobile.inverted(nn.Hardswish, nn.Hardsigmoid),
    "efficientnet": lambda: mobile.inverted(nn.SiLU, nn.Sigmoid),
    "efficientnet_lite": mobile.same_padded,
    "shufflenet": mobile.shufflenet,
    "ghostnet": mobile.ghostnet,
    "xception": mobile.xception,
    "resnext": residual.resnext,
    "res2net": residual.res2net,
    "nfnet": residual.nfnet,
    "big_transfer": residual.big_transfer,
    "antialiased": residual.antialiased,
    "repvgg": residual.repvgg,
    "squeezenet": joined.squeezenet,
    "densenet": joined.densenet,
    "inception": joined.inception,
    "normalised": joined.normalised,
    "dpn": joined.dpn,
    "vovnet": joined.vovnet,
    "cspnet": joined.cspnet,
    "hrnet": joined.hrnet,
    "convnext": attention.convnext,
    "poolformer": attention.poolformer,
    "mixer": attention.mixer,
    "vit": attention.vit,
    "swin": attention.swin,
}


def _made(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def network() -> nn.Module:
        network = build()
        randomise(network, images=torch.cat([picture(SIDE, seed) for seed in range(4)]))
        return network

    return network


FAMILIES: dict[str, Callable[[], nn.Module]] = {name: _made(build) for name, build in _BUILD.items()}
