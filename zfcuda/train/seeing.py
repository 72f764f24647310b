"""What the network sees: the mean of the training pictures, and the view that a run trains with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zfcuda.data.pictures import as_picture
from zfcuda.data.preprocess import PARTS_MEAN, PARTS_STD, Preprocess, centre_crop
from zfcuda.data.sources import PartsSource
from zfcuda.ranks import Ranks
from zfcuda.train.checkpoints import Checkpoints
from zfcuda.train.loading import deaf
from zfcuda.train.network import Subject
from zfcuda.train.options import Options
from zfcuda.train.sets import Labelled
from zfcuda.train.views import CloseUps, ResizedCrops, TenCrops, View
from zfcuda.train.views.ten_crops import ten_means

_CHUNK = 32  # pictures whose sum is handed over at once
_SAMPLED = 500  # pictures that the mean and deviation of the channels are taken of
_BYTE = (1 / 255,) * 3  # a deviation that leaves values as they are in a picture, less their mean


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
    if isinstance(source, PartsSource):
        return Preprocess(size, side, PARTS_MEAN, PARTS_STD, "bilinear")
    mean_colour, deviation = colours(source, size)
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

    Raises:
        ValueError: no picture can be read.
    """
    ranks = ranks or Ranks()
    chunks = _Chunks(source, side, range(ranks.rank, len(source.names), ranks.count))
    total, count = torch.zeros(3, side, side, dtype=torch.int64), 0
    for part, read in DataLoader(chunks, batch_size=None, num_workers=workers, worker_init_fn=deaf):
        total += part
        count += read
    parts = ranks.gathered((total, count))
    count = sum(part[1] for part in parts)
    if not count:
        raise ValueError(f"data: none of {len(source.names)} training pictures can be read")
    mean: Tensor = sum(part[0] for part in parts).double() / count
    return mean.float()


class _Chunks(Dataset[tuple[Tensor, int]]):
    """The sum of the pixels of some pictures, int64 [3,side,side], and how many could be read."""

    def __init__(self, source: Labelled, side: int, indices: range) -> None:
        self.source, self.side, self.indices = source, side, indices

    def __len__(self) -> int:
        return -(-len(self.indices) // _CHUNK)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        found = [
            pixels
            for index in self.indices[number * _CHUNK : (number + 1) * _CHUNK]
            if (pixels := _pixels(self.source, index, self.side)) is not None
        ]
        total = torch.zeros(3, self.side, self.side, dtype=torch.int64)
        for pixels in found:
            total += pixels
        return total, len(found)


def colours(source: Labelled, side: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, 0 to 1, of pictures evenly spread over the source."""
    names = source.names
    chosen = range(0, len(names), max(1, len(names) // _SAMPLED))
    found = [pixels for index in chosen if (pixels := _pixels(source, index, side)) is not None]
    if not found:
        raise ValueError(f"data: none of {len(chosen)} training pictures can be read")
    doubles = (each.double() for each in found)
    values = torch.stack([torch.stack([p.mean((1, 2)), p.square().mean((1, 2))]) for p in doubles]).mean(0) / 255
    mean, square = values[0], values[1] / 255
    return tuple(mean.tolist()), tuple((square - mean.square()).clamp(min=1e-6).sqrt().tolist())


def _pixels(source: Labelled, index: int, side: int) -> Tensor | None:
    """uint8 [3,side,side] of the centre of a picture; None where it cannot be read."""
    try:
        picture = centre_crop(as_picture(source.item(index)), (side, side), side, "bilinear")  # type: ignore[arg-type]
    except (ValueError, TypeError, OSError):
        return None
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def with_model_defaults(options: Options) -> Options:
    """Options of a run that starts from weights: it sees pictures as they did, where nobody says otherwise."""
    if options.weights is None:
        return options
    missing = {"mean": "model", "init": "keep"}
    return dataclasses.replace(options, **{k: v for k, v in missing.items() if getattr(options, k) is None})  # type: ignore[arg-type]
