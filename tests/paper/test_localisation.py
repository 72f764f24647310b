"""Boxes around maps: components against SciPy, rules on planted maps, and what is tuned on what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zfcuda import Preprocess
from zfcuda.data import Parts
from zfcuda.paper.boxes.compared import CENTRE, WHOLE, best, claims, fits
from zfcuda.paper.boxes.components import box_of, largest_component
from zfcuda.paper.boxes.measured import Boxed, true_boxes
from zfcuda.paper.boxes.rule import RULES, Rule, boxes, overlap
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import NotApplicableError
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.localisation import localisation

SMALL = Parts(size=32)


class Tiny(nn.Sequential):
    """A network of one convolution, whatever it says."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        pool = nn.AdaptiveAvgPool2d(1)
        super().__init__(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 12))
        self.classes = list(Parts.classes)
        self.preprocess = Preprocess(size=32, short_side=32, mean=(0.5,) * 3, std=(0.2,) * 3)


def drawn(text: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in line] for line in text.split()])


def test_components_by_hand() -> None:
    horseshoe = drawn("""#..#.#
                         #..#..
                         ####.#""")
    assert largest_component(horseshoe) == (0, 0, 3, 4)
    assert box_of(horseshoe) == (0, 0, 3, 6)
    assert largest_component(drawn("#. .#")) == (0, 0, 1, 1)  # corners alone do not join; of two the first
    assert largest_component(drawn("..# #..")) == (0, 2, 1, 3)
    assert largest_component(np.ones((2, 5), bool)) == (0, 0, 2, 5)
    assert largest_component(np.zeros((2, 5), bool)) is None and box_of(np.zeros((2, 5), bool)) is None


def test_components_against_scipy() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    dice = np.random.default_rng(0)
    for turn in range(60):
        mask = dice.random((1 + turn % 17, 1 + turn % 23)) < (0.3, 0.5, 0.62)[turn % 3]
        labels, count = ndimage.label(mask)
        if not count:
            assert largest_component(mask) is None
            continue
        sizes = np.bincount(labels.ravel())[1:]
        assert largest_component(mask) in {box_of(labels == 1 + best) for best in np.flatnonzero(sizes == sizes.max())}


def test_a_box_around_a_planted_square() -> None:
    map = torch.zeros(64, 64)
    map[10:30, 40:60] = 2.0
    map[50:53, 5:8] = 1.9  # smaller
    map[0:5, 0:30] = -9.0  # against the class
    by_rule = dict(zip(RULES, boxes(map), strict=True))
    assert by_rule[Rule(1 / 128, 0.5)] == (10, 40, 30, 60)
    assert by_rule[Rule(1 / 16, 0.05)][0] < 10  # the more blurred, and the lower, the larger
    assert boxes(map, [Rule(1 / 64, 0.5)]) == [by_rule[Rule(1 / 64, 0.5)]]
    assert boxes(-map.abs()) == [(0, 0, 64, 64)] * len(RULES)


def test_overlap_in_numbers() -> None:
    assert overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1 and overlap((0, 0, 2, 2), (2, 0, 4, 2)) == 0
    assert overlap((0, 0, 2, 4), (1, 2, 3, 6)) == pytest.approx(2 / 14)
    assert overlap([(0, 0, 2, 2), (0, 0, 1, 2)], (0, 0, 2, 2)).tolist() == [1, 0.5]


def boxed(number: int, good: int, right: str = "right") -> Boxed:
    """A picture whose object is a box that one method draws by rule number `good`, and another one never does."""
    true = (20 + number % 3, 10, 80, 70)
    wrong = [(0, 0, 5, 5)] * len(RULES)
    other = "left" if right == "right" else "right"
    found = {right: [true if rule == good else (0, 0, 40, 90) for rule in range(len(RULES))], other: wrong}
    return Boxed(number, (100, 100), {"object": true, "part": (0, 0, 5, 5)}, found)


def test_rules_are_tuned_on_other_pictures() -> None:
    tuning, measured = [boxed(number, 3) for number in range(4)], [boxed(number, 3) for number in range(6)]
    found = fits(tuning, measured, ["left", "right"])
    best, second, centre, whole = found[:4]
    assert [fit.name for fit in found[:4]] == ["right", "left", CENTRE, WHOLE]
    assert best.rule == RULES[3] and best.mean == 1 and second.mean == 0
    assert whole.mean == pytest.approx(np.mean([60 * (60 - n % 3) / 1e4 for n in range(6)]))
    assert isinstance(centre.rule, tuple) and centre.mean > whole.mean
    misled = fits([boxed(number, 5) for number in range(4)], measured, ["left", "right"])
    assert misled[0].rule == RULES[5] and misled[0].mean < 1  # the measured pictures have no say
    row = best.row()
    assert (row["mean IoU"], row["share from 0.5"], row["pictures"]) == (1.0, 1.0, 6)
    assert row["share from 0.5, 95 %"][0] < 1
    assert whole.words == "" and "% of the image" in centre.words and "of the maximum" in best.words


