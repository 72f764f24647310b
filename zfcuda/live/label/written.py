"""The files of the results: the page, the numbers, and the labels as a table."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Mapping
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from zfcuda.files.drafts import whole
from zfcuda.live.label.compare import KINDS, Comparison, Row, Share
from zfcuda.live.label.labelling import Labelling
from zfcuda.live.label.page import facts, results, together
from zfcuda.live.label.shown import encoded
from zfcuda.live.label.statistics import kappa
from zfcuda.report.document import document
from zfcuda.report.record import versions
from zfcuda.web import text_of

PAGE, NUMBERS, LABELS = "label.html", "numbers.json", "labels.csv"
# The browser itself refuses every request: pictures are in the page.
_PICTURES, _SIDE = 240, 224  # how many pictures the page carries, and the pixels of their longer side


def known(labelling: Labelling, command: str = "") -> dict[str, str]:
    """What has to be known to do it again, in words."""
    task = labelling.task
    some = labelling.network is not None and not labelling.network.whole
    said = {
        "Pictures": f"{len(task.pictures)}, drawn from {task.of} with seed {task.seed}",
        "Shown": "as the network sees them" if task.view == "network" else "whole",
        "Answers": "one for each picture" if task.answers == 1 else f"up to {task.answers} for each picture",
    }
    if labelling.network is not None:
        network = labelling.network.known
        said["Network"] = network["title"] + (", of whose classes it chose among those below" if some else "")
        said["Its pictures"] = network["preprocess"]
        said["Its weights"] = f"SHA-256 {network['weights']}"
    if labelling.broken:
        said["Left out"] = f"{len(labelling.broken)} that cannot be read"
    return {**said, "Classes": _classes(task.classes), **({"Command": command} if command else {})}


def write(labelling: Labelling, found: Mapping[str, Comparison], command: str = "") -> list[Path]:
    """Writes the files into the labelling's folder, together, and returns their paths; the page first.

    Args:
        found: by the labeller's name, at least one.

    Raises:
        OSError: the disk refuses; earlier files are as before.
    """
    made = datetime.now()
    paths = [labelling.folder / name for name in (PAGE, NUMBERS, LABELS)]
    pairs = _pairs(found)
    said = known(labelling, command)
    pictures = _pictures(labelling, found)
    body = "".join(
        results(name, each, address=pictures.get, answers=labelling.task.answers, network=labelling.network is not None)
        for name, each in found.items()
    )
    left = len({row.position for each in found.values() for row in each.rows}) - len(pictures)
    note = f'<p class="note">{left} pictures are told in words alone, so that the page stays small.</p>' if left else ""
    html = document(
        ", ".join(found) + ": labels",
        f"<main>{body}{note}{together(pairs)}{facts(said, made)}</main>",
        images="data:",
        style=text_of("theme.css") + text_of("label-results.css"),
        script=text_of("label-results.js"),
    )
    numbers = {
        "known": said,
        "made": made.isoformat(timespec="seconds"),
        **versions(),
        "labellers": {name: each.plain() for name, each in found.items()},
        "between": [
            {"labellers": [one, other], "agreement": share.plain(), "kappa": k} for one, other, share, k in pairs
        ],
    }
    with whole(*paths) as (page, json_file, table):
        page.write_text(html, encoding="utf-8")
        json_file.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
        with table.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["picture", "labeller", "truth", "answers", "network", "probability", "seconds", "kind"])
            for name, each in found.items():
                writer.writerows(_cells(name, row) for row in each.rows)
    return paths


def _cells(name: str, row: Row) -> list[Any]:
    network = (row.network[0], row.probabilities[0]) if row.network else ("", "")
    return [row.name, name, row.truth or "", "; ".join(row.person), *network, row.seconds, row.kind]


def _pictures(labelling: Labelling, found: Mapping[str, Comparison]) -> dict[int, str]:
    """Addresses that carry the pictures, small: first of those over which person, network and truth part."""
    order = list(KINDS)
    every = sorted((order.index(row.kind), row.position) for each in found.values() for row in each.rows)
    chosen = list(dict.fromkeys(position for _, position in every))[:_PICTURES]
    return {position: _carried(labelling, position) for position in chosen}


def _carried(labelling: Labelling, position: int) -> str:
    pictures, view = labelling.task.pictures, labelling.task.view
    whole_one = pictures.whole(position) if view == "whole" else None
    data, kind = encoded(whole_one or pictures.picture(position), lossless=False, largest=_SIDE)
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _pairs(found: Mapping[str, Comparison]) -> list[tuple[str, str, Share, float | None]]:
    """How far each two labellers agree on the pictures that both have answered."""
    said = {name: {row.position: row.said for row in each.rows} for name, each in found.items()}
    pairs = []
    for one, other in combinations(said, 2):
        common = sorted(said[one].keys() & said[other].keys())
        if common:
            answers = [said[one][i] for i in common], [said[other][i] for i in common]
            agreed = sum(a == b for a, b in zip(*answers, strict=True))
            pairs.append((one, other, Share(agreed, len(common)), kappa(*answers)))
    return pairs


def _classes(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 30 else f"{len(names)}: {', '.join(names[:10])}, ..."
