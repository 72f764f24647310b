"""The operators: a module each, with a typed function, its fake kernel (shapes, for torch.compile) and its derivatives.

They are differentiated backwards and forwards, by torch.func's transforms too. torch.vmap runs each in one call,
occlude image by image. Those of the engine alone have no derivative, and say so.

The only folder that touches ``torch.ops.zfcuda``. Arguments are checked once, in csrc/zfcuda.cpp.
"""

from zfcuda.ops import conv_stage as conv_stage  # registers the way back through a pooled convolution
from zfcuda.ops import fallback as fallback  # registers plain torch where there is no compiled kernel
from zfcuda.ops import grouped_patches as grouped_patches  # and this for convolutions in groups
from zfcuda.ops import patches as patches  # registers what the engine alone uses
from zfcuda.ops import pointwise as pointwise  # and its 1x1 convolution
from zfcuda.ops import texture as texture  # registers what textures are made with
from zfcuda.ops.lrn import local_response_norm
from zfcuda.ops.occlude import occlude
from zfcuda.ops.stage import relu_max_pool2d_lrn
from zfcuda.ops.switches import max_pool2d_with_switches
from zfcuda.ops.unpool import max_unpool2d

__all__ = [
    "local_response_norm",
    "max_pool2d_with_switches",
    "max_unpool2d",
    "occlude",
    "relu_max_pool2d_lrn",
]
