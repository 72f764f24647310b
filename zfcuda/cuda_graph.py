"""Work on a GPU that is recorded once and replayed: one CUDA graph, without Python between its kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Captured:
    """A function of tensors as a CUDA graph.

    Args:
        function: called with copies of the inputs, kept for good; it must not wait for the GPU and returns tensors.
        inputs: examples, all on one CUDA device; later ones have their shapes and dtypes.

    Raises:
        RuntimeError: the function does what cannot be captured.
    """

    _WARM_UPS = 3  # libraries choose their algorithms, and tables are copied to the GPU

    def __init__(self, function: Callable[..., Sequence[Tensor]], *inputs: Tensor) -> None:
        self._inputs = [x.clone() for x in inputs]
        with torch.cuda.device(self._inputs[0].device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(self._WARM_UPS):
                    function(*self._inputs)
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._outputs = list(function(*self._inputs))

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """The function's results for these inputs, in memory of their own."""
        with torch.cuda.device(self._inputs[0].device):
            for kept, new in zip(self._inputs, inputs, strict=True):
                kept.copy_(new)
            self._graph.replay()
            return [output.clone() for output in self._outputs]
