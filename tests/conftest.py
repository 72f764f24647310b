"""Shared fixtures: every operator and method test runs on the CPU, and on CUDA where there is one."""

from __future__ import annotations

import gc
import importlib.util

import pytest
import torch

# Without the packages that only tests need, the other files still run.
collect_ignore = (
    []
    if importlib.util.find_spec("hypothesis")
    else [
        *(f"backward/test_{name}.py" for name in ("deconvnet", "linear", "nonlinear", "random_networks")),
        "network",
        "occlusion/incremental",
    ]
)


def pytest_report_header() -> list[str]:
    return [f"no hypothesis here, left out: {', '.join(collect_ignore)}"] if collect_ignore else []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a GPU the tests that need one are counted in one line, as deselected."""
    needed = [] if torch.cuda.is_available() else [item for item in items if item.get_closest_marker("cuda")]
    if needed:
        items[:] = [item for item in items if item not in set(needed)]
        config.hook.pytest_deselected(items=needed)


def pytest_collection_finish() -> None:
    """What lives until the end, thousands of tests and torch itself, is not looked through for garbage again, and the
    rest more rarely: that took a fifteenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(params=["cpu", *([pytest.param("cuda", marks=pytest.mark.cuda)] if torch.cuda.is_available() else [])])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
