"""What a test kills: ``zfcuda paper all`` with two planted figures, of which the second waits for its end."""

from __future__ import annotations

import sys
import time

import pytest

from tests.paper import small
from zfcuda import cli
from zfcuda.paper.figure import Setting
from zfcuda.paper.result import Result


def waiting(setting: Setting) -> Result:
    with setting.cache.kept(setting.gallery, "moved", {}) as kept:
        kept.add({"picture": 0, "far": 0.5})
        (setting.runs.parent / "second").touch()
        time.sleep(60)
    return Result()


def main() -> None:
    small.planted(pytest.MonkeyPatch(), {"fig1": lambda setting: small.result(), "fig2": waiting})
    sys.exit(cli.main(sys.argv[1:]))


if __name__ == "__main__":
    main()