def test_what_boxes_say() -> None:
    both = [boxed(number, 3) for number in range(6)]
    found = {claim.says: claim for claim in claims(fits(both, both, ["left", "right"]))}
    of_part, of_object = found.values()
    assert of_object.holds is None  # one method does, the other does not
    assert "misses the rest of the object" in of_object.found and "misses" not in of_part.found
    assert of_part.holds
    said = best(fits(both, both, ["left", "right"]))
    assert [each.split(" fit ")[0] for each in said] == ["Boxes of right", "Boxes of left"]
    assert [claim.holds for claim in claims(fits(both, both, ["left"]))] == [True, False]  # of the part, of the object
    assert best(fits(both, both, ["left"])) == []


def test_the_whole_of_it_on_drawn_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Tiny().train()
    settings = {"methods": ("centre", "gradient"), "count": 5, "tuned_on": 4}
    result = localisation(model, (SMALL, 30), cache=Cache(tmp_path), **settings)  # type: ignore[arg-type]
    assert model.training
    assert [row["box"] for row in result.rows[-2:]] == [CENTRE, WHOLE]
    assert {row["pictures"] for row in result.rows} == {5}
    assert {row["wanted"] for row in result.rows} == {"object", "part"}
    pictures = result.tensors["pictures"].tolist()
    for name, mask in (("object", "object_mask"), ("part", "part_mask")):
        shares = [_share(getattr(SMALL[index], mask)) for index in pictures]
        assert result.tensors[f"{name}.{WHOLE}"].tolist() == pytest.approx(shares)
    monkeypatch.setattr("zfcuda.paper.boxes.measured.map_of", None)  # boxes are kept
    again = localisation(model, (SMALL, 30), cache=Cache(tmp_path), **settings)  # type: ignore[arg-type]
    assert again.tables == result.tables and result.pictures[""].width <= 1200


def _share(mask: np.ndarray) -> float:
    top, left, bottom, right = box_of(mask) or (0, 0, 0, 0)
    return (bottom - top) * (right - left) / mask.size


def test_bars_need_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"methods": ("centre",), "count": 2, "tuned_on": 2}
    monkeypatch.setattr("zfcuda.paper.plots.can_plot", lambda: False)
    assert set(localisation(Tiny(), (SMALL, 6), **settings).pictures) == {""}  # type: ignore[arg-type]
    monkeypatch.undo()
    pytest.importorskip("matplotlib")
    assert set(localisation(Tiny(), (SMALL, 6), **settings).pictures) == {"", "bars"}  # type: ignore[arg-type]


def test_what_cannot_be_measured() -> None:
    with pytest.raises(NotApplicableError, match="not known where"):
        localisation(Tiny(), torch.zeros(4, 3, 32, 32), count=2, tuned_on=2)
    with pytest.raises(ValueError, match=r"methods: expected one of .* got 'gradcm'; did you mean 'gradcam'"):
        localisation(Tiny(), (SMALL, 6), methods="gradcm")
    with pytest.raises(ValueError, match="count, tuned_on: expected at most 6 in all, got 4 and 3"):
        localisation(Tiny(), (SMALL, 6), count=4, tuned_on=3)
    with pytest.raises(ValueError, match="tuned_on: expected at least 2 pictures, got 1"):
        localisation(Tiny(), (SMALL, 6), count=4, tuned_on=1)


def test_true_boxes_are_those_of_the_image() -> None:
    model = Tiny()
    model.preprocess = Preprocess(size=32, short_side=64, mean=(0.5,) * 3, std=(0.2,) * 3)
    gallery = Gallery(model, (SMALL, 40))
    seen: Tensor = gallery.image(0)
    assert seen.shape[2:] == (32, 32)
    for index in range(40):  # twice as large, and the middle cut out
        box, wanted = true_boxes(gallery, index).get("part"), box_of(SMALL[index].part_mask)
        assert wanted is not None
        cut = [min(32, max(0, 2 * side - 16)) for side in wanted]
        if cut[0] == cut[2] or cut[1] == cut[3]:
            assert box is None
        elif box is not None:
            assert max(abs(a - b) for a, b in zip(box, cut, strict=True)) <= 3
