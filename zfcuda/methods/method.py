"""What a method of explanation is, to those that hold several of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

#: A model in any mode, images [N,C,H,W] and a class index for each -> maps [N,H,W].
Compute = Callable[[nn.Module, Tensor, Sequence[int]], Tensor]


@dataclass(frozen=True)
class Method:
    """A method that says for each pixel how much it has to do with a class.

    Attributes:
        name: what programs and the command line call it, as in "guided".
        title: what people call it.
        source: where it was published.
        signed: whether values below zero mean something: that the pixel speaks against the class. Without a sign the
            map is nowhere negative.
        reading: what a large value means, in one sentence for somebody who knows nothing of it.
        compute: a model, images [N,C,H,W] and a class index for each -> float maps [N,H,W] on the images' device.
    """

    name: str
    title: str
    source: str
    signed: bool
    reading: str
    compute: Compute
