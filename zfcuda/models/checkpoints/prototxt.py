"""Networks of Caffe's files: a deploy prototxt and the caffemodel beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import nn

from zfcuda.data.preprocess import CAFFE_MEAN, Preprocess
from zfcuda.files.regular import refusal
from zfcuda.models.checkpoints.errors import WeightsError
from zfcuda.models.checkpoints.loaded import Loaded, agree, describe, fill
from zfcuda.models.checkpoints.read import read_weights


def caffe_network(path: Path, weights: Path | None, num_classes: int | None) -> Loaded:
    """A network from a prototxt or a caffemodel; the other of the two is looked for beside it."""
    prototxt, caffemodel = (path, weights) if path.suffix.lower() == ".prototxt" else (None, path)
    _check(path)
    if prototxt is None:
        if weights is not None:
            raise ValueError(f"weights: {weights}, but {path} holds weights already; give the prototxt instead")
        prototxt = _beside(path, ".prototxt")
        if prototxt is None:
            raise WeightsError(
                f"{path}: needs its deploy prototxt beside it; or name the prototxt, and this as weights"
            )
    elif caffemodel is None:
        caffemodel = _beside(path, ".caffemodel")
    _check(prototxt)
    try:
        text = prototxt.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{prototxt}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return from_prototxt(text, prototxt, caffemodel, num_classes, None)


def _check(file: Path) -> None:
    refused = refusal(file)
    if refused is not None:
        raise WeightsError(f"{file}: {refused}")


def _beside(path: Path, suffix: str) -> Path | None:
    """The other file of a pair: of the same name, give or take "deploy", or the only one in the folder."""
    there = sorted(other for other in path.parent.iterdir() if other.suffix.lower() == suffix)
    same = [other for other in there if _stem(other) == _stem(path)]
    deploy = [other for other in there if "deploy" in other.stem.lower()]
    return next((group[0] for group in (same, deploy, there) if len(group) == 1), None)


def _stem(path: Path) -> str:
    return path.stem.lower().replace("deploy", "").strip("_-.")


def from_prototxt(text: str, prototxt: Path, weights: Path | None, num_classes: int | None, mean: str | None) -> Loaded:
    from zfcuda.models.checkpoints import caffe

    model = caffe.build(text, str(prototxt))
    if weights is not None and weights.suffix.lower() == ".caffemodel":
        fill(model, caffe.state_dict(model, weights), weights)
    elif weights is not None:
        fill(model, read_weights(weights), weights)
    size: Any = model.input_size
    try:
        means = CAFFE_MEAN if mean is None else tuple(float(value) for value in mean.split(","))
    except ValueError:
        means = (math.nan,)
    if not all(map(math.isfinite, means)):
        raise WeightsError(f"{prototxt}: zfcuda.mean: expected numbers like 104,117,123, got {mean!r}")
    describe(model, None, Preprocess.caffe(size[1:], means) if size[0] == len(means) else None)
    last = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1:]
    count = next((layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features for layer in last), None)
    agree(num_classes, count, prototxt)
    title = f"{model.title or prototxt.stem}" + ("" if weights is None else f" with {weights.name}")
    return Loaded(model, title, None, weights is not None, count, size, weights)
