"""What the network sees: the mean of the training pictures, and the view that a run trains with."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from zfcuda.data.pictures import as_picture
from zfcuda.data.preprocess import PARTS_MEAN, PARTS_STD, Preprocess, centre_crop
from zfcuda.data.sources import PartsSource
from zfcuda.train.network import Subject
from zfcuda.train.options import Options
from zfcuda.train.sets import Labelled
from zfcuda.train.views import CloseUps, ResizedCrops, TenCrops, View
from zfcuda.train.views.ten_crops import ten_means

_SAMPLED = 500  # pictures that the mean and deviation of the channels are taken of
_BYTE = (1 / 255,) * 3  # a deviation that leaves values as they are in a picture, less their mean


def preprocess_for(subject: Subject, source: Labelled, options: Options) -> Preprocess:
    """What the network reads."""
    size, side = options.size or 224, options.short_side or 256
    if options.mean == "model" and subject.preprocess is not None:
        return subject.preprocess
    if options.mean == "pixel":
        mean = mean_picture(source, side)
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


def mean_picture(source: Labelled, side: int) -> Tensor:
    """float32 [3,side,side]: the mean of every pixel over all pictures that can be read, 0 to 255."""
    total, count = torch.zeros(3, side, side, dtype=torch.float64), 0
    for index in range(len(source.names)):
        pixels = _pixels(source, index, side)
        if pixels is not None:
            total += pixels
            count += 1
    return (total / max(1, count)).float()


def colours(source: Labelled, side: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, 0 to 1, of pictures evenly spread over the source."""
    names = source.names
    chosen = range(0, len(names), max(1, len(names) // _SAMPLED))
    found = [pixels for index in chosen if (pixels := _pixels(source, index, side)) is not None]
    if not found:
        raise ValueError(f"data: none of {len(chosen)} training pictures can be read")
    values = torch.stack([torch.stack([p.mean((1, 2)), p.square().mean((1, 2))]) for p in found]).mean(0) / 255
    mean, square = values[0], values[1] / 255
    return tuple(mean.tolist()), tuple((square - mean.square()).clamp(min=1e-6).sqrt().tolist())


def _pixels(source: Labelled, index: int, side: int) -> Tensor | None:
    """float64 [3,side,side] of the centre of a picture; None where it cannot be read."""
    try:
        picture = centre_crop(as_picture(source.item(index)), (side, side), side, "bilinear")  # type: ignore[arg-type]
    except (ValueError, TypeError, OSError):
        return None
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).double()


def with_model_defaults(options: Options) -> Options:
    """Options of a run that starts from weights: it sees pictures as they did, where nobody says otherwise."""
    if options.weights is None:
        return options
    missing = {"mean": "model", "init": "keep"}
    return dataclasses.replace(options, **{k: v for k, v in missing.items() if getattr(options, k) is None})  # type: ignore[arg-type]
