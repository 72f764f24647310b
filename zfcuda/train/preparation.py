"""What the network sees: the mean of the training pictures, and the view that a run trains with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from zfcuda.complaint import one_line
from zfcuda.data.preprocess import PARTS_MEAN, PARTS_STD, Preprocess, centre_crop
from zfcuda.data.sources import PartsSource
from zfcuda.ranks import Ranks
from zfcuda.train.broken import broken
from zfcuda.train.checkpoints import Checkpoints
from zfcuda.train.decoded import Decoded, decoded, memory_for
from zfcuda.train.loading import loader
from zfcuda.train.network import Subject
from zfcuda.train.options import Options
from zfcuda.train.pictures import picture_of
from zfcuda.train.sets import Labelled, Sets
from zfcuda.train.views import CloseUps, ResizedCrops, TenCrops, View
from zfcuda.train.views.ten_crops import ten_means

_BLOCK = 32  # pictures that are loaded together
_SAMPLED = 500  # pictures that the mean and deviation of the channels are taken of
_DETAIL = 2  # pixels of a picture that is decoded for one that is seen, along a side
_BYTE = (1 / 255,) * 3  # a deviation that leaves values as they are in a picture, less their mean


def in_memory(sets: Sets, subject: Subject, options: Options) -> Sets:
    """The same pictures, decoded as far as training needs, and kept in memory where they fit there."""
    memory = memory_for(options.cache) if (options.epochs or 1) > 1 else 0
    sides = [options.short_side or 256] + ([subject.preprocess.short_side] if subject.preprocess is not None else [])
    detail = _DETAIL * max(sides)
    if options.crops == "resized":  # what the smallest part is seen at has pixels of its own
        detail = max(detail, math.ceil((options.size or 224) / math.sqrt(0.75 * (options.smallest or 1.0))))
    train = decoded(sets.train, detail, memory)
    # What is measured is of pictures as they are, which the written weights will be given.
    validation = decoded(sets.validation, None, memory - train.bytes_kept if isinstance(train, Decoded) else memory)
    return dataclasses.replace(sets, train=train, validation=validation)


def preprocess_for(
    subject: Subject,
    source: Labelled,
    options: Options,
    *,
    ranks: Ranks | None = None,
    workers: int = 0,
    kept: Path | None = None,
) -> Preprocess:
    """What the network reads. All processes make the call: they share the work of a mean of each pixel.

    Args:
        kept: a folder that keeps the mean of each pixel, for the next start.
    """
    size, side = options.size or 224, options.short_side or 256
    if options.mean == "model" and subject.preprocess is not None:
        return subject.preprocess
    if options.mean == "pixel":
        mean = _kept_mean(source, side, ranks or Ranks(), workers, kept)
        return Preprocess(size, side, std=_BYTE, interpolation="bilinear", mean_image=mean)
    if isinstance(source.source if isinstance(source, Decoded) else source, PartsSource):
        return Preprocess(size, side, PARTS_MEAN, PARTS_STD, "bilinear")
    mean_colour, deviation = colours(source, size, workers)
    return Preprocess(size, side, mean_colour, deviation, "bilinear")


def view_for(preprocess: Preprocess, options: Options) -> View:
    """How pictures are seen while training."""
    if options.crops == "ten":
        return ten_view(preprocess)
    if options.crops == "close_ups":
        return CloseUps(preprocess, options.close_ups or 0)
    return ResizedCrops(preprocess, options.smallest or 1.0, options.colour or 0.0)


def ten_view(preprocess: Preprocess) -> TenCrops:
    """The ten sub-crops of a picture."""
    mean = preprocess.mean_image
    return TenCrops(preprocess, None if mean is None else ten_means(mean, preprocess.sides[0]))


def _kept_mean(source: Labelled, side: int, ranks: Ranks, workers: int, kept: Path | None) -> Tensor:
    """The mean picture, which takes a look at all pictures, from where an earlier start has kept it."""
    if kept is None:
        return mean_picture(source, side, ranks=ranks, workers=workers)
    states = Checkpoints(kept / "mean", keep=1)
    found = ranks.of_first(states.newest() if ranks.first else None)
    if found is not None:
        return found[1]["mean"]  # type: ignore[no-any-return]
    mean = mean_picture(source, side, ranks=ranks, workers=workers)
    if ranks.first:
        states.save(0, {"mean": mean})
    return mean


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


def with_model_defaults(options: Options) -> Options:
    """Options of a run that starts from weights: it sees pictures as they did, where nobody says otherwise."""
    if options.weights is None:
        return options
    missing = {"mean": "model", "init": "keep"}
    return dataclasses.replace(options, **{k: v for k, v in missing.items() if getattr(options, k) is None})  # type: ignore[arg-type]
