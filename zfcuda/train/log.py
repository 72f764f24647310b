"""A file of JSON lines that is only ever appended to, and survives a kill in the middle of a line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zfcuda.complaint import one_line
from zfcuda.files.drafts import synced, whole


class Log:
    """Lines of JSON, each a dict.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def mend(self) -> None:
        """Cuts off a last line that was not written to its end.

        Raises:
            OSError: the disk refuses.
        """
        if not self.path.exists():
            return
        lines = self.path.read_bytes().splitlines(keepends=True)
        count = len(lines)
        while count and not (lines[count - 1].endswith(b"\n") and _parsed(lines[count - 1]) is not None):
            count -= 1
        if count < len(lines):
            os.truncate(self.path, sum(map(len, lines[:count])))
            synced(self.path)

    def append(self, row: Mapping[str, Any]) -> None:
        """Appends a line, and waits until it is on the disk. Numbers that are not finite become null.

        Raises:
            ValueError: the disk refuses; the lines before are there.
        """
        line = json.dumps(finite(row), allow_nan=False).encode() + b"\n"
        try:
            new = not self.path.exists()
            with self.path.open("ab", buffering=0) as stream:
                size = stream.tell()
                try:
                    while line:  # a disk that is nearly full takes a part
                        line = line[stream.write(line) :]
                    os.fsync(stream.fileno())
                except OSError:
                    os.truncate(self.path, size)
                    raise
            if new:
                synced(self.path.parent)
        except OSError as error:
            raise self._refused(error) from error

    def rows(self) -> list[dict[str, Any]]:
        """The lines, in order; what is no line of JSON is passed over."""
        if not self.path.exists():
            return []
        return [row for line in self.path.read_bytes().splitlines() if (row := _parsed(line)) is not None]

    def cut(self, epoch: float) -> None:
        """Removes the lines whose `epoch` is later.

        Raises:
            ValueError: the disk refuses; the lines are as before.
        """
        rows = self.rows()
        kept = [row for row in rows if row.get("epoch", 0) <= epoch]
        if len(kept) < len(rows):
            try:
                with whole(self.path, durable=True) as [draft]:
                    draft.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
            except OSError as error:
                raise self._refused(error) from error

    def _refused(self, error: OSError) -> ValueError:
        return ValueError(f"log: {one_line(os.fspath(self.path))}: cannot be written to ({error.strerror or error})")


def finite(value: Any) -> Any:
    """A value with every number in it that is not finite as None, which JSON can say."""
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
