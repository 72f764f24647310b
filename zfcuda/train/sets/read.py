"""Reads what a run is given as its data."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from zfcuda.complaint import one_line
from zfcuda.data import Parts
from zfcuda.data.folders import is_folder
from zfcuda.train.sets.datasets import sets_of_data, sets_of_name
from zfcuda.train.sets.drawings import COUNT, SEED, sets_of_parts
from zfcuda.train.sets.sets import Sets
from zfcuda.train.sets.tree import sets_of_folder

_EXPECTED = "a folder of class folders, the word parts, or module:attribute that gives torch Datasets"


def read_sets(data: Any, *, seed: int = 0, split: float = 0.1) -> Sets:
    """The pictures of a run: to train on, to validate on, and perhaps to test on. No picture is decoded.

    Args:
        data: a folder with train/ (training/), validation/ (val/, valid/) and test/, each of class folders; without
            validation/ a part of train/ is set aside, without test/ there is none. A folder that is itself class
            folders is divided into all three. Folders called by ImageNet's ids, n01440764, get ImageNet's names.

            The word "parts", zfcuda.data.Parts or (Parts, count): drawn pictures, by default 12,000 of seed 1;
            those to validate and to test on are of seeds that nothing may be trained on.

            "module:attribute", which is imported, or what it would give: a torch Dataset with a length, of pairs of a
            picture or an image [C,H,W] and a label; a dict or tuple of train, validation and perhaps test; or a
            function that returns such. One alone is divided into three. Where they carry no list of labels
            (`.targets`), all items are read; class names are their `.classes`.
        seed: decides what is set aside.
        split: the share of each class that is set aside for each part that is made.

    Raises:
        ValueError, TypeError: one line that begins with "data", "seed" or "split" and names what is wrong: a folder
            without classes, with one, an empty one or one in two spellings, a class that training lacks.

    Warns:
        Of classes that nothing is measured of, and of files that are in training and another part.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed: expected a whole number of at least 0, got {seed!r}")
    if not 0 < split < 0.5:
        raise ValueError(f"split: expected a share above 0 and below 0.5, got {split!r}")
    said: list[str] = []
    sets = _read(data, seed, split, said)
    if os.environ.get("RANK", "0") == "0":  # of the processes that torchrun has started, the first tells
        for text in said:
            warnings.warn(text, stacklevel=2)
    return sets


def is_parts(data: Any) -> bool:
    """Whether data, as :func:`read_sets` takes it, is Parts: a folder of the name `parts` is not."""
    if isinstance(data, str | os.PathLike):
        return os.fspath(data) == "parts" and not is_folder(data)
    return isinstance(data, Parts) or (isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], Parts))


def _read(data: Any, seed: int, split: float, said: list[str]) -> Sets:
    if is_parts(data):
        parts, count = data if isinstance(data, tuple) else (data, COUNT)
        return sets_of_parts(parts if isinstance(parts, Parts) else Parts(SEED), count, split)
    if not isinstance(data, str | os.PathLike):
        return sets_of_data(data, type(data).__name__, seed, split, said)
    if is_folder(data):
        return sets_of_folder(Path(data), seed, split, said)
    text = os.fspath(data)
    if os.path.lexists(text):
        raise ValueError(f"data: {one_line(text)}: expected {_EXPECTED}, got a file")
    if ":" in text and "/" not in text:
        return sets_of_name(text, seed, split, said)
    raise ValueError(f"data: {one_line(text)}: no such folder; expected {_EXPECTED}")
