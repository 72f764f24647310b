"""`python -m benchmarks.pages [--pictures N] [--methods NAMES] [--folder DIR]`: how long a report takes to open.

Explains N drawn pictures with the network of the package, nothing of it made up, and opens the page in a headless
Chromium several times: what a picture takes on the page, when something is seen, when all of it has been read, and how
many pictures were opened by then. Needs selenium, Chromium and its driver.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zfcuda.data import Parts
from zfcuda.method_names import chosen
from zfcuda.report import Folder, explain, load_subject, prepare

# Milliseconds from the start of the navigation on; what is painted may be told some time later.
TIMES = """
const [page] = performance.getEntriesByType('navigation');
const paint = performance.getEntriesByName('first-contentful-paint')[0];
return [paint?.startTime, page.domContentLoadedEventEnd, page.loadEventEnd,
  document.querySelectorAll('article[data-open]').length, document.querySelectorAll('article.picture').length];
"""
WORDS = ("first paint", "read", "loaded")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--pictures", type=int, default=100, help="how many (default: %(default)s)")
    parser.add_argument("--methods", default="", metavar="NAMES", help="maps of several methods, or all")
    parser.add_argument("--folder", type=Path, help="where the page goes; one that is there is opened as it is")
    parser.add_argument("--repeats", type=int, default=5, help="how often it is opened (default: %(default)s)")
    given = parser.parse_args(arguments)
    from tests.harness.chromium import chromium

    with tempfile.TemporaryDirectory() as temporary:
        page = (given.folder or Path(temporary)) / "index.html"
        if not page.exists():
            write(page.parent, given.pictures, chosen(given.methods or None))
        with chromium() as driver:
            driver.set_window_size(1280, 900)
            rows = [opened(driver, page) for _ in range(given.repeats)]
    for line in told(rows, given.repeats):
        print(line)


def write(folder: Path, count: int, methods: Sequence[str]) -> None:
    """Explains that many drawn pictures."""
    subject, parts = load_subject("demo"), Parts(seed=0)
    with Folder(folder) as report:
        report.write(
            [
                explain(prepare(subject, parts[i].image, f"{parts[i].class_name} {i}"), methods=methods)
                for i in range(count)
            ]
        )


def opened(driver: Any, page: Path) -> dict[str, Any]:
    """What opening the page once takes."""
    driver.get("about:blank")
    driver.get(page.resolve().as_uri())
    until = time.monotonic() + 10
    while (found := driver.execute_script(TIMES))[0] is None and time.monotonic() < until:
        time.sleep(0.05)
    *times, shown, count = found
    return dict(zip(WORDS, times, strict=True)) | {"open": shown, "pictures": count, "bytes": page.stat().st_size}


def told(rows: Sequence[dict[str, Any]], repeats: int) -> list[str]:
    """Medians, and the longest of them, in words."""
    first = rows[0]
    size = first["bytes"] / 1e6
    lines = [f"{first['pictures']} pictures, {size:.1f} MB, {size / first['pictures']:.2f} MB a picture"]
    for word in WORDS:
        values = [row[word] / 1000 for row in rows]
        lines.append(f"{word:12} {statistics.median(values):.2f} s (at most {max(values):.2f} s in {repeats})")
    return [*lines, f"opened by then: {max(row['open'] for row in rows)} pictures"]


if __name__ == "__main__":
    main()
