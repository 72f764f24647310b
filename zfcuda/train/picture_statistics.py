"""Means and deviations over the training pictures, which are subtracted and divided by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from zfcuda.complaint import one_line
from zfcuda.data.preprocess import centre_crop
from zfcuda.ranks import Ranks
from zfcuda.train.broken import broken
from zfcuda.train.loading import loader
from zfcuda.train.pictures import picture_of
from zfcuda.train.sets import Labelled

_BLOCK = 32  # pictures that are loaded together
_SAMPLED = 500  # pictures that the mean and deviation of the channels are taken of


def mean_picture(source: Labelled, side: int, *, ranks: Ranks | None = None, workers: int = 0) -> Tensor:
    """float32 [3,side,side]: the mean of every pixel over all pictures that can be read, 0 to 255.

    Sums of integers: any number of processes and workers gives the same bits.
    """
    ranks = ranks or Ranks()
    total, count = torch.zeros(side, side, 3, dtype=torch.int64), 0
    for pixels in _centres(source, range(ranks.rank, len(source.names), ranks.count), side, workers):
        total += pixels.sum(0, dtype=torch.int64) if len(pixels) else 0
        count += len(pixels)
    parts = ranks.gathered((total, count))
    total, count = torch.stack([part[0] for part in parts]).sum(0), sum(part[1] for part in parts)
    _refuse_none(count, source)
    return (total.permute(2, 0, 1).double() / count).float().contiguous()


def colours(source: Labelled, side: int, workers: int = 0) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, 0 to 1, of pictures evenly spread over the source."""
    names = source.names
    total, squares, count = torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), 0
    for pixels in _centres(source, range(0, len(names), max(1, len(names) // _SAMPLED)), side, workers):
        values = pixels.flatten(0, 2).long()
        total += values.sum(0)
        squares += values.square().sum(0)
        count += len(values)
    _refuse_none(count, source)
    mean, square = total.double() / count / 255, squares.double() / count / 255**2
    return tuple(mean.tolist()), tuple((square - mean.square()).clamp(min=1e-6).sqrt().tolist())


def _refuse_none(count: int, source: Labelled) -> None:
    if not count:
        raise ValueError(f"data: none of the training pictures can be read, such as {one_line(source.names[0])}")


def _centres(source: Labelled, indices: range, side: int, workers: int) -> Iterator[Tensor]:
    """uint8 [n,side,side,3]: the centres of pictures, of those that can be read."""
    blocks = [list(indices[start : start + _BLOCK]) for start in range(0, len(indices), _BLOCK)]
    return iter(loader(_Centres(source, side), blocks, workers, _stacked))


class _Centres(Dataset[Any]):
    """The centre of each picture, uint8 [side,side,3]; None where it cannot be read."""

    def __init__(self, source: Labelled, side: int) -> None:
        self.source, self.side = source, side

    def __getitem__(self, index: int) -> Tensor | None:
        try:
            picture = picture_of(self.source, index, index)
        except Exception as error:  # it is told where it is trained on
            broken(index, "", error)
            return None
        return torch.from_numpy(np.array(centre_crop(picture, (self.side, self.side), self.side, "bilinear")))


def _stacked(centres: Sequence[Tensor | None]) -> Tensor:
    whole = [each for each in centres if each is not None]
    return torch.stack(whole) if whole else torch.empty((0, 1, 1, 3), dtype=torch.uint8)
