"""The zoo's rows in a file, each written as soon as it is there; those of other networks stay."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from benchmarks.record import RecordError, read

Row = dict[str, Any]


class Rows:
    """The rows of one dtype: {"device": ..., "float32": {"environment": {...}, "rows": [...]}, "bfloat16": ...}.

    Raises:
        RecordError: the file holds something else than this device's rows.
    """

    def __init__(self, environment: dict[str, Any], dtype: str, path: Path | None) -> None:
        self.environment, self.dtype, self.path = environment, dtype, path
        self.results: dict[str, Any] = {"device": environment["device"]}
        if path is not None and path.exists():
            self.results = read(path)
            if self.results["device"] != environment["device"]:
                raise RecordError(f"{path}: holds results of {self.results['device']!r}; write to another")
        self.by_name: dict[str, Row] = {row["network"]: row for row in self.results.get(dtype, {}).get("rows", [])}

    def add(self, row: Row) -> None:
        """Adds a network's row, in place of one that is there, and writes the file."""
        self.by_name[row["network"]] = row | {"date": self.environment["date"]}
        self.results[self.dtype] = {"environment": self.environment, "rows": list(self.by_name.values())}
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft = self.path.with_suffix(".draft")
            draft.write_text(json.dumps(self.results, indent=1) + "\n", encoding="utf-8")
            os.replace(draft, self.path)
