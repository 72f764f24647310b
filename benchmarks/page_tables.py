"""What was measured of pages in a browser, as tables: the occluder under the pointer, and how long reports open."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

Lines = tuple[list[str], list[list[str]], list[str]]  # columns, rows, sentences without the points at their ends


def live_page(result: Mapping[str, Any]) -> Lines:
    columns = ["network", "answers a second", "ms to the screen", "90 %", "99 %", "of these in the network"]
    rows = []
    for row in result["live_page"]:
        wait = row["milliseconds"]
        times = [f"{wait[name]:.1f}" for name in ("median", "p90", "p99", "in_network")]
        rows.append([row["network"], f"{row['answers_per_second']:.1f}", *times])
    return columns, rows, []


def pages(result: Mapping[str, Any]) -> Lines:
    columns = ["methods on the page", "pictures", "MB a picture", "first paint, s", "loaded, s", "at most"]
    rows = []
    for methods, one in result.items():
        measured = one["rows"]
        paint, loaded = (
            [row[word] / 1000 for row in measured if row[word] is not None] for word in ("first paint", "loaded")
        )
        first = measured[0]
        size = first["bytes"] / 1e6 / first["pictures"]
        middle = [f"{statistics.median(times):.2f}" for times in (paint, loaded)]
        rows.append([methods, str(first["pictures"]), f"{size:.2f}", *middle, f"{max(loaded):.2f}"])
    different = next(iter(result.values()))["different"]
    return columns, rows, [f"{different} different drawn pictures, each shown again and again"]
