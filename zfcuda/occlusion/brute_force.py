"""Brute force: every occluded image through the whole network, many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.independence import coupling
from zfcuda.memory.budget import ShrinkingBatches
from zfcuda.memory.forward import ForwardMemory
from zfcuda.network.graph import submodules
from zfcuda.network.intact import Watching, restoring
from zfcuda.network.remembered import remembered
from zfcuda.network.trace import RECORDING
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.output import ModelWithOutput, scores_of
from zfcuda.occlusion.window_outputs import WindowOutputs

# Larger batches gain nothing. On a CPU their maps leave the cache, and pass the size from which malloc takes fresh
# pages for each: with 64 at a time half of the time were page faults. A GPU is full.
_LARGEST = {"cpu": 16, "cuda": 1024}


class WatchedModel:
    """Runs the network, and watches a layer on the way: its last call's output, reduced to one number per unit."""

    def __init__(self, module: nn.Module, layer: str | None, dtype: torch.dtype | None) -> None:
        self.module, self.layer = module, layer
        self.dtype = None if dtype == torch.float32 else dtype
        self.activity: Tensor | None = None  # [n,units]
        self.memory: ForwardMemory | None = None  # what one image takes, once measured; None as well where it cannot be

    def __call__(self, images: Tensor) -> Tensor:
        """Runs images [n,C,H,W]. Returns float32 [n,classes]."""
        self.activity = None
        cast: Any = nullcontext() if self.dtype is None else torch.autocast(images.device.type, self.dtype)
        with self._watched(), cast:
            output = self.module(images)
        return scores_of(output, len(images), picked=isinstance(self.module, ModelWithOutput))

    def measure(self, image: Tensor) -> Tensor:
        """The same for one image [1,C,H,W], the first time noting what that takes in memory."""
        if self.memory is not None:
            return self(image)
        memory = ForwardMemory(image)
        try:
            with memory:
                logits = self(image)
        except Exception:  # whatever cannot run under a dispatch mode; an error of the model's own comes again
            return self(image)
        self.memory = memory
        return logits

    def coupling(self, image: Tensor) -> str | None:
        """Says what couples the images of a batch of this one's kind, [C,H,W]; None: each is proven to be computed by
        itself. The proof holds for all weights, and is remembered for as long as the model is what it was.
        """

        def run(images: Tensor) -> list[Tensor | None]:
            return [self(images), self.activity]

        def proof() -> str | None:
            try:
                with RECORDING, restoring(self.module):
                    return coupling(run, [image[None]])
            finally:
                self.activity = None

        kind = (tuple(image.shape), image.stride(), image.dtype, str(image.device))
        # A frozen TorchScript module has no such flag.
        trained = tuple(getattr(module, "training", None) for module in self.module.modules())
        return remembered(self.module, ("occlusion", "coupling", self.layer, self.dtype, kind, trained), proof)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        if self.layer is None:
            yield
            return
        target = submodules(self.module)[self.layer]

        def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not isinstance(output, Tensor) or output.dim() < 2:
                raise ValueError(f"layer: {self.layer!r} does not give a map or vector per image")
            if output.is_complex():
                raise ValueError(f"layer: expected real values, got {output.dtype} from {self.layer!r}")
            self.activity = total_activity(output)

        with Watching(self.module) as watching:
            watching.add(target, keep)
            yield


def total_activity(output: Tensor) -> Tensor:
    """The sum over each unit's map, [n,units,...] -> float32 [n,units].

    It has memory of its own: an in-place ReLU behind the layer must not count.
    """
    return output.flatten(2).sum(2, dtype=torch.float32) if output.dim() > 2 else output.float().clone()


def chunk_size(model: WatchedModel, image: Tensor, budget: int) -> int:
    """How many images fit: what one of them takes, and its largest step again, since kernels take memory of their own.
    One by one where that could not be measured.
    """
    if model.memory is None:
        return 1
    each = model.memory.peak + model.memory.step
    return max(1, min(_LARGEST.get(image.device.type, 256), budget // max(1, each)))


def run_batched(model: WatchedModel, occluded: OccludedImage, chunk: int, bar: tqdm[Any]) -> WindowOutputs:
    """Runs every window, `chunk` of them at once."""

    def run(windows: slice) -> WindowOutputs:
        logits = model(occluded.batch(windows))
        bar.update(len(logits))
        return WindowOutputs(logits, model.activity)

    # A CPU takes seconds for a batch of some networks; with the first window alone the bar moves sooner.
    sooner = not bar.disable and occluded.image.device.type == "cpu" and len(occluded) > chunk
    first = 1 if sooner else chunk
    parts = ShrinkingBatches(chunk, first).run(len(occluded), run)
    return WindowOutputs.joined(parts)
