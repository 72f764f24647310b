"""Shared fixtures: every operator and method test runs on the CPU, and on CUDA where there is one."""

from __future__ import annotations

import importlib.util

import pytest
import torch

# Without the packages that only tests need, the other files still run.
collect_ignore = (
    []
    if importlib.util.find_spec("hypothesis")
    else ["test_deconv.py", "test_export.py", "test_incremental.py", "test_network.py"]
)


def pytest_report_header() -> list[str]:
    return [f"no hypothesis here, left out: {', '.join(collect_ignore)}"] if collect_ignore else []


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
