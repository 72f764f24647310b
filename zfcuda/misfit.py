"""What to say where an image does not fit a network: which layer, and what the network was made for."""

from __future__ import annotations

import re

from torch import Tensor, nn

from zfcuda.complaint import called
from zfcuda.data.preprocessing import made_for
from zfcuda.network.graph import first_line, plain_name, spoken_shape

# What torch says where shapes do not go together.
_OF_SHAPES = re.compile(
    "shapes cannot be multiplied|channels, but got|Kernel size can't be greater|must match the size of tensor|"
    "is invalid for input of size|Output size is too small|normalized_shape|must match the existing size"
)


def misfit(error: RuntimeError, model: nn.Module, image: Tensor, where: str = "") -> ValueError | None:
    """The error for an image [1,C,H,W] that does not fit a layer.

    Args:
        error: what torch raised.
        where: the layer, "layer 'conv1' (Conv2d)"; "": it is found by the calls that the error left.

    Returns:
        None where the error is about something else than shapes.
    """
    reason = first_line(error)
    if not _OF_SHAPES.search(reason):
        return None
    labels = {m: f"layer {plain_name(name)!r} ({type(m).__name__})" for name, m in model.named_modules() if name}
    if not where:
        where = next((labels[m] for m in reversed(called(error)) if m in labels), type(model).__name__)
    shape = list(image.shape[1:])
    first = next((m for m in labels if isinstance(m, nn.Conv2d)), None)
    said = f"image: {spoken_shape(image.shape)} does not fit {where}"
    if first is not None and where == labels[first] and shape[0] != first.in_channels:
        return ValueError(f"{said}: expected {first.in_channels} channels, got {shape[0]}")
    size = made_for(model)
    hint = "" if size is None or list(size) == shape else f"; the network was made for {spoken_shape(size)}"
    return ValueError(f"{said}: {reason}{hint}")
