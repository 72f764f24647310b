"""Writes the page of the strongest patches, its pictures, and the numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from zfcuda.complaint import writable
from zfcuda.data.collection import Collection
from zfcuda.report.files import Folder, plain
from zfcuda.report.patches.drawing import card, sheet
from zfcuda.report.patches.joined import LayerPatches
from zfcuda.report.patches.page import Section, page
from zfcuda.report.pieces import png
from zfcuda.report.record import record_of, versions
from zfcuda.report.subject import Subject


def written(folder: Folder, subject: Subject, pictures: Collection, layers: Sequence[LayerPatches]) -> Path:
    """Writes index.html, numbers.json and pictures/*.png: a sheet for each layer, and a picture for each unit on it.

    Args:
        folder: where to, claimed already. pictures: those that were searched. layers: drawn already.

    Returns:
        The path of the page.

    Raises:
        ValueError: the disk refuses; earlier results stay.
    """
    made = datetime.now()
    files: dict[str, bytes] = {}
    sections = []
    for number, layer in enumerate(layers, 1):
        stem = f"{number}-{plain(layer.found.layer)}"
        top = layer.found.values.shape[1]
        cards = {}
        for row in layer.rows:
            drawn = layer.drawn[row]
            projections = [each.projection for each in drawn]
            cards[row] = card(projections, [each.patch for each in drawn], top)
        names = {row: f"{stem}-{int(layer.found.units[row])}.png" for row in layer.rows}
        files |= {names[row]: png(picture) for row, picture in cards.items()}
        files[f"{stem}.png"] = png(sheet(list(cards.values())))
        sizes = {row: picture.size for row, picture in cards.items()}
        sections.append(Section(layer, f"{stem}.png", names, sizes))
    record = record_of(subject)
    numbers = {
        "network": record,
        "made": made.isoformat(timespec="seconds"),
        "versions": versions(),
        "pictures": {
            "count": len(pictures),
            "seen": layers[0].found.seen,
            "skipped": [
                {"index": each.index, "name": writable(each.name), "reason": each.reason}
                for each in layers[0].found.skipped
            ],
        },
        "files": sorted(files),
        "layers": [_numbers(layer) for layer in layers],
    }
    content = {Path("pictures", name): data for name, data in files.items()}
    content[Path("numbers.json")] = (json.dumps(numbers, indent=1) + "\n").encode()
    content[Path("index.html")] = page(record, pictures, sections, made).encode()
    return folder.place(content)


def _numbers(layer: LayerPatches) -> dict[str, Any]:
    found = layer.found
    positions = None if found.positions is None else found.positions.tolist()
    units = []
    for row, unit in enumerate(found.units.tolist()):
        patches = [
            {
                "value": value if math.isfinite(value) else str(value),
                "index": index,
                "name": writable(found.names[index]),
                "position": None if positions is None else positions[row][place],
                "box": box,
            }
            for place, (value, index, box) in enumerate(
                zip(found.values[row].tolist(), found.indices[row].tolist(), found.boxes[row].tolist(), strict=True)
            )
            if index >= 0
        ]
        units.append({"unit": unit, "shown": row in layer.rows, "patches": patches})
    projected = {"reason": layer.refusal} if layer.form is None or layer.refusal else {"by": layer.form.value}
    return {"layer": found.layer, "projections": projected, "units": units}
