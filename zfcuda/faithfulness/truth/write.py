"""Writes what was found: the page, its two sheets of pictures, and the figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from zfcuda.data import Parts
from zfcuda.faithfulness.randomization import shuffled_from_the_top
from zfcuda.faithfulness.truth.figures import figures
from zfcuda.faithfulness.truth.measure import Record, Settings
from zfcuda.faithfulness.truth.page import MAPS, SHUFFLED, WANTED, page
from zfcuda.faithfulness.truth.sheets import sheet, small, tile
from zfcuda.files.drafts import whole
from zfcuda.methods import METHODS

FIGURES, PAGE = "truth.json", "truth.md"
_FIRST, _MISSED = 4, 2  # rows of the sheet


def write(folder: Path, model: Any, settings: Settings, records: Sequence[Record], facts: dict[str, Any]) -> list[Path]:
    """Writes all of it into a folder that is there, together, and returns the paths; the page first.

    facts: as :func:`zfcuda.faithfulness.truth.page.page` takes them.

    Raises:
        OSError: the disk refuses; earlier files are as before.
    """
    found = figures(records)
    finals = [folder / name for name in (PAGE, FIGURES, MAPS, SHUFFLED)]
    maps = _maps(model, settings, _shown(records))
    shuffled = _shuffled(model, settings, int(records[0]["picture"]))
    with whole(*finals) as (text, numbers, first, second):
        methods = "[methods.md](methods.md)" if (folder / "methods.md").exists() else "docs/methods.md of zfcuda"
        text.write_text(page(found, facts, methods), encoding="utf-8")
        numbers.write_text(json.dumps(facts | found.plain(), indent=1) + "\n", encoding="utf-8")
        maps.save(first, optimize=True)
        shuffled.save(second, optimize=True)
    return finals


def _shown(records: Sequence[Record]) -> list[Record]:
    """The pictures of the first sheet: the first ones, and the first that a method points beside that should not."""
    missed = [
        record
        for record in records[_FIRST:]
        if any(name in record["methods"] and not record["methods"][name]["pointing"] for name in WANTED)
    ]
    return [*records[:_FIRST], *missed[:_MISSED]]


def _maps(model: Any, settings: Settings, records: Sequence[Record]) -> Image.Image:
    rows = []
    for record in records:
        index = int(record["picture"])
        picture = Parts(settings.seed)[index]
        image = _image(model, picture.image)
        tiles = [small(picture.image, picture.part_mask)]
        for name in settings.methods:
            map = METHODS[name].compute(model, image, [picture.label])[0]
            tiles.append(tile(map, signed=METHODS[name].signed, mask=picture.part_mask))
        errs = "" if record["right"] else "\n(network errs)"
        rows.append((f"{index}: {picture.class_name}{errs}", tiles))
    return sheet(rows, ["picture", *settings.methods])


def _shuffled(model: Any, settings: Settings, index: int) -> Image.Image:
    picture = Parts(settings.seed)[index]
    image = _image(model, picture.image)

    def tiles(model: Any) -> list[Image.Image]:
        maps = {name: METHODS[name].compute(model, image, [picture.label])[0] for name in settings.methods}
        return [tile(map, signed=METHODS[name].signed, mark=False) for name, map in maps.items()]

    rows = [("as trained", [small(picture.image, picture.part_mask), *tiles(model)])]
    blank = Image.new("RGB", (1, 1), (255, 255, 255))
    rows += [(layer, [blank, *tiles(changed)]) for layer, changed in shuffled_from_the_top(model)]
    return sheet(rows, ["picture", *settings.methods])


def _image(model: Any, picture: Image.Image) -> Tensor:
    image: Tensor = model.preprocess(picture)
    return image.to(next(model.parameters()).device)
