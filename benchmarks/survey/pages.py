"""Writes the page of a network, and looks whether all is on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from torch import Tensor, nn

import zfcuda


def written(
    network: nn.Module, preprocess: Callable[[Image.Image], Tensor], picture: Image.Image, best: int, folder: Path
) -> str:
    """Writes the page, with the occluder in the four corners -> what is on it.

    best: the class that it has to be about.
    """
    window, stride = few_windows(preprocess(picture))
    zfcuda.explain(network, picture, out=folder, preprocess=preprocess, window=window, stride=stride, top=1)
    return found(folder, best)


def few_windows(image: Tensor) -> tuple[int, int]:
    """(window, stride): four windows, in the corners of an image [...,H,W]."""
    side = image.shape[-1]
    return side // 4, side - side // 4


def found(folder: Path, best: int) -> str:
    """What is on the page in a folder.

    Raises:
        AssertionError: it lacks a layer, or is about another class.
    """
    text, numbers = ((folder / name).read_text("utf-8") for name in ("index.html", "numbers.json"))
    everything = json.loads(numbers)
    (shown,) = everything["pictures"]
    if not all(layer["name"] in text for layer in shown["layers"]) or shown["target"]["index"] != best:
        raise AssertionError(f"the page lacks a layer, or is about class {shown['target']}, not {best}")
    without = sum(layer["refusal"] is not None for layer in shown["layers"])
    said = f" ({without} not projected)" if without else ""
    return f"{len(shown['layers'])} layers{said}, {len(everything['files'])} pictures"
