"""What the tables of results share: where those lie, and how a table is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
NOT_MEASURED = "Not yet measured."
Row = dict[str, Any]


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a table in Markdown."""
    head, *body = [f"| {' | '.join(map(str, cells))} |" for cells in (columns, *rows)]
    return [head, "|---" * len(columns) + "|", *body]
