"""Work on a GPU that is recorded once and replayed: one CUDA graph, without Python between its kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.network.graph import first_line
from zfcuda.network.hooks import hooked
from zfcuda.network.structure import structure


class Replay:
    """A model's work on images of one size: recorded at the first image, replayed for those that follow.

    The weights are read at each replay. What was recorded is made anew when a parameter or buffer is replaced by
    another tensor, when a module, a function or a setting of the model is another, and when torch multiplies in another
    precision. Nothing is recorded on a CPU, nor while the model has hooks, which a replay would not run.

    Args:
        model: whose weights the work reads.
        work: called with a copy of the image; it must not wait for the GPU and returns tensors.
        renewing: whether torch's own hooks, which renew the weights, count as hooks too.

    Attributes:
        refused: why the work cannot be recorded, once that was tried; else "".
    """

    def __init__(self, model: nn.Module, work: Callable[[Tensor], Sequence[Tensor]], *, renewing: bool = True) -> None:
        self._model, self._work, self._renewing = model, work, renewing
        self._recording: Recording | None = None
        self._recorded: Any = None  # all that decided the recording
        self.refused = ""

    def __call__(self, image: Tensor) -> list[Tensor] | None:
        """The results for this image, in memory of their own; None: they have to be computed step by step."""
        if not _has_graphs(image) or self.refused or hooked(self._model, renewing=self._renewing):
            return None
        try:
            with torch.no_grad():
                if self._recording is None or self._deciding() != self._recorded:
                    self._recording = Recording(self._work, image)
                    self._recorded = self._deciding()  # after: what the forward counts by itself is no change
                results = self._recording(image)
            return [result.clone() for result in results]
        except Exception as error:  # out of memory too: a graph keeps all of its own, step by step takes less
            self.forget()
            self.refused = first_line(error)
            return None

    def _deciding(self) -> tuple[Any, ...]:
        """All that decides what is recorded."""
        memory = [t.data_ptr() for t in (*self._model.parameters(), *self._model.buffers())]
        return memory, structure(self._model), _settings()

    def forget(self) -> None:
        """Lets go of what was recorded; the next image is recorded anew."""
        self._recording = None


class Recording:
    """A function of one tensor as a CUDA graph.

    Args:
        function: called with a copy of the example, kept for good.
        example: on a CUDA device; later ones have its shape and dtype.

    Raises:
        RuntimeError: the function does what cannot be recorded.
    """

    _WARM_UPS = 3  # libraries choose their algorithms, and tables are copied to the GPU

    def __init__(self, function: Callable[[Tensor], Sequence[Tensor]], example: Tensor) -> None:
        self._input = example.clone()
        with torch.cuda.device(self._input.device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(self._WARM_UPS):
                    function(self._input)
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._outputs = list(function(self._input))

    def __call__(self, example: Tensor) -> list[Tensor]:
        """The function's results, in memory that the next call overwrites."""
        with torch.cuda.device(self._input.device):
            self._input.copy_(example)
            self._graph.replay()
        return self._outputs


def _settings() -> tuple[Any, ...]:
    """torch's own settings that choose kernels."""
    backends: Any = torch.backends
    return (
        torch.is_autocast_enabled("cuda"),
        torch.get_autocast_dtype("cuda"),
        torch.are_deterministic_algorithms_enabled(),
        backends.cudnn.enabled,
        backends.cudnn.deterministic,
        backends.cudnn.conv.fp32_precision,
        backends.cuda.matmul.fp32_precision,
    )


def _has_graphs(image: Tensor) -> bool:
    return image.is_cuda
