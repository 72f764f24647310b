"""The convolution that alone reads the image: what comes back through it is linear, so that sums may go back instead.

That convolution has the fewest channels to give and the most places: a tenth to a quarter of a forward and backward.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node

_SETTINGS = ("stride", "padding", "dilation", "transposed", "output_padding", "groups")


@dataclass(frozen=True, eq=False)
class Entry:
    """How a run of a model read its images: by one convolution with a weight of the model's, and in no other way."""

    weight: Tensor
    settings: tuple[Any, ...]
    edge: GradientEdge  # of this run: to what the convolution gave

    def same(self, other: Entry) -> bool:
        """Whether another run read its images so too."""
        return self.weight is other.weight and self.settings == other.settings

    def back(self, signals: Tensor, images: Tensor) -> Tensor:
        """Takes signals of what the convolution gave, [N,K,h,w], back to the images, [N,C,H,W], in the signals' dtype.

        images: of that shape.
        """
        weight = self.weight.detach().to(signals.dtype)
        alike = torch.empty_like(images, dtype=signals.dtype)  # of which only the shape is read
        convolve = torch.ops.aten.convolution_backward
        found: Tensor = convolve(signals, alike, weight, None, *self.settings, [True, False, False])[0]
        return found


def entry_of(model: nn.Module, image: Tensor, end: Node | None, values: Tensor) -> Entry | None:
    """Follows autograd's graph from the values back to the image; None: it was read in another way.

    Nothing is asked of the model: a second reader, a hook between, a weight that is made anew are seen in the graph.

    Args:
        image: [n,C,H,W], which the model got.
        end: its grad_fn before that; whoever writes to the image gives it another.
    """
    start = values.grad_fn
    if start is None or end is None or image.grad_fn is not end or image._backward_hooks:
        return None
    waiting, met, readers = [start], {start}, Counter[tuple[Node, int]]()
    while waiting:
        node = waiting.pop()
        for place, (source, _) in enumerate(node.next_functions):
            if source is end:
                readers[node, place] += 1
            elif source is not None and source not in met:
                met.add(source)
                waiting.append(source)
    if len(readers) != 1:
        return None
    ((node, place),) = readers
    if node.name() != "ConvolutionBackward0" or place != 0:
        return None
    weight = node._saved_weight  # type: ignore[attr-defined]
    if not any(weight is each for each in model.parameters()):
        return None
    settings = tuple(_plain(getattr(node, f"_saved_{name}")) for name in _SETTINGS)
    return Entry(weight, settings, GradientEdge(node, 0))


def _plain(setting: Any) -> Any:
    return setting if isinstance(setting, bool | int) else tuple(setting)
