"""What a model says of a target, for images of one size, as many at a time as may run together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.answers import scores_of
from zfcuda.independence import coupling
from zfcuda.inputs import ClassTarget, as_image, checked_image, class_target, normalization, probabilities, target_score
from zfcuda.memory.budget import ShrinkingBatches
from zfcuda.misfit import misfit
from zfcuda.network.graph import unwrap
from zfcuda.network.intact import evaluating, restoring
from zfcuda.network.trace import RECORDING

_AT_A_TIME = 16


class Scored:
    """A model with one of its classes, which images of one size are asked about.

    Args:
        model: images [N,C,H,W] -> [N,classes], in any mode; it is run as in eval, without gradients.
        image: [C,H,W] or [1,C,H,W], or a picture where the model carries its preprocess.
        target: a class index or name, a callable on the logits, or None: the most probable class of this image.

    Attributes:
        model: without what wraps it.
        image: the image as [1,C,H,W].
        logits: [classes] of the image, float32 or float64.
        target: the class index, or the callable.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(self, model: nn.Module, image: Any, target: ClassTarget = None) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
        self.model = unwrap(model)
        self.image = checked_image(as_image(image, self.model), self.model)
        self._batches = ShrinkingBatches(1)
        try:
            self.logits = self.run(self.image)[0]
        except RuntimeError as error:
            raise misfit(error, self.model, self.image) or error from error
        self.target = class_target(target, self.logits, getattr(self.model, "classes", None))
        self._probability = normalization(self.logits[None])
        with RECORDING, restoring(self.model), evaluating(self.model):
            if coupling(self._forward, [self.image]) is None:
                self._batches = ShrinkingBatches(_AT_A_TIME)

    def run(self, images: Tensor) -> Tensor:
        """The logits of images [n,C,H,W]: [n,classes], float32 or float64."""
        return self.run_made(len(images), lambda piece: images[piece].clone())  # a model may write to its image

    def run_made(self, count: int, make: Callable[[slice], Tensor]) -> Tensor:
        """The same of so many images, which are made when it is their turn."""
        with evaluating(self.model), torch.no_grad():
            return torch.cat(self._batches.run(count, lambda piece: self._forward(make(piece))))

    def probability(self, logits: Tensor) -> Tensor:
        """The probability of the class, [n], of logits [n,classes]; what a callable target says is taken as it is."""
        if not callable(self.target):
            logits = probabilities(logits, self._probability)
        return target_score(self.target, logits)

    def _forward(self, images: Tensor) -> Tensor:
        scores = scores_of(self.model(images), len(images))
        return scores.to(torch.promote_types(scores.dtype, torch.float32))
