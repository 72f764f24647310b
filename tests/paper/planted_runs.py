"""Folders of finished trainings that nobody made: networks that answer every picture alike, as it is planted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import zfcuda
from zfcuda.models import alexnet_one_tower, zfnet
from zfcuda.models.checkpoints.trained import save_trained
from zfcuda.paper.trainings import Training
from zfcuda.train.run_config import write_config
from zfcuda.train.sets import read_sets

CLASSES = ("blue", "green", "red")
_WIDTH = 0.02


def pictures(root: Path, counts: Sequence[int] = (5, 3, 2)) -> Path:
    """A folder with train/, validation/ and test/, and so many pictures of each class in each."""
    for part in ("train", "validation", "test"):
        for name, count in zip(CLASSES, counts, strict=True):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                shade = tuple(10 * number + (200 if each == name else 0) for each in ("red", "green", "blue"))
                Image.new("RGB", (16, 16), shade).save(root / part / name / f"{number}.png")
    return root


def plant(training: Training, runs: Path, logits: Sequence[float], **changed: Any) -> None:
    """A run whose network has these logits for any picture.

    Args:
        changed: of its config.
    """
    sets, options = read_sets(training.data), {k: v for k, v in training.options.items() if k != "snapshots"}
    folder, name = runs / training.name, options["model"]
    folder.mkdir(parents=True)
    variant = name.removeprefix("zfnet_") if name != "zfnet" else "paper"
    old = name == "alexnet_one_tower"
    torch.manual_seed(options["seed"])
    network = alexnet_one_tower(3, width=_WIDTH) if old else zfnet(3, variant=variant, width=_WIDTH)
    *_, weight, bias = network.state_dict().values()
    weight.zero_()
    bias.copy_(torch.tensor(logits))
    save_trained(
        folder / "weights.safetensors",
        network,
        network=name,
        options={"num_classes": 3, "width": _WIDTH},
        classes=CLASSES,
        preprocess=zfcuda.Preprocess(224, 224),
        facts={},
    )
    data = {"title": sets.title, "fingerprint": sets.fingerprint, "classes": sets.classes}
    config = {**options, "batch": 64, "size": 224, "split": 0.1, "network": name, "data": data}
    write_config(folder / "config.json", {**config, **changed}, {})
    rows = [
        {"epoch": epoch, "validation_top1": top1, "validation_top5": 1.0, "seconds": 60.0 * epoch}
        for epoch, top1 in ((1, 0.1), (2, 0.25), (3, 0.2))
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "result.json").write_text(json.dumps({"epoch": 2, "validation": 0.25, "test": None}))
