"""What results print in a prompt: a few lines that say what they are, never tensors in full."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zfcuda.backward.deconvnet import projections
from zfcuda.data import Parts
from zfcuda.models import convolutionize, memory_need, summary


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 12, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(972, 5)).eval()


def test_projections(net: nn.Module) -> None:
    made = projections(net, torch.randn(1, 3, 20, 20), "0", top=12)
    said = repr(made)
    assert "[12, 3, 20, 20]" in said and f"{{{made.units[0]}: {made.values[0]:.4g}, " in said
    assert said.endswith(", ...}") and len(said) < 250
    assert repr(projections(net, torch.randn(1, 3, 20, 20), "4", top=2)).count(":") == 2


def test_memory_need(net: nn.Module) -> None:
    need = memory_need(net, (3, 20, 20))
    one, more = (f"{need.bytes(n) / 2**20:,.1f} MiB" for n in (1, 32))
    assert repr(need) == f"MemoryNeed: {one} for 1 image, {more} for 32"


def test_score_map(net: nn.Module) -> None:
    said = repr(convolutionize(net, (3, 20, 20)))
    assert said.startswith("ScoreMap(\n  window=(20, 20), stride=(2, 2), exact=True\n") and "Conv2d" in said


def test_parts() -> None:
    assert repr(Parts(seed=3, size=64)) == "Parts(seed=3, size=64)"
    picture = Parts(seed=3, size=64)[5]
    said = repr(picture)
    assert said.startswith(f"PartsPicture 5: {picture.label} '{picture.class_name}', 64 x 64 pixels, object ")
    assert f"defining part {100 * picture.part_mask.mean():.1f} %" in said and "\n" not in said


def test_summary_and_rows(net: nn.Module) -> None:
    table = summary(net, (3, 20, 20))
    assert repr(table) == str(table) and "\n" not in repr(table[0]) and len(repr(table[0])) < 250
