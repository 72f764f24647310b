"""One row of a table of a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What JSON can say, under the headings of its columns.
Row = Mapping[str, Any]
