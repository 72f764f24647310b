"""What is known at places of an image: the column of a feature map, or the pixels around."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, normalize

from zfcuda.network import ReceptiveField

_SAMPLES = 12  # a patch of pixels is compared in about so many steps a side


def grid(height: int, width: int, step: int) -> Tensor:
    """Places every `step` pixels of an image, float32 [P,2] (y, x), in the middles of squares of that side."""
    rows, columns = (torch.arange((step - 1) / 2, length, step) for length in (height, width))
    return torch.cartesian_prod(rows, columns).float()


def centres(field: ReceptiveField) -> tuple[tuple[float, float], tuple[float, float]]:
    """For rows and columns of a map: the middle of what unit 0 sees, beyond the border too, and the step to the next.

    Both in pixels of the image, whole numbers in their centres.
    """
    rows, columns = ((float(axis.low[0] + axis.high[0]) / 2, float(axis.stride)) for axis in field.spans)
    return rows, columns


def of_map(values: Tensor, field: ReceptiveField, places: Tensor) -> Tensor:
    """The columns of a map [C,h,w] at places [P,2] of the image, float32 [P,C].

    A unit lies in the middle of its receptive field; between units the map is interpolated, and beyond the outermost
    ones it goes on as there.
    """
    at = torch.stack([(places[:, axis] - first) / step for axis, (first, step) in enumerate(centres(field))], 1)
    return _sampled(values.float(), at).T


def of_pixels(image: Tensor, side: int, places: Tensor) -> Tensor:
    """The squares of `side` pixels around places [P,2] of an image [C,H,W], less their mean, float32 [P,D].

    Larger ones are compared in coarser steps, which a bound on D asks for; what lies beyond the border is as there.
    """
    step = min(max(1, round(side / _SAMPLES)), *image.shape[1:])
    coarse = avg_pool2d(image.float()[None], step)[0] if step > 1 else image.float()
    count = max(1, round(side / step))
    offsets = (torch.arange(count) - (count - 1) / 2) * step
    around = places[:, None] + torch.cartesian_prod(offsets, offsets)[None].to(places)
    at = (around - (step - 1) / 2) / step
    found = _sampled(coarse, at.flatten(0, 1)).view(len(image), len(places), -1)
    return (found - found.mean(2, keepdim=True)).transpose(0, 1).flatten(1)


def nearest(queries: Tensor, candidates: Tensor) -> Tensor:
    """For each query [Q,D] the candidate [N,D] of the largest cosine, int64 [Q]; of equal ones the first."""
    return (normalize(queries) @ normalize(candidates).T).argmax(1)


def _sampled(values: Tensor, at: Tensor) -> Tensor:
    """A map [C,h,w] at [P,2] (row, column) between its units, [C,P]."""
    last = torch.tensor([max(1, values.shape[1] - 1), max(1, values.shape[2] - 1)], device=values.device)
    scaled = 2 * at.to(values) / last - 1
    return grid_sample(
        values[None], scaled.flip(1)[None, None], mode="bilinear", padding_mode="border", align_corners=True
    )[0, :, 0]
