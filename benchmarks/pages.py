"""`python -m benchmarks.pages [--pictures N] [--methods NAMES] [--folder DIR] [--json F]`: how a report of many opens.

Explains drawn pictures with the network of the package, shows each several times on the page of N, and opens it in a
headless Chromium several times: what a picture takes on the page, when something is seen, when all of it has been read,
and how many pictures were opened by then. Needs selenium, Chromium and its driver.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.environment import environment
from zfcuda.data import Parts
from zfcuda.method_names import chosen
from zfcuda.report import Asked, explain, load_subject, prepare
from zfcuda.report.files import streamed
from zfcuda.report.networks import networks_of
from zfcuda.report.page import page
from zfcuda.report.panels import draw
from zfcuda.report.part import part_of

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
    parser.add_argument(
        "--different", type=int, default=10, help="of these, which are shown again and again (default: %(default)s)"
    )
    parser.add_argument("--methods", default="", metavar="NAMES", help="maps of several methods, or all")
    parser.add_argument("--folder", type=Path, help="where the page goes; one that is there is opened as it is")
    parser.add_argument("--repeats", type=int, default=5, help="how often it is opened (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the numbers here; those of other methods there stay")
    given = parser.parse_args(arguments)
    from tests.harness.chromium import chromium

    with tempfile.TemporaryDirectory() as temporary:
        path = (given.folder or Path(temporary)) / "index.html"
        if not path.exists():
            write(path.parent, given.pictures, given.different, chosen(given.methods or None))
        with chromium() as driver:
            driver.set_window_size(1280, 900)
            rows = [opened(driver, path) for _ in range(given.repeats)]
    for line in told(rows, given.repeats):
        print(line)
    if given.json is not None:
        record(given.json, given.methods or "none", given.different, rows)


def record(path: Path, methods: str, different: int, rows: Sequence[dict[str, Any]]) -> None:
    """Writes what was measured beside what is there of other methods."""
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    kept[methods] = {"environment": environment(torch.device("cpu")), "different": different, "rows": list(rows)}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def write(folder: Path, count: int, different: int, methods: Sequence[str]) -> None:
    """Explains some drawn pictures, and writes the page, without its files, on which they stand again and again."""
    subject, parts = load_subject("demo"), Parts(seed=0)
    some = [
        explain(prepare(subject, parts[i].image, parts[i].class_name), methods=methods)
        for i in range(min(count, different))
    ]
    panels = [draw(e) for e in some]
    shown = [replace(some[i % different], name=f"{some[i % different].name} {i}") for i in range(count)]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as texts:
        shown_parts = [
            part_of(e, panels[i % different], Path(texts, str(i)), {}, number=i, stem=str(i), first=not i)
            for i, e in enumerate(shown)
        ]
        streamed(folder / "index.html", page(networks_of(shown_parts), datetime.now(), Asked(out=str(folder))))


def opened(driver: Any, path: Path) -> dict[str, Any]:
    """What opening the page once takes."""
    driver.get("about:blank")
    driver.get(path.resolve().as_uri())
    until = time.monotonic() + 10
    while (found := driver.execute_script(TIMES))[0] is None and time.monotonic() < until:
        time.sleep(0.05)
    *times, shown, count = found
    return dict(zip(WORDS, times, strict=True)) | {"open": shown, "pictures": count, "bytes": path.stat().st_size}


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
