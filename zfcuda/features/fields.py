"""What units see, in pixels, for pictures of any sizes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zfcuda.features.stream import Stream
from zfcuda.network import ReceptiveField, receptive_field, receptive_fields, trace
from zfcuda.network.example import example_image
from zfcuda.network.graph import first_line


def boxes_of(stream: Stream, places: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The boxes of units at places, unclipped; with a warning the whole image, where it is not known what they see.

    Args:
        places: layer -> int32 [U,k,4], y and x on the map, height and width of the image; -1 where there is none.

    Returns:
        layer -> int64 [U,k,4], (top, left, bottom, right), bottom and right exclusive; zeros where there is none.
    """
    boxes = {layer: torch.zeros(*at.shape[:2], 4, dtype=torch.int64) for layer, at in places.items()}
    every = torch.cat([at[..., 2:].long().reshape(-1, 2) for at in places.values()])
    sizes = [divmod(both, 2**32) for both in (every[:, 0] * 2**32 + every[:, 1]).unique().tolist()]
    unknown: dict[str, str] = {}
    for height, width in sizes:
        if height < 0:
            continue
        fields, why = _fields(stream, list(places), (stream.size[0], height, width))
        for layer, at in places.items():
            here = (at[..., 2] == height) & (at[..., 3] == width)
            field = fields.get(layer)
            if field is None:
                unknown[layer] = why
                boxes[layer][here] = torch.tensor([0, 0, height, width])
            else:
                boxes[layer][here] = _seen(field, at[here])
    if unknown:
        layer, why = next(iter(unknown.items()))
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        warnings.warn(
            f"layers: it is not known what the units of {layer}{more} see{f' ({why})' if why else ''}; their boxes are "
            "the whole image",
            stacklevel=4,
        )
    return boxes


def _fields(
    stream: Stream, layers: Sequence[str], size: tuple[int, int, int]
) -> tuple[Mapping[str, ReceptiveField | None], str]:
    """The receptive fields that are known, and why others are not."""
    own = {layer: stream.own_name(layer) for layer in layers}
    try:
        network = trace(stream.model, example_image(stream.model, size))
    except (ValueError, TypeError) as error:
        return {}, first_line(error)
    try:
        every = receptive_fields(network, size, own.values())
        return {layer: every[name] for layer, name in own.items()}, ""
    except ValueError:  # one of them gives no tensor, say, or does not fit an image of this size
        pass
    found, why = {}, ""
    for layer, name in own.items():
        try:
            found[layer] = receptive_field(network, name, size)
        except ValueError as error:
            why = why or first_line(error)
    return found, why


def _seen(field: ReceptiveField, at: Tensor) -> Tensor:
    """[m,4] places -> [m,4] boxes."""
    sides: list[Any] = []
    for axis, column in zip(field.spans, (0, 1), strict=True):
        unit = at[:, column].long().clamp(max=len(axis) - 1)
        sides.append((torch.from_numpy(axis.low)[unit], torch.from_numpy(axis.high)[unit] + 1))
    (top, bottom), (left, right) = sides
    return torch.stack([top, left, bottom, right], 1).long()
