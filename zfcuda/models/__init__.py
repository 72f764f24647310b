"""Networks, their weights, and the table of their shapes."""

from zfcuda.models import imagenet
from zfcuda.models.alexnet import alexnet, alexnet_one_tower
from zfcuda.models.caffenet import caffenet
from zfcuda.models.convert import convert
from zfcuda.models.convolutionize import ScoreMap, convolutionize
from zfcuda.models.demo import load_demo
from zfcuda.models.googlenet import googlenet
from zfcuda.models.lenet import lenet5
from zfcuda.models.load import load
from zfcuda.models.local import LocallyConnected2d
from zfcuda.models.memory import MemoryNeed, largest_batch, memory_need
from zfcuda.models.names import NAMES
from zfcuda.models.pattern import PatternError, from_pattern
from zfcuda.models.resnet import resnet18, resnet34, resnet50
from zfcuda.models.summary import Row, Summary, summary
from zfcuda.models.vgg import vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from zfcuda.models.weights import WeightsError, load_weights
from zfcuda.models.zfnet import ZFNet, zfnet

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
