"""dreamlens (pip install dreamlens torchvision), as its notebook "Getting started" sets it, and as it comes.

One image in a run: its call for several classes at once took 4 % less processor time for four of them, in a batch that
shares one clipping of gradients.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SETTINGS = ("notebook", "defaults")
_MEAN, _DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
_SEED = 17  # the notebook's
_library: torch.library.Library | None = None  # lives as long as what is defined in it


def missing() -> str:
    """What has to be installed; "" where nothing has."""
    absent = [name for name in ("dreamlens", "torchvision") if importlib.util.find_spec(name) is None]
    return ", ".join(absent)


def _import_torchvision() -> None:
    """Imports it, also where its compiled operators are of another build: its transforms, which are needed, are not
    among them."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        global _library
        _library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):  # which it gives shapes of results to
            _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")


class Opponent:
    """Makes images of classes with one of SETTINGS, of the network's own size."""

    def __init__(self, model: Any, setting: str) -> None:
        _import_torchvision()
        self._package: Any = importlib.import_module("dreamlens")
        self._size, self._setting = model.preprocess.size, setting
        own = model.preprocess
        mean, deviation = (torch.tensor(values).view(1, -1, 1, 1) for values in (own.mean, own.std))
        theirs_mean, theirs_deviation = (values.view(1, -1, 1, 1) for values in (_MEAN, _DEVIATION))

        def from_unit(images: Tensor) -> Tensor:
            return (images - mean) / deviation

        def from_theirs(images: Tensor) -> Tensor:
            return from_unit(images * theirs_deviation + theirs_mean)

        self._preprocess = from_theirs if setting == "notebook" else from_unit
        self._visualizer = self._package.FeatureVisualizer(model, quiet=True, preprocess=self._preprocess)

    def __call__(self, target: int, steps: int) -> tuple[Image.Image, float]:
        """A picture of a class, and the processor seconds that it took."""
        random.seed(_SEED)
        np.random.seed(_SEED)
        torch.manual_seed(_SEED)
        if self._setting == "notebook":
            views = self._package.TransformConfig(
                rotate_degrees=6, scale_min=0.82, scale_max=1.12, translate_x=0.01, translate_y=0.01
            )
            config = self._package.RenderConfig.reference(
                self._size, self._size, steps=steps, lr=1.2e-2, transform=views
            )
            config = replace(config, preprocess=self._preprocess)
        else:
            config = self._package.RenderConfig(self._size, self._size, steps=steps)
        begin = time.process_time()
        result = self._visualizer.maximize_class(target, config=config)
        seconds = time.process_time() - begin
        values = (result.as_chw().clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
        return Image.fromarray(values.numpy()), seconds
