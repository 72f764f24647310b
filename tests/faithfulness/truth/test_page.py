"""The table, the page and its pictures, of planted figures."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from tests.faithfulness.truth.test_measure import rows
from zfcuda.faithfulness.truth import RANDOM, Figure, Figures, figures, table
from zfcuda.faithfulness.truth.page import page
from zfcuda.faithfulness.truth.sheets import TILE, sheet, tile

FACTS = {
    "command": "zfcuda truth",
    "date": "2026-01-01",
    "zfcuda": "1",
    "torch": "2",
    "python": "3",
    "device": "cpu",
    "minutes": 4.0,
    "seed": 9,
}


def planted() -> Figures:
    """Methods that are surely good or bad in all."""
    found = figures(rows([True, False], [0.2, 0.4]))

    def all_of(value: float) -> dict[str, Figure]:
        measures = ("pointing", "energy", "deletion", "insertion", "first", "pieces", "after_top", "after_all")
        return {measure: Figure(value, value - 0.01, value + 0.01, 50) for measure in measures}

    methods = {"centre": 0.5, "gradcam": 0.1, "gradient": 0.5, "occlusion": 0.99, RANDOM: 0.5}
    found.methods.clear()
    found.methods.update({name: all_of(value) for name, value in methods.items()})
    return found


def test_the_page_says_what_fails_as_plainly_as_what_passes() -> None:
    text = page(planted(), FACTS)
    assert "Occlusion: the largest value on the part, or within 15 pixels of it, in at least 95 %" in text
    assert "Reached: 99.0 (98.0 ... 100.0) %" in text and "**Not reached**: 10.0 (9.0 ... 11.0) %" in text
    assert (
        "against the centre (50.0 (49.0 ... 51.0) %): better: occlusion; no different: gradient; **worse**: gradcam"
        in text
    )
    assert (
        "Deletion against a random map (0.50 (0.49 ... 0.51)): better: gradcam; no different: gradient; **worse**"
        in text
    )
    assert "surely stays: passed: gradcam; undecided: gradient; **failed**: occlusion." in text
    assert "by `zfcuda truth`" in text and "2026-01-01 with zfcuda 1, torch 2, Python 3" in text
    for line in text.splitlines():  # each row has as many cells as its table has columns
        if line.startswith("|  | ") or line.startswith("| question"):
            width = line.count("|")
        elif line.startswith("| "):
            assert line.count("|") == width


def test_the_table_fits_a_terminal() -> None:
    lines = table(planted()).splitlines()
    assert max(map(len, lines)) < 140
    assert lines[0] == "2 drawn pictures; the network is right in 100.0 %, without the defining part in 50.0 %"
    assert sum(line.startswith("occlusion") for line in lines) == 2
    [chance] = [line for line in lines if line.startswith("by chance")]
    assert chance.split() == ["by", "chance", "10.0", "%", "5.0", "%"]


def test_tiles_have_one_scale() -> None:
    map = torch.zeros(56, 56)
    map[:28] = 2.0
    signed = np.asarray(tile(map - 1, signed=True, mark=False)).astype(int)
    assert signed[0, 0, 0] > signed[0, 0, 2] + 80 and signed[-1, 0, 2] > signed[-1, 0, 0] + 80  # red above, blue below
    middle = np.asarray(tile(torch.zeros(56, 56), signed=True))
    assert middle.min() > 240  # all of zero: white, and nothing is ringed
    plain = np.asarray(tile(map, signed=False, mark=False)).astype(int)
    assert plain[-1].max() < 20 and plain[0].min() > 100
    assert np.asarray(tile(torch.zeros(56, 56), signed=False)).max() < 20
    peak = torch.zeros(56, 56)
    peak[10, 40] = 1.0
    ringed = np.asarray(tile(peak, signed=False)).astype(int)
    y, x = (round((place + 0.5) * TILE / 56) for place in (10, 40))
    assert (ringed[y - 5 : y + 6, x - 5 : x + 6] == 255).all(axis=2).any()
    assert not (ringed[60:] == 255).any()


def test_sheets_are_put_together() -> None:
    red, blue = (Image.new("RGB", (TILE, TILE), colour) for colour in ((255, 0, 0), (0, 0, 255)))
    out = sheet([("one", [red, red]), ("two\n(it errs)", [blue])], ["a", "b"])
    assert out.mode == "P"
    pixels = np.asarray(out.convert("RGB")).astype(int)
    hot, cold = ((pixels == colour).all(2) for colour in ((255, 0, 0), (0, 0, 255)))
    assert hot.sum() == 2 * TILE**2 and cold.sum() == TILE**2
    (above, left), (below, beside) = (np.argwhere(area)[0] for area in (hot, cold))
    assert left == beside and below > above + TILE and left > 10 and above > 10  # room for the names
