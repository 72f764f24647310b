"""What a style network learns from: what a fixed network says of the pictures that it draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zfcuda.network.example import image_dtypes
from zfcuda.synthesis.gram import grams, style
from zfcuda.synthesis.objectives import total_variation
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.style_choice import style_choice
from zfcuda.synthesis.watched import Watched, code_of, watching


class Losses(NamedTuple):
    """The parts of the loss, the mean over a batch, without their weights."""

    content: Tensor
    style: Tensor
    tv: Tensor


class LossNetwork:
    """A fixed network, the layers that it is asked about, and what they say of the style pictures.

    Attributes:
        content: the content layer.
        styles: the style layers.

    Args:
        model: unwrapped, on its device.
        pixel_range: what black and white are to it.
        images: the style pictures, each [1,3,h,w] of 0 to 1.
        content_layer, style_layers: None: as :func:`zfcuda.synthesis.style_choice.style_choice` takes them.
        size: side of the images that it will be asked about.

    Raises:
        TypeError, ValueError: a layer that it does not have, which is never called or gives no maps; a network that
            reads no colours, or no images of this size.
    """

    def __init__(
        self,
        model: nn.Module,
        pixel_range: PixelRange,
        images: Sequence[Tensor],
        *,
        content_layer: str | None,
        style_layers: Sequence[str] | None,
        size: int,
    ) -> None:
        self._model, self._range = model, pixel_range
        weight = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
        self._dtype, self._device = image_dtypes(model)[0], weight.device
        grey = self._read(torch.full((1, 3, size, size), 0.5, device=self._device))
        content, styles = content_layer, style_layers
        if content is None or styles is None:
            chosen, others = style_choice(model, grey)
            content, styles = content or chosen, styles or others
        self.content, self.styles = content, tuple(dict.fromkeys(styles))
        code_of(model, grey, content)  # a layer that it does not have, or never calls, is found out here
        grams(model, grey, self.styles)  # a layer that gives no maps is found out here
        found = [grams(model, self._read(each.to(self._device)), self.styles) for each in images]
        self._targets = {name: torch.cat([each[name] for each in found]) for name in self.styles}

    @contextmanager
    def watched(self) -> Iterator[Watched]:
        """Keeps what it is asked about; it is as before when the block ends."""
        with watching(self._model, [self.content, *self.styles]) as watched:
            yield watched

    def losses(self, watched: Watched, images: Tensor, drawn: Tensor, which: Tensor) -> Losses:
        """What is to become small.

        Args:
            watched: of :meth:`watched`.
            images: [N,3,H,W] of 0 to 1.
            drawn: what was made of them, in the same shape, with a history.
            which: int64 [N], the style of each.
        """
        with torch.no_grad():
            code = watched(self._read(images)).layers[self.content].float()
        seen = watched(self._read(drawn), of=drawn)
        size = code.square().flatten(1).mean(1).clamp_min(torch.finfo(code.dtype).tiny)
        content = (seen.layers[self.content].float() - code).square().flatten(1).mean(1) / size
        objective = style({name: target[which] for name, target in self._targets.items()})
        return Losses(content.mean(), -objective.value(seen).mean(), total_variation(2).value(seen).mean())

    def _read(self, images: Tensor) -> Tensor:
        """Pictures of 0 to 1 as the network reads them."""
        images = self._range.of_unit(images.flip(1) if self._range.reversed else images)
        return images.to(self._dtype).contiguous(memory_format=torch.channels_last)
