"""Prepares the pictures of a run: which are kept in memory, what the network reads, the view it trains with."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from torch import Tensor

from zfcuda.data.preprocess import PARTS_MEAN, PARTS_STD, Preprocess
from zfcuda.data.sources import PartsSource
from zfcuda.ranks import Ranks
from zfcuda.train.checkpoints import Checkpoints
from zfcuda.train.decoded import Decoded, decoded, memory_for
from zfcuda.train.network import Subject
from zfcuda.train.options import Options
from zfcuda.train.picture_statistics import colours, mean_picture
from zfcuda.train.sets import Labelled, Sets
from zfcuda.train.views import CloseUps, ResizedCrops, TenCrops, View
from zfcuda.train.views.ten_crops import ten_means

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
    """The ten sub-crops of a picture.

    Raises:
        ValueError: the network reads no squares.
    """
    high, wide = preprocess.sides
    if high != wide:
        raise ValueError(f"crops, views: expected a network of square images for ten sub-crops, got {high} x {wide}")
    mean = preprocess.mean_image
    return TenCrops(preprocess, None if mean is None else ten_means(mean, preprocess.sides[0]))


def _kept_mean(source: Labelled, side: int, ranks: Ranks, workers: int, kept: Path | None) -> Tensor:
    """The mean picture, which takes a look at all pictures, from where an earlier start has kept it."""
    if kept is None:
        return mean_picture(source, side, ranks=ranks, workers=workers)
    states = Checkpoints(kept / "mean", keep=1)
    found = ranks.of_first(states.newest() if ranks.first else None)
    if found is not None:
        mean: Tensor = found[1]["mean"]
        return mean
    mean = mean_picture(source, side, ranks=ranks, workers=workers)
    if ranks.first:
        states.save(0, {"mean": mean})
    return mean


def with_model_defaults(options: Options) -> Options:
    """Options of a run that starts from weights: it sees pictures as they did, where nobody says otherwise."""
    if options.weights is None:
        return options
    return dataclasses.replace(options, mean=options.mean or "model", init=options.init or "keep")
