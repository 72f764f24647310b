"""What every test of the incremental engine starts from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.harness.random_networks import normal
from tests.occlusion.incremental.definition import prepared
from tests.occlusion.incremental.networks import SIZE, Layered, Plain


@pytest.fixture(autouse=True)
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """TF32 differs from one batch size to the next by more than is allowed here."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture
def image(device: torch.device) -> Tensor:
    return normal(SIZE, 1).to(device)


@pytest.fixture
def net(image: Tensor) -> nn.Module:
    return prepared(Plain().to(image.device), image)


@pytest.fixture
def layered(image: Tensor) -> nn.Module:
    return prepared(Layered().to(image.device), image)
