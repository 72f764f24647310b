"""ZFNet, the classifier of Zeiler & Fergus (Fig. 3), as a readable list of named layers."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from zfcuda.models.architectures.initialise import small_normal
from zfcuda.models.architectures.stages import FusedSequential
from zfcuda.models.checks import check_num_classes

_PAPER = (96, 256, 384, 384, 256)
_WIDE = (96, 256, 512, 1024, 512)
# What each variant has: maps of conv1-5, units of fc6 and fc7, layers that are left out.
_VARIANTS: dict[str, tuple[tuple[int, ...], int, tuple[int, ...]]] = {
    "paper": (_PAPER, 4096, ()),
    "wide": (_WIDE, 4096, ()),  # Table 3, "Adjust layers 3,4,5: 512,1024,512 maps"
    "alexnet_conv1": (_PAPER, 4096, ()),  # Fig. 6 (b) and (d)
    # Table 3, "Removed ..." and "Adjust layers 6,7: ..."
    "without_3_4": (_PAPER, 4096, (3, 4)),
    "without_7": (_PAPER, 4096, (7,)),
    "without_6_7": (_PAPER, 4096, (6, 7)),
    "without_3_4_6_7": (_PAPER, 4096, (3, 4, 6, 7)),
    "hidden_2048": (_PAPER, 2048, ()),
    "hidden_8192": (_PAPER, 8192, ()),
    "wide_hidden_8192": (_WIDE, 8192, ()),
}


class ZFNet(FusedSequential):
    """[N,3,224,224] -> logits [N,num_classes]; see :func:`zfnet`."""


def zfnet(num_classes: int = 1000, *, variant: str = "paper", width: float = 1.0) -> ZFNet:
    """The network of Zeiler & Fergus, Fig. 3: 224 -> 110 -> 55 -> 26 -> 13 -> 13 -> 13 -> 13 -> 6 -> fc6 -> fc7 -> fc8.

    Args:
        num_classes: outputs of fc8.
        variant: "paper" (384, 384, 256 maps in conv3-5, 4096 units in fc6 and fc7);
            "alexnet_conv1": "paper" with the first layer of AlexNet, 11x11 with stride 4, for the comparison of Fig. 6:
            224 -> 55 -> 28 -> 26 -> 13. Its conv2 has stride 1 and padding 1, so that from there on all shapes, and the
            16 pixels from one unit of conv5 to the next, are the paper's;
            those of Table 3: "wide" (512, 1024, 512 maps), "hidden_2048", "hidden_8192" (units in fc6 and fc7),
            "wide_hidden_8192" (both), "without_3_4", "without_7", "without_6_7", "without_3_4_6_7" (such layers, with
            their ReLU and dropout, are left out).
        width: scales the maps of all convolutions and the size of fc6 and fc7.

    Returns:
        A module [N,3,224,224] -> [N,num_classes] with layers conv1, relu1, pool1, norm1, ..., fc8. Weights are drawn
        from a normal distribution with standard deviation 0.01, biases are 0 (section 3). Convolution 2 has stride 2:
        from 55 with 5x5 and no padding that gives the paper's 26x26. Normalisation has AlexNet's constants, in torch's
        convention (alpha divided by size).

    Raises:
        ValueError: for an unknown variant, a width or num_classes that is not positive.
    """
    if variant not in _VARIANTS:
        raise ValueError(f"variant: expected one of {sorted(_VARIANTS)}, got {variant!r}")
    if not width > 0:
        raise ValueError(f"width: expected a positive number, got {width!r}")
    check_num_classes(num_classes)
    full, units, without = _VARIANTS[variant]
    a, b, c, d, e = (max(1, round(maps * width)) for maps in full)
    hidden = max(1, round(units * width))
    into5 = d if 4 not in without else b
    codes = e * 6 * 6
    into7 = hidden if 6 not in without else codes
    into8 = into7 if 7 in without else hidden

    def norm() -> nn.LocalResponseNorm:
        return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)

    if variant == "alexnet_conv1":
        conv1 = nn.Conv2d(3, a, 11, stride=4, padding=2)  # 224 -> 55, and 28 after pool1
        conv2 = nn.Conv2d(a, b, 5, padding=1)  # -> 26
    else:
        conv1 = nn.Conv2d(3, a, 7, stride=2, padding=1)  # 224 -> 110, and 55 after pool1
        conv2 = nn.Conv2d(a, b, 5, stride=2)  # -> 26
    layers = OrderedDict(
        conv1=conv1,
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, stride=2, padding=1),
        norm1=norm(),
        conv2=conv2,
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(3, stride=2, padding=1),  # 26 -> 13
        norm2=norm(),
        conv3=nn.Conv2d(b, c, 3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(c, d, 3, padding=1),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(into5, e, 3, padding=1),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, stride=2),  # 13 -> 6
        flatten=nn.Flatten(),
        fc6=nn.Linear(codes, hidden),
        relu6=nn.ReLU(),
        drop6=nn.Dropout(0.5),
        fc7=nn.Linear(into7, hidden),
        relu7=nn.ReLU(),
        drop7=nn.Dropout(0.5),
        fc8=nn.Linear(into8, num_classes),
    )
    for number in without:
        for kind in ("conv", "fc", "relu", "drop"):
            layers.pop(f"{kind}{number}", None)
    network = ZFNet(layers)
    small_normal(network)
    return network
