"""What was measured so far, kept in a file line by line, so that a run that was broken off goes on."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from zfcuda.files.drafts import whole
from zfcuda.files.regular import refusal

#: What is known of one thing once it is measured: what JSON can say, under names.
Record = dict[str, Any]


class Kept:
    """A file of records, one a line, under a line of what they depend on; records of other facts are left out.

    Args:
        path: of the file; it need not be there.
        facts: what the records depend on, fit for JSON.
        key: the name in each record of the number that it is found by.
        stays: whether the file is there afterwards, too.

    Attributes:
        records: number -> record.
    """

    def __init__(self, path: Path, facts: dict[str, Any], *, key: str = "picture", stays: bool = False) -> None:
        self._path, self._facts, self._key, self._stays = path, facts, key, stays
        self.records: dict[int, Record] = {}
        self._file: TextIO | None = None

    def __enter__(self) -> Kept:
        self.records = self._read()
        with whole(self._path) as [draft]:  # the last line may be half of one
            lines = [self._facts, *self.records.values()]
            draft.write_text("".join(map(_line, lines)), encoding="utf-8")
        self._file = open(self._path, "a", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._file is not None
        self._file.close()
        if not self.records or (kind is None and not self._stays):
            self._path.unlink(missing_ok=True)

    def add(self, record: Record) -> None:
        """Keeps a record, on disk too."""
        assert self._file is not None
        self._file.write(_line(record))
        self._file.flush()
        self.records[record[self._key]] = record

    def _read(self) -> dict[int, Record]:
        if refusal(self._path):  # there is none, or it is no file; then the disk says so when it is written
            return {}
        found: list[Any] = []
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:  # the run was killed while it wrote this one
                break
        if not found or found[0] != self._facts:
            return {}
        return {record[self._key]: record for record in found[1:]}


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value) + "\n"
