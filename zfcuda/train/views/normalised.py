"""Bytes as the network reads them: less the mean, divided by the deviation, in memory that is used again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zfcuda.data.preprocess import Preprocess


class Normalised:
    """The images of a batch, as :meth:`zfcuda.data.Preprocess.normalized` makes them, bit by bit.

    On a CPU they lie in the same memory each time: new memory costs ten times what the arithmetic does.
    """

    def __init__(self) -> None:
        self._rooms: list[Tensor] = []

    def __reduce__(self) -> Any:
        return Normalised, ()

    def __call__(
        self, preprocess: Preprocess, pixels: Tensor, means: Tensor | None = None, which: Tensor | None = None
    ) -> Tensor:
        """uint8 [N,3,H,W], red first -> float32 [N,C,H,W], channels_last; it holds until the next call.

        Args:
            means: float32 [M,C,H,W], 0 to 255, of which each image has that of number `which`, int64 [N]; None: that of
                the preprocess.
        """
        if preprocess.order == "bgr":
            pixels = pixels.flip(1)
        count, channels, high, wide = pixels.shape
        if means is None and (pixels.device.type != "cpu" or preprocess.mean_image is not None or not count):
            return preprocess.normalized(pixels).contiguous(memory_format=torch.channels_last)
        device = pixels.device
        std = torch.tensor([255 * value for value in preprocess.std], device=device)
        if pixels.device.type != "cpu" or not count:
            assert means is not None and which is not None
            return pixels.float().sub_(means.to(device)[which]).div_(std.view(1, -1, 1, 1))
        # By rows of H x (W C), not of 3 channels, which would be a loop of three.
        rows = pixels.permute(0, 2, 3, 1).reshape(count, high, wide * channels)
        images = self._room(0, rows.shape).copy_(rows)
        if means is None:
            images -= torch.tensor([255 * value for value in preprocess.mean]).repeat(wide)
        else:
            assert which is not None
            known = means.permute(0, 2, 3, 1).reshape(len(means), high, wide * channels)
            images -= torch.index_select(known, 0, which, out=self._room(1, rows.shape))
        images /= std.repeat(wide)
        return images.view(count, high, wide, channels).permute(0, 3, 1, 2)

    def _room(self, number: int, shape: torch.Size) -> Tensor:
        """Memory for float32 of a shape, whatever is in it."""
        while len(self._rooms) <= number:
            self._rooms.append(torch.empty(0))
        if self._rooms[number].numel() < shape.numel():
            self._rooms[number] = torch.empty(shape.numel())
        return self._rooms[number][: shape.numel()].view(shape)
