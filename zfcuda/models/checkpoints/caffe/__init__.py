"""Networks in Caffe's files: a deploy prototxt for the layers, a caffemodel for the weights.

``schema`` is the format, ``layers`` and ``network`` make torch modules of a prototxt, ``weights`` reads the numbers.
Needs the package protobuf.
"""

from zfcuda.models.checkpoints.caffe.network import CaffeNetwork, build
from zfcuda.models.checkpoints.caffe.norm import WithinChannelNorm
from zfcuda.models.checkpoints.caffe.weights import channel_means, layer_weights, state_dict

__all__ = [
    "CaffeNetwork",
    "WithinChannelNorm",
    "build",
    "channel_means",
    "layer_weights",
    "state_dict",
]
