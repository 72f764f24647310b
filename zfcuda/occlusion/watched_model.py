"""WatchedModel: the network as it is, and a layer that is watched on the way."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.independence import coupling
from zfcuda.memory.forward import ForwardMemory, Taken
from zfcuda.network.graph import submodules
from zfcuda.network.intact import Watching, restoring
from zfcuda.network.remembered import answers_about
from zfcuda.network.trace import RECORDING
from zfcuda.occlusion.output import ModelWithOutput, scores_of


class WatchedModel:
    """Runs the network, and watches a layer on the way: its last call's output, reduced to one number per unit."""

    def __init__(self, module: nn.Module, layer: str | None, dtype: torch.dtype | None) -> None:
        self.module, self.layer = module, layer
        self.dtype = None if dtype == torch.float32 else dtype
        self.activity: Tensor | None = None  # [n,units]
        self._answers: dict[Hashable, Any] | None = None
        self.memory: Taken | None = None  # what one image takes, once measured; None as well where it cannot be

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
        asked = self.asked("memory", image[0])
        self.memory = answers_about(self.module).get(asked)
        if self.memory is not None:
            return self(image)
        memory = ForwardMemory(image)
        try:
            with memory:
                logits = self(image)
        except Exception:  # whatever cannot run under a dispatch mode; an error of the model's own comes again
            return self(image)
        self.memory = memory.taken
        # After the forward: what a model makes the first time is no change then.
        answers_about(self.module)[asked] = self.memory
        return logits

    @property
    def answers(self) -> dict[Hashable, Any]:
        """What is remembered of the model as it is when this is asked first; not before it has run once."""
        if self._answers is None:
            self._answers = answers_about(self.module)
        return self._answers

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

        asked = self.asked("coupling", image)
        if asked not in self.answers:
            self.answers[asked] = proof()
        answer: str | None = self.answers[asked]
        return answer

    def asked(self, what: str, image: Tensor) -> Hashable:
        """What is asked about the model, with all that the answer depends on beside it. image: [C,H,W]."""
        kind = (tuple(image.shape), image.stride(), image.dtype, str(image.device))
        # A frozen TorchScript module has no such flag.
        training = tuple(getattr(module, "training", None) for module in self.module.modules())
        return ("occlusion", what, self.layer, self.dtype, kind, training)

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
