"""Networks, their weights, and the table of their shapes."""

from zfcuda.models.accounts.memory import MemoryNeed, largest_batch, memory_need
from zfcuda.models.accounts.summary import Row, Summary, summary
from zfcuda.models.architectures import imagenet
from zfcuda.models.architectures.alexnet import alexnet, alexnet_one_tower
from zfcuda.models.architectures.caffenet import caffenet
from zfcuda.models.architectures.convolutionize import ScoreMap, convolutionize
from zfcuda.models.architectures.efficientnet_lite import efficientnet_lite0, efficientnet_lite1, efficientnet_lite2
from zfcuda.models.architectures.googlenet import googlenet
from zfcuda.models.architectures.lenet import lenet5
from zfcuda.models.architectures.local import LocallyConnected2d
from zfcuda.models.architectures.pattern import PatternError, from_pattern
from zfcuda.models.architectures.registry import NAMES
from zfcuda.models.architectures.resnet import resnet18, resnet34, resnet50
from zfcuda.models.architectures.vgg import vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from zfcuda.models.architectures.zfnet import ZFNet, zfnet
from zfcuda.models.checkpoints.convert import convert
from zfcuda.models.checkpoints.errors import WeightsError
from zfcuda.models.checkpoints.load import load
from zfcuda.models.checkpoints.match import load_weights
from zfcuda.models.pretrained.demo import load_demo

__all__ = [
    "NAMES",
    "LocallyConnected2d",
    "MemoryNeed",
    "PatternError",
    "Row",
    "ScoreMap",
    "Summary",
    "WeightsError",
    "ZFNet",
    "alexnet",
    "alexnet_one_tower",
    "caffenet",
    "convert",
    "convolutionize",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "from_pattern",
    "googlenet",
    "imagenet",
    "largest_batch",
    "lenet5",
    "load",
    "load_demo",
    "load_weights",
    "memory_need",
    "resnet18",
    "resnet34",
    "resnet50",
    "summary",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "zfnet",
]
