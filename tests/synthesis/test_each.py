"""An objective for each image of a batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import zfcuda
from zfcuda.synthesis import each, l2, logit, unit


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    ).eval()


def test_a_batch_gives_what_runs_of_one_give(network: nn.Sequential) -> None:
    wanted = [unit("0", 2), unit("0", 5, (3, 4)), logit(1) - 0.1 * l2()]
    together = zfcuda.maximize(network, each(wanted), size=16, count=3, steps=5)
    for image, one in enumerate(wanted):
        alone = zfcuda.maximize(network, one, size=16, steps=5, seed=image)
        assert torch.allclose(together[image : image + 1], alone, atol=1e-4)
    assert each(wanted).logits and each(wanted).layers == ("0",)


def test_as_many_objectives_as_images(network: nn.Sequential) -> None:
    with pytest.raises(ValueError, match="objectives: expected one for each of 3 images, got 2"):
        zfcuda.maximize(network, each([unit("0", 0), unit("0", 1)]), size=16, count=3, steps=1)
    with pytest.raises(ValueError, match="objectives: expected at least one"):
        each([])
