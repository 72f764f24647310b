"""`pytest -s -p tests.harness.sanitized.plugin`: the tests with the sanitized module in zfcuda._C's place."""

from __future__ import annotations

import os
import sys

from tests.harness.sanitized import build

build.use(os.environ[build.LIBRARY])


def pytest_runtest_logstart(nodeid: str) -> None:
    """Where a sanitizer ends the process, the last line before its report says which test ran."""
    print(nodeid, file=sys.stderr, flush=True)
