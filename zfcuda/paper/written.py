"""The files of a figure: its pictures, tables, tensors and numbers, together or not at all."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from zfcuda.files.drafts import Drafts, alone
from zfcuda.files.regular import refusal
from zfcuda.files.tensors import save_tensors
from zfcuda.paper.result import Result, Row
from zfcuda.paper.words import headings


def written(folder: Path, name: str, result: Result, facts: Mapping[str, Any]) -> list[Path]:
    """Writes fig2.png, fig2-conv3.png, ..., fig2.csv, fig2-2.csv, ..., fig2.safetensors, and fig2.json with all that
    is said, into a folder that is there. Files of an earlier figure of this name that this one has not are removed.

    facts: what stands before the tables in the JSON: title, source, command, network, pictures.

    Returns:
        The paths: pictures, tables, tensors, the JSON last.

    Raises:
        OSError: the disk refuses; earlier files are as before.
    """
    pictures = dict(zip(_names(name, list(result.pictures)), result.pictures.values(), strict=True))
    tables = dict(zip(_numbered(name, len(result.tables)), result.tables.items(), strict=True))
    tensors = [f"{name}.safetensors"] if result.tensors else []
    files = [*pictures, *tables, *tensors]
    known = {
        "name": name,
        **facts,
        "tables": {title: [_told(dict(row)) for row in rows] for title, rows in result.tables.items()},
        "claims": [vars(claim) for claim in result.claims],
        "notes": result.notes,
        "pictures": list(pictures),
        "free": [file for file, after in zip(pictures, result.pictures, strict=True) if after in result.free],
        "files": files,
    }
    before = _files_before(folder, name)
    with Drafts(folder) as drafts:
        for file, picture in pictures.items():
            picture.save(drafts.path / file, format="png", optimize=True)
        for file, (_, rows) in tables.items():
            _save_table(drafts.path / file, rows)
        if result.tensors:
            plain = {key: value.detach().cpu().clone().contiguous() for key, value in result.tensors.items()}
            save_tensors(plain, drafts.path / tensors[0], {})
        numbers = f"{name}.json"  # last: where it is there and new, the others are
        (drafts.path / numbers).write_text(json.dumps(known, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        finals = {drafts.path / file: folder / file for file in [*files, numbers]}
        with alone(folder):
            drafts.place(finals, gone=[folder / file for file in before if file not in files])
    return list(finals.values())


def read(folder: Path, name: str) -> dict[str, Any] | None:
    """What stands in the JSON of a figure; None where it is missing or damaged, or a file of the figure is missing."""
    path = folder / f"{name}.json"
    if refusal(path):
        return None
    with suppress(ValueError, OSError, TypeError, KeyError):
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if known["name"] == name and all((folder / file).is_file() for file in known["files"]):
            return known
    return None


def _files_before(folder: Path, name: str) -> list[str]:
    """The files that the JSON of an earlier figure names; none that does not begin with its name."""
    known = read(folder, name) or {"files": []}
    return [file for file in known["files"] if re.fullmatch(rf"{name}[-.][^/\\]*", file)]


def _names(name: str, suffixes: Sequence[str]) -> list[str]:
    """The names of the files of pictures: in plain letters, none twice."""
    found: list[str] = []
    for after in suffixes:
        plain = again = f"{name}-{re.sub(r'[^A-Za-z0-9_.-]', '_', after)[:150]}" if after else name
        number = 2
        while f"{again}.png" in found:
            again, number = f"{plain}_{number}", number + 1
        found.append(f"{again}.png")
    return found


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}.csv" if number == 1 else f"{name}-{number}.csv" for number in range(1, count + 1)]


def _told(value: Any) -> Any:
    """The same with None for what is no number, of which JSON has none."""
    if isinstance(value, Mapping):
        return {key: _told(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_told(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _save_table(path: Path, rows: Sequence[Row]) -> None:
    """Writes a table of plain values: the ends of an interval stand in columns of their own, "low" and "high"."""
    plain = [dict(pair for name, value in row.items() for pair in _plain(name, value)) for row in rows]
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, headings(plain), restval="")
        table.writeheader()
        table.writerows(plain)


def _plain(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, list | tuple):
        yield name, value
    elif len(value) in (2, 3) and all(isinstance(each, float) for each in value):
        yield from zip([name, f"{name} low", f"{name} high"][-len(value) :], value, strict=True)
    else:
        yield name, ", ".join(map(str, value))
