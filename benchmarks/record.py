"""Results in files: one JSON per device, its parts replaced one by one.

    {"device": "NVIDIA H100 80GB HBM3",
     "operators": {"float32": {"environment": {...}, "rows": [...]}, "bfloat16": {...}},
     "occlusion": {...}, "deconvnet": {...}, "attribution": {...}, "training": {...},
     "synthesis": {...}, "live": {...}, "many": {...}}

A run replaces the sections and dtypes that it measures and leaves the others, each of which says where, when and how it
was measured. `python -m benchmarks.record INTO FROM ...` puts what was measured in several runs into one file.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

SECTIONS = ("operators", "occlusion", "deconvnet", "attribution", "training", "synthesis", "live", "many")
Results = dict[str, Any]


class RecordError(ValueError):
    """A file that holds something else than this device's results."""


def read(path: Path) -> Results:
    """A file of results.

    Raises:
        RecordError: the file holds no results.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecordError(f"{path}: not JSON: {error}") from None
    if not isinstance(results, dict) or not isinstance(results.get("device"), str):
        raise RecordError(f"{path}: not a file of results, it names no device; write to another")
    return results


def write(results: Results, path: Path) -> None:
    """Writes a file in one step: whatever interrupts it leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = {"device": results["device"]} | {name: results[name] for name in SECTIONS if name in results}
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)


def merged(old: Results, new: Results, path: Path) -> Results:
    """Old results with those parts replaced that new ones have.

    Raises:
        RecordError: they are of different devices.
    """
    if old["device"] != new["device"]:
        raise RecordError(
            f"{path}: holds results of {old['device']!r}, these are of {new['device']!r}; write to another"
        )
    return old | {name: old.get(name, {}) | new[name] for name in SECTIONS if name in new}


class Record:
    """What a run measures, written to a file as it comes, if there is one."""

    def __init__(self, environment: dict[str, Any], path: Path | None) -> None:
        self.environment, self.path = environment, path
        self.results: Results = {"device": environment["device"]}
        self.before = dict(self.results)
        if path is not None and path.exists():
            self.before = read(path)
            merged(self.before, self.results, path)  # refused before anything is measured

    def add(self, section: str, row: dict[str, Any]) -> None:
        parts = self.results.setdefault(section, {})
        parts.setdefault(row["dtype"], {"environment": self.environment, "rows": []})["rows"].append(row)
        if self.path is not None:
            write(merged(self.before, self.results, self.path), self.path)


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__)
        return 2
    into, *sources = map(Path, sys.argv[1:])
    try:
        results = read(into) if into.exists() else None
        for source in sources:
            new = read(source)
            results = new if results is None else merged(results, new, into)
    except (RecordError, OSError) as error:
        print(f"benchmarks.record: {error}", file=sys.stderr)
        return 1
    assert results is not None
    write(results, into)
    print(f"written: {into}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
