"""How long a report takes to open: what is said of the times, and a page that is measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks import pages
from tests.report.small import explained
from zfcuda.report import Folder


def test_medians_and_the_longest_are_told() -> None:
    rows = [
        {"first paint": paint, "read": 800.0, "loaded": 900.0, "open": 2, "pictures": 4, "bytes": 2_000_000}
        for paint in (100.0, 300.0, 1100.0)
    ]
    assert pages.told(rows, 3) == [
        "4 pictures, 2.0 MB, 0.50 MB a picture",
        "first paint  0.30 s (at most 1.10 s in 3)",
        "read         0.80 s (at most 0.80 s in 3)",
        "loaded       0.90 s (at most 0.90 s in 3)",
        "opened by then: 2 pictures",
    ]


def test_a_page_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("selenium")
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("no chromium and chromedriver on the PATH")
    with Folder(tmp_path) as report:
        report.write([explained("one.png"), explained("two.png", 1)])
    pages.main(["--repeats", "1", "--folder", str(tmp_path)])
    first, paint, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("2 pictures, ") and paint.startswith("first paint  ") and last.startswith("opened by then:")
