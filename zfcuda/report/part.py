"""One picture of a page, once it is drawn: what the page still has to know of it, without what takes memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zfcuda.occlusion.output import Output
from zfcuda.report.article import article
from zfcuda.report.explanation import Explanation
from zfcuda.report.filters import Filters, first_filters
from zfcuda.report.maps import data_of
from zfcuda.report.numbers import numbers_of
from zfcuda.report.overview import cards
from zfcuda.report.panels import Drawn
from zfcuda.report.source import Source
from zfcuda.report.subject import Subject


@dataclass(frozen=True)
class Part:
    """What is known of a picture that is explained and drawn; all that is long lies in files.

    Attributes:
        subject, name, source, size, output: as in Explanation.
        stem: how the names of its files begin.
        classes: how many there are.
        cover: what to call the square.
        arguments: what was asked for, as in numbers.json.
        limits: by quantity, the drop that is drawn in full colour.
        filters: those of the first layer, drawn; None where there are none, and of all but the first of a network.
        texts: the file of its pieces of the page and of its numbers.
        pictures: the files of what was drawn, by the names that they will have.
    """

    subject: Subject
    name: str
    source: Source | None
    size: tuple[int, int]
    output: Output | None
    stem: str
    classes: int
    cover: str
    arguments: Mapping[str, Any]
    limits: Mapping[str, float]
    filters: Filters | None
    texts: Path
    pictures: Mapping[str, Path]

    def read(self) -> dict[str, Any]:
        """Its texts: "cards" and "article", as their modules make them, "data" and "numbers"."""
        texts: dict[str, Any] = json.loads(self.texts.read_text("ascii"))
        return texts


def part_of(
    e: Explanation, drawn: Drawn, texts: Path, pictures: Mapping[str, Path], *, number: int, stem: str, first: bool
) -> Part:
    """Writes the texts of a picture.

    Args:
        texts: where to.
        pictures: as in Part.
        number: of the picture on the page, from 0 on; first: of those of its network.

    Raises:
        OSError: the disk refuses.
    """
    numbers = numbers_of(e)
    said = {
        "cards": cards(number, e, drawn),
        "article": article(number, e, drawn),
        "data": data_of(e, drawn, stem),
        "numbers": numbers,
    }
    texts.write_text(json.dumps(said, allow_nan=False), "ascii")
    return Part(
        subject=e.subject,
        name=e.name,
        source=e.source,
        size=e.size,
        output=e.output,
        stem=stem,
        classes=len(e.class_names),
        cover=e.cover.words,
        arguments=numbers["arguments"],
        limits={of: one.limit for of, one in drawn.evidence.items()},
        filters=first_filters(e) if first else None,
        texts=texts,
        pictures=pictures,
    )
