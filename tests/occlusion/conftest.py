"""What all tests of occlusion share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def reduced_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in bfloat16 what asks for it, on processors too that compute it slowly: these tests' numbers are few."""
    monkeypatch.setattr("zfcuda.occlusion.experiment.is_fast", lambda dtype, device: True)
