"""Fixtures of the tests in a real Chromium; they are skipped where selenium, Chromium or its driver is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.harness.serving import Server, serving

if TYPE_CHECKING:
    from tests.harness.browser import Browser


@pytest.fixture(scope="session")
def installed() -> ModuleType:
    """The module that starts Chromium, where there are selenium, Chromium and its driver."""
    pytest.importorskip("selenium")
    from tests.harness import chromium

    if not (chromium.CHROMIUM and chromium.CHROMEDRIVER):
        pytest.skip("no chromium and chromedriver on the PATH (Debian: chromium, chromium-driver)")
    return chromium


@pytest.fixture(scope="session")
def chromium(installed: ModuleType) -> Iterator[object]:
    """The one Chromium of a run, with selenium's driver."""
    with installed.chromium() as driver:
        yield driver


@pytest.fixture
def browser(chromium: object, tmp_path: Path) -> Iterator[Browser]:
    """A fresh tab; at its end nothing stands on the console, and nobody but the pages' own host was asked."""
    from tests.harness.browser import Browser

    tab = Browser(chromium, tmp_path)
    yield tab
    complaints = tab.complaints()
    tab.forget()
    assert not complaints, complaints


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """`served(*arguments)`: a `zfcuda serve` with these arguments, the same one for all tests that ask for the same."""
    for package in ("starlette", "uvicorn"):
        pytest.importorskip(package)
    running: dict[tuple[str, ...], Server] = {}
    with contextlib.ExitStack() as stack:

        def serve(*arguments: str) -> Server:
            if arguments not in running:
                errors = tmp_path_factory.mktemp("served") / "errors.txt"
                running[arguments] = stack.enter_context(serving(*arguments, errors=errors))
            return running[arguments]

        yield serve
