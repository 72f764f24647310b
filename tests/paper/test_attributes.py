"""Performance by attributes: each edit changes what it says, and rows are those of planted records."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import zfcuda
from tests.paper import small
from zfcuda.data import Parts
from zfcuda.paper.attributes import attributes
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import NotApplicableError
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.performance import measured, summary
from zfcuda.paper.performance.edits import (
    AS_OBJECT,
    AS_PART,
    CLUTTER,
    CONTRAST,
    COVERED,
    LEFT_OUT,
    LIGHTNESS,
    OBJECT,
    PART,
    REST,
    SIZE,
    Edit,
    elsewhere,
    group_of,
    of_parts,
    of_pixels,
)
from zfcuda.paper.plots import can_plot

_GREY = (128, 127, 126)


def _of(edits: list[Edit], what: str, amount: float | str) -> np.ndarray:
    return np.asarray(next(edit.picture for edit in edits if (edit.what, edit.amount) == (what, amount))).astype(int)


def test_light_and_contrast_change_as_they_say() -> None:
    pixels = np.random.default_rng(0).integers(100, 150, (9, 7, 3)).astype(np.uint8)
    edits = list(of_pixels(Image.fromarray(pixels)))
    assert (_of(edits, LIGHTNESS, 30) == pixels.astype(int) + 30).all()
    assert (_of(edits, LIGHTNESS, 0) == pixels).all() and (_of(edits, CONTRAST, 1.0) == pixels).all()
    assert _of(edits, LIGHTNESS, -90).min() == pixels.min() - 90
    stronger = _of(edits, CONTRAST, 2.0)
    assert stronger.mean((0, 1)) == pytest.approx(pixels.mean((0, 1)), abs=0.5)
    assert stronger.std((0, 1)) == pytest.approx(2 * pixels.std((0, 1)), rel=0.02)
    assert [edit.share for edit in edits if (edit.what, edit.amount) == (LIGHTNESS, 0)] == [0]


@pytest.fixture(scope="module")
def edits() -> tuple[Parts, list[Edit]]:
    parts = Parts(seed=2, size=96)
    return parts, list(of_parts(parts, 3, _GREY))


def test_what_is_covered_is_grey_and_all_else_as_it_was(edits: tuple[Parts, list[Edit]]) -> None:
    parts, found = edits
    drawn = parts.draw(3)
    pixels = np.asarray(drawn.image)
    masks = {PART: drawn.part_mask, OBJECT: drawn.object_mask, REST: drawn.object_mask & ~drawn.part_mask}
    for name, mask in masks.items():
        covered = _of(found, COVERED, name)
        assert (covered[mask] == _GREY).all() and (covered[~mask] == pixels[~mask]).all()
    for name, mask in ((AS_PART, drawn.part_mask), (AS_OBJECT, drawn.object_mask)):
        covered = _of(found, COVERED, name)
        assert (covered[drawn.object_mask] == pixels[drawn.object_mask]).all()
        assert (covered == _GREY).all(2).sum() == pytest.approx(mask.sum(), abs=2)
    assert (_of(found, LEFT_OUT, PART) == np.asarray(parts.draw(3, part=False).image)).all()


def test_pieces_go_in_groups_and_clutter_by_shares(edits: tuple[Parts, list[Edit]]) -> None:
    parts, found = edits
    groups = {group_of(name) for name in parts.pieces(3)}
    shown = {edit.amount for edit in found if edit.what == LEFT_OUT}
    assert {"body", PART} <= shown <= groups | {PART}
    assert {group_of(name) for name in ("left arm", "top trinket", "blade 2", "clutter 4", "face")} == {
        "arms",
        "trinkets",
        CLUTTER,
        "face",
    }
    assert (_of(found, CLUTTER, 0.0) == np.asarray(parts.draw(3).image)).all()
    clutter = [name for name in parts.pieces(3) if group_of(name) == CLUTTER]
    assert (_of(found, CLUTTER, 1.0) == np.asarray(parts.draw(3, without=clutter).image)).all()
    again = list(of_parts(parts, 3, _GREY))
    assert all(a.picture.tobytes() == b.picture.tobytes() for a, b in zip(found, again, strict=True))


def test_sizes_change_about_the_part(edits: tuple[Parts, list[Edit]]) -> None:
    parts, found = edits
    drawn = parts.draw(3)
    pixels = np.asarray(drawn.image).astype(float)
    y, x = (round(float(axis.mean()) + 0.5) for axis in np.nonzero(drawn.part_mask))

    def around(picture: np.ndarray, reach: int) -> np.ndarray:
        return np.asarray(picture[y - reach : y + reach, x - reach : x + reach].mean((0, 1)))

    assert around(_of(found, SIZE, 2.0), 8) == pytest.approx(around(pixels, 4), abs=8)
    assert around(_of(found, SIZE, 0.5), 4) == pytest.approx(around(pixels, 8), abs=16)
    small_one = _of(found, SIZE, 0.5)
    assert (small_one == _GREY).all(2).mean() == pytest.approx(0.75, abs=0.02)
    assert (_of(found, SIZE, 1.0) == pixels).all()


def test_a_place_elsewhere_is_as_large_and_free() -> None:
    taken = np.zeros((10, 10), dtype=bool)
    taken[:5] = True
    mask = elsewhere(taken, 20, random.Random(0))
    assert mask is not None and mask.sum() == 20 and not (mask & taken).any()
    assert elsewhere(taken, 51, random.Random(0)) is None and elsewhere(taken, 0, random.Random(0)) is None


def _record(index: int, before: float, **covered: float) -> dict[str, object]:
    names = {"obj": OBJECT, "ground": AS_OBJECT, "part": PART, "as_part": AS_PART, "rest": REST}
    edits: list[dict[str, object]] = [
        {"what": COVERED, "amount": names[name], "share": 0.1, "probability": p, "right": p > 0.5}
        for name, p in covered.items()
    ]
    for amount, p in ((-90, 0.2), (30, before)):
        edits.append({"what": LIGHTNESS, "amount": amount, "share": 1.0, "probability": p, "right": p > 0.5})
    return {"picture": index, "probability": before, "right": True, "edits": edits}


def test_claims_of_covering_are_those_of_the_records() -> None:
    records = [_record(k, 0.9, obj=0.1 + 0.01 * k, ground=0.9, part=0.8, as_part=0.9, rest=0.3) for k in range(9)]
    found = summary.covering(records)
    assert [claim.holds for claim in found] == [True, True, False]
    assert "object 0.76 (" in found[0].found and "over 9 pictures" in found[0].found
    nothing = [_record(k, 0.9, obj=0.9 + 0.1 * (-1) ** k, ground=0.9) for k in range(8)]
    assert [claim.holds for claim in summary.covering(nothing)] == [None, None, None]


def test_rows_of_changes_and_pieces() -> None:
    records = [_record(k, 0.9, part=0.1 if k else 0.7) for k in range(4)]
    rows = summary.changed(records)
    assert [(row["amount"], row["accuracy"]) for row in rows] == [(-90, 0.0), (30, 1.0)]
    assert rows[0]["drop"] == pytest.approx(0.7) and rows[0]["accuracy, 95 %"][0] == 0
    assert summary.swings(rows)[0]["amount"] == -90 and summary.swings(rows, mild=True)[0]["amount"] == 30
    (piece,) = summary.pieces(records)
    assert piece["covered: drop"] == pytest.approx(0.65) and piece["covered: accuracy"] == 0.25
    assert piece["left out: drop"] is None


def test_fifths_and_ranks_of_pictures_as_they_are() -> None:
    records = [
        {
            "probability": k / 50,
            "right": k >= 25,
            "attributes": {"size": float(k), "noise": float(k * 7 % 50), "one": 1.0},
        }
        for k in range(50)
    ]
    rows = summary.binned(records)
    sizes = [row for row in rows if row["attribute"] == "size"]
    assert [row["pictures"] for row in sizes] == [10] * 5
    assert [row["accuracy"] for row in sizes] == [0, 0, 0.5, 1, 1]
    assert [row["pictures"] for row in rows if row["attribute"] == "one"] == [50]
    ranks = summary.ranked(records)
    assert ranks[0]["attribute"] == "size" and ranks[0]["rank correlation"] == pytest.approx(1)
    assert ranks[0]["rank correlation, 95 %"] == pytest.approx([1, 1], abs=0.01) and ranks[-1] != ranks[0]
    assert next(row for row in ranks if row["attribute"] == "one")["rank correlation"] == 0


def _network(classes: tuple[str, ...]) -> nn.Module:
    """The lighter a picture is, the more probable its first class."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, len(classes), bias=False)).eval()
    with torch.no_grad():
        model[2].weight.zero_()[0] = 2.0
    model.preprocess = zfcuda.Preprocess(32, 32, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    model.classes = list(classes)
    return model


def test_the_figure_on_parts_and_again_of_what_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(summary, "_RESAMPLES", 20)
    model = _network(Parts.classes)
    pictures = (Parts(seed=3, size=32), 12)
    found = attributes(model, pictures, count=8, edits=3, cache=Cache(tmp_path))
    assert list(found.tables) == [
        "One attribute changed",
        "Pieces left out and covered",
        "As they are, by fifths",
        "Rank correlation with the probability",
    ]
    assert found.tensors["attributes"].shape == (8, 5) and len(found.claims) == 4
    assert "edits" in found.pictures and ("" in found.pictures) == can_plot()
    by_light = [row["probability"] for row in found.rows if row["attribute"] == LIGHTNESS]
    assert len(by_light) == 7 and len(set(by_light)) > 1
    monkeypatch.setattr(measured.Asked, "__call__", lambda *_: pytest.fail("it is there"))
    again = attributes(model, pictures, count=8, edits=3, cache=Cache(tmp_path))
    assert again.tables == found.tables and again.claims == found.claims


def test_other_pictures_have_light_and_contrast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfcuda.paper.plots.can_plot", lambda: False)
    root = small.folder(tmp_path / "pictures", dict.fromkeys(small.CLASSES, 3))
    found = attributes(_network(small.CLASSES), root, count=6, edits=2)
    assert {row["attribute"] for row in found.rows} == {LIGHTNESS, CONTRAST} and len(found.claims) == 1
    assert set(found.pictures) == {"edits"} and found.tensors["attributes"].shape == (6, 2)


def test_what_it_refuses(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="count: expected at least 2, got 0"):
        attributes(_network(small.CLASSES), (Parts(size=32), 4), count=0)
    with pytest.raises(NotApplicableError, match="none of the classes of Parts"):
        attributes(_network(small.CLASSES), (Parts(size=32), 4))
    with pytest.raises(NotApplicableError, match="as tensors"):
        attributes(_network(small.CLASSES), torch.zeros(3, 3, 8, 8))
    maps = nn.Conv2d(3, 2, 1)
    maps.preprocess = zfcuda.Preprocess(8, 8)
    with pytest.raises(NotApplicableError, match="scores"):
        attributes(maps, small.folder(tmp_path / "pictures", {"a": 2}))


def test_grey_is_what_the_network_gets_as_nothing() -> None:
    model = _network(small.CLASSES)
    picture = Image.new("RGB", (8, 8))
    for preprocess, grey in (
        (zfcuda.Preprocess(8, 8, (0.2, 0.4, 0.6), (1, 1, 1)), (51, 102, 153)),
        (zfcuda.Preprocess(8, 8, (0.2, 0.4, 0.6), (1, 1, 1), order="bgr"), (153, 102, 51)),
        (zfcuda.Preprocess(8, 8, (0.2,), (1,)), (51, 51, 51)),
        (lambda given: torch.zeros(1, 3, 8, 8), (128, 128, 128)),
    ):
        assert measured.grey_of(Gallery(model, [picture], preprocess=preprocess)) == grey
