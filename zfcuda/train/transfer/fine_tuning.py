"""Fine-tuning beside the linear classifiers: of the last layers, and of all, as zfcuda train does it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zfcuda.models.checkpoints.load import find
from zfcuda.models.checkpoints.trained import read_trained
from zfcuda.train.network import PRETRAINED
from zfcuda.train.run import train
from zfcuda.train.sets import Sets
from zfcuda.train.transfer.choices import Choice
from zfcuda.train.transfer.runs import choice_of_run

#: What differs from the recipe "modern", which is for first weights that know nothing.
OPTIONS: Mapping[str, Any] = {"rate": 5e-4, "batch": 32, "weight_decay": 0.01, "dropout": 0.2}
LAST, ALL = "fine-tuned-last", "fine-tuned-all"  # the folders of the runs


def start_of(name_or_file: str, weights: str | None) -> dict[str, Any]:
    """The options of zfcuda train that start from a network, as zfcuda.models.load takes it.

    Raises:
        ValueError: no run can start from it by name, as from the network in the package.
    """
    if weights is not None:
        return {"model": name_or_file, "weights": weights}
    loaded = find(name_or_file)
    if loaded.origin is None:
        raise ValueError(f"fine_tune: expected a network of zfcuda.models.NAMES or its weights, got {name_or_file}")
    if not os.path.isfile(name_or_file):
        return {"model": loaded.origin, "weights": PRETRAINED}
    known = read_trained(name_or_file)
    width = known.options.get("width") if known is not None else None
    return {"model": loaded.origin, "weights": name_or_file, **({} if width is None else {"width": width})}


def fine_tune(
    data: Any,
    sets: Sets,
    start: Mapping[str, Any],
    folder: Path,
    *,
    freeze_below: str,
    progress: bool = False,
    command: str = "",
    **options: Any,
) -> list[Choice]:
    """Fine-tunes what is above a layer, then all, each in a folder of its own, where the same call goes on.

    Args:
        data: as zfcuda.train.train takes it. sets: what is read of it.
        start: as :func:`start_of` gives it.
        folder: where the runs' folders go.
        freeze_below: the layer below which nothing learns in the first run, batch norms included.
        options: others of zfcuda.train.Options, as epochs, seed and split.
    """
    found = []
    for name, frozen in ((LAST, freeze_below), (ALL, None)):
        batch = min(OPTIONS["batch"], len(sets.train.labels))
        chosen = {**OPTIONS, "batch": batch, **start, **options, "freeze_below": frozen}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "dropout: ")  # nobody has asked for it
            train(data, folder / name, progress=progress, command=command, **chosen)
        found.append(choice_of_run(folder / name, sets))
    return found


def usual_freeze(layers: list[str]) -> str:
    """The layer below which the last layers' run learns nothing: of those compared, the one two thirds up."""
    return layers[min(len(layers) - 1, 2 * len(layers) // 3)]
