"""A CUDA graph on the CPU: a stand-in for zfcuda.cuda_graph.Recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx


class Recorded:
    """The tensor operations alone are kept; all that Python decided at the recording is frozen."""

    made = 0

    def __init__(self, function: Callable[..., Sequence[Tensor]], *inputs: Tensor) -> None:
        type(self).made += 1
        function(*inputs)
        self._replay = make_fx(lambda x: function(x))(*inputs)

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        return list(self._replay(*inputs))
