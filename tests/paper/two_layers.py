"""A network of two convolutions, and the folder of a training of it that nobody made."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

import zfcuda
from zfcuda.models.checkpoints.trained import save_trained
from zfcuda.train.network import subject
from zfcuda.train.options import Options

CLASSES = ["a", "b"]
SIDE = 16
OPTIONS = Options(model=f"{__name__}:two", recipe="modern", init="he", seed=3)


def two(num_classes: int = 2) -> nn.Module:
    """Reads squares of 16."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32, num_classes),
    ).eval()


def initial() -> nn.Module:
    """The network that the training begins with."""
    return subject(OPTIONS, len(CLASSES), CLASSES).model


def between(start: nn.Module, end: nn.Module, shares: Mapping[str, float]) -> nn.Module:
    """A network on its way: of each layer by its name the share of the way that is gone."""
    found = two()
    first, last = start.state_dict(), end.state_dict()
    found.load_state_dict(
        {key: torch.lerp(first[key].contiguous(), last[key].contiguous(), shares[key.split(".")[0]]) for key in first}
    )
    return found


def plant(folder: Path, models: Mapping[int, nn.Module], **options: object) -> Path:
    """A run whose snapshots are these networks, by epoch."""
    (folder / "snapshots").mkdir(parents=True)
    data = {"title": "squares: 4 training pictures", "classes": CLASSES}
    config = {**dataclasses.asdict(OPTIONS), **options, "data": data}
    (folder / "config.json").write_text(json.dumps(config))
    for epoch, model in models.items():
        save_trained(
            folder / "snapshots" / f"epoch-{epoch:04}.safetensors",
            model,
            network=OPTIONS.model,
            options={"num_classes": 2},
            classes=CLASSES,
            preprocess=zfcuda.Preprocess(SIDE, SIDE),
            facts={"epoch": epoch},
        )
    return folder
