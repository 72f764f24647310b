"""Options that were chosen in vain."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zfcuda
from tests.train import tiny
from tests.train.sets.trees import tree
from tests.train.tiny import OPTIONS
from zfcuda.models.checkpoints.trained import save_trained
from zfcuda.train import train
from zfcuda.train.network import subject
from zfcuda.train.options import Options


class Block(nn.Module):
    """Has a weight of its own beside a layer, as those of ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4, 1, 1))
        self.conv = nn.Conv2d(3, 4, 12)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scale * self.conv(images)


def scaled(num_classes: int = 2) -> nn.Module:
    parts = {"block": Block(), "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "head": nn.Linear(4, num_classes)}
    return nn.Sequential(OrderedDict(parts))


SCALED = f"{__name__}:scaled"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    counts = {"train": 8, "validation": 3, "test": 2}
    return tree(tmp_path / "data", {f"{part}/{kind}": n for part, n in counts.items() for kind in ("cat", "dog")})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Weights of a ZFNet for cats and dogs."""
    torch.manual_seed(0)
    save_trained(
        tmp_path / "zfnet.safetensors",
        zfcuda.models.zfnet(2, width=0.05),
        network="zfnet",
        options={"num_classes": 2, "width": 0.05},
        classes=["cat", "dog"],
        preprocess=zfcuda.Preprocess(224, 256, (0.4, 0.5, 0.6), (0.2, 0.3, 0.2)),
        facts={},
    )
    return tmp_path / "zfnet.safetensors"


def test_what_was_chosen_in_vain_is_told(data: Path, file: Path, tmp_path: Path) -> None:
    start: dict[str, Any] = {"weights": file, "batch": 4, "workers": 0}
    for given, said in (
        ({**start, "width": 0.5}, "width: expected 0.05, that of the weights to start from, got 0.5"),
        ({**start, "init": "he"}, "init: expected none beside weights to start from, got he"),
        ({**start, "size": 128}, "size: expected 224, what the weights were trained with"),
        ({**OPTIONS, "warm_up": 500}, "warm_up: expected fewer than the 12 steps of the run, got 500"),
        ({**OPTIONS, "teacher": file, "distill": 0}, "distill: expected above 0, as there is a teacher"),
        ({**OPTIONS, "teacher": file, "label_smoothing": 0.1}, "label_smoothing: expected none where distill is 1"),
        ({**OPTIONS, "teacher": file}, "teacher: .*: cannot read 12 x 12 pixels, which are what the student sees"),
    ):
        with pytest.raises(ValueError, match=said):
            train(data, tmp_path / "run", **given)
    with pytest.warns(UserWarning, match="dropout: .* has no dropout layers: 0.2 has no effect"):
        train(data, tmp_path / "plain", **OPTIONS | {"model": f"{tiny.__name__}:plain", "dropout": 0.2, "epochs": 1})


def test_a_block_s_own_weights_are_frozen_with_it() -> None:
    model = subject(Options(model=SCALED, freeze_below="head"), 2).model
    assert {name for name, value in model.named_parameters() if value.requires_grad} == {"head.weight", "head.bias"}


def test_a_frozen_nothing_is_told(data: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="freeze_below: no weights are below 0: all of them learn"):
        train(data, tmp_path / "run", **OPTIONS | {"freeze_below": "0", "epochs": 1})


def test_weights_of_as_many_other_classes_lose_their_last_layer(file: Path) -> None:
    options = Options(weights=str(file))
    assert subject(options, 2, ["cat", "dog"]).begun is None
    other = subject(options, 2, ["dog", "hat"])
    assert other.begun == "fc8" and not other.model.fc8.weight.any()  # type: ignore[union-attr, operator]
