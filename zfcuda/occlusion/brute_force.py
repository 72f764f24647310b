"""Brute force: every occluded image through the whole network, many at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zfcuda.memory.budget import ShrinkingBatches, out_of_memory
from zfcuda.occlusion.incremental.precision import agree
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.watched_model import WatchedModel
from zfcuda.occlusion.window_outputs import WindowOutputs

# Larger batches gain nothing: a GPU is full.
_LARGEST = {"cpu": 16, "cuda": 1024}
# On a CPU what the largest step reads and writes, so that each of its maps keeps below the size from which malloc takes
# fresh pages, and much of it in the cache: of 16 at a time EfficientNet-B0 takes 1.3 times as long per image as of 7.
_AT_ONCE = {"cpu": 64 << 20}


def chunk_size(model: WatchedModel, image: Tensor, budget: int) -> int:
    """How many images fit: what one of them takes, and its largest step again, since kernels take memory of their own.
    One by one where that could not be measured.
    """
    if model.memory is None:
        return 1
    each, step, device = model.memory.peak + model.memory.step, max(1, model.memory.step), image.device.type
    return max(1, min(_LARGEST.get(device, 256), _AT_ONCE.get(device, budget) // step, budget // max(1, each)))


def check_steady(model: WatchedModel, image: Tensor, base: Tensor) -> None:
    """Refuses a model that gives other logits for the whole image than it gave before."""
    if not agree(model(image[None].clone())[0], base, model.dtype or image.dtype):
        raise ValueError("model: two runs on the same image differ, so it is random even in eval mode")


class BruteForce:
    """Windows of an image through the whole network.

    The whole image runs once more among the first of them, and has to answer in their company as it did alone: the
    model is not random then, and no image of a batch changes what another answers. The proof of that (see
    WatchedModel.coupling) still leaves the models that take one image alone. Where it does not, each runs by itself.

    Attributes:
        chunk: how many images run together, at most.
    """

    def __init__(
        self,
        model: WatchedModel,
        occluded: OccludedImage,
        base: Tensor,
        chunk: int,
        told: Callable[[int], Any] = lambda count: None,
    ) -> None:
        """Runs nothing yet.

        Args:
            model: the model in the dtype that the windows are run in.
            base: [classes], what this gives for the whole image alone.
            chunk: how many images run together, at most.
            told: called with how many windows have been run more.
        """
        self._model, self._occluded, self._told = model, occluded, told
        self._base: Tensor | None = base  # until it is shown
        self.chunk = chunk

    def __call__(self, windows: Tensor) -> WindowOutputs:
        """Runs some windows, int64 [n].

        Raises:
            ValueError: the model is random.
        """
        if self._base is not None:
            outputs = self._beside_the_whole(windows, self._base) if self.chunk > 1 else None
            if outputs is None:
                check_steady(self._model, self._occluded.image, self._base)
                self.chunk = 1
            self._base = None
            if outputs is not None:
                return outputs
        return WindowOutputs.joined([self._run(part) for part in windows.split(self.chunk)])

    def _run(self, windows: Tensor) -> WindowOutputs:
        logits = self._model(self._occluded.batch(windows))
        self._told(len(windows))
        return WindowOutputs(logits, self._model.activity)

    def _beside_the_whole(self, windows: Tensor, base: Tensor) -> WindowOutputs | None:
        """None where the whole image answers otherwise, or the model takes one image alone."""
        place = len(windows) // 2  # neither the first, where there are two, nor the last
        images = self._occluded.beside_the_whole(windows, place)
        try:
            logits = self._model(images)
        except (ValueError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            return None
        if not agree(logits[place], base, self._model.dtype or images.dtype):
            return None
        self._told(len(windows))
        others = [i for i in range(len(logits)) if i != place]
        return WindowOutputs(logits, self._model.activity).at(torch.tensor(others, device=logits.device))

    def all(self, *, sooner: bool) -> WindowOutputs:
        """Runs every window. sooner: begins with the first window alone."""
        count = len(self._occluded)
        every = torch.arange(count, device=self._occluded.origins.device)
        batches = ShrinkingBatches(self.chunk, 1 if sooner else max(1, self.chunk - 1))

        def run(part: slice) -> WindowOutputs:
            self.chunk = min(self.chunk, batches.size)
            return self(every[part])

        return WindowOutputs.joined(batches.run(count, run))
