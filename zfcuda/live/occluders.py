"""What answers with any rectangle of a picture covered."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zfcuda.network import evaluating
from zfcuda.occlusion.output import scores_of
from zfcuda.report.cover import Cover

Box = tuple[int, int, int, int]  # top, left, height, width


class Occluder:
    """A picture before a network, held so that rectangles of it can be covered. bytes: what it takes."""

    def __init__(self, model: nn.Module, image: Tensor, values: Tensor) -> None:
        self._model, self._image, self._values = model, image, values
        self.bytes = image.nbytes + values.nbytes
        self.reason = "every rectangle is run through the whole network"

    def __call__(self, boxes: Sequence[Box]) -> Tensor:
        """What the network answers with each of the rectangles covered: float32 [n,classes] on the CPU."""
        images = self._image.repeat(len(boxes), 1, 1, 1)
        for image, (top, left, high, wide) in zip(images, boxes, strict=True):
            image[:, top : top + high, left : left + wide] = self._values[:, top : top + high, left : left + wide]
        with evaluating(self._model), torch.no_grad():
            return scores_of(self._model(images), len(images), picked=False).cpu()


def occluder_of(model: nn.Module, image: Tensor, cover: Cover) -> Occluder:
    """An occluder. image: [1,C,H,W]."""
    return Occluder(model, image, cover.values.expand_as(image[0]))
