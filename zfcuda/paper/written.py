"""The files of a figure: its pictures, its numbers, its tensors, together or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zfcuda.files.drafts import whole
from zfcuda.files.tensors import save_tensors
from zfcuda.paper.figure import Figure
from zfcuda.paper.result import Result


def written(folder: Path, figure: Figure, result: Result, facts: dict[str, Any]) -> list[Path]:
    """Writes fig2.png, fig2-conv3.png, ..., fig2.json, fig2.safetensors into a folder that is there.

    facts: what has to be known to make it again, fit for JSON: command, date, versions, network, pictures.

    Raises:
        OSError: the disk refuses; earlier files are as before.
    """
    pictures = [folder / f"{figure.name}{'-' if after else ''}{after}.png" for after in result.pictures]
    numbers, tensors = folder / f"{figure.name}.json", folder / f"{figure.name}.safetensors"
    finals = [*pictures, numbers, *([tensors] if result.tensors else [])]
    with whole(*finals) as drafts:
        for picture, draft in zip(result.pictures.values(), drafts, strict=False):
            picture.save(draft, format="png", optimize=True)
        known = {
            "name": figure.name,
            "title": figure.title,
            **facts,
            "tables": {title: list(map(dict, rows)) for title, rows in result.tables.items()},
            "claims": [vars(claim) for claim in result.claims],
            "notes": result.notes,
            "pictures": [path.name for path in pictures],
        }
        drafts[len(pictures)].write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        if result.tensors:
            save_tensors({name: value.contiguous() for name, value in result.tensors.items()}, drafts[-1], {})
    return finals
