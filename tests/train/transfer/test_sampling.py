"""Draws of training pictures, and the settings that ask for them."""

from __future__ import annotations

import math

import pytest
import torch

from zfcuda.train.transfer.probe import Point, check_counts
from zfcuda.train.transfer.sampling import draw, usual_counts
from zfcuda.train.transfer.settings import Settings
from zfcuda.train.transfer.shares import Share

LABELS = torch.tensor([0, 1, 2, 1, 1, 0, 2, 2, 0, 2, 1, 0, 1])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_each_class_has_just_so_many(count: int) -> None:
    indices = draw(LABELS, count, fold=3)
    assert LABELS[indices].bincount().tolist() == [count] * 3
    assert indices.tolist() == sorted(set(indices.tolist()))


def test_a_draw_repeats_holds_smaller_ones_and_differs_by_fold_and_seed() -> None:
    labels = torch.arange(300) % 3
    assert torch.equal(draw(labels, 10, fold=1, seed=5), draw(labels, 10, fold=1, seed=5))
    assert set(draw(labels, 5).tolist()) < set(draw(labels, 10).tolist())
    others = [draw(labels, 10, fold=fold, seed=seed).tolist() for fold in range(3) for seed in range(2)]
    assert len({tuple(each) for each in others}) == 6


def test_a_class_with_fewer_is_named_or_taken_whole() -> None:
    with pytest.raises(ValueError, match=r"^per_class: expected at most 4, as class 0 has no more, got 5"):
        draw(LABELS, 5)
    assert LABELS[draw(LABELS, 5, up_to=True)].bincount().tolist() == [4, 5, 4]


def test_the_usual_counts() -> None:
    assert usual_counts(60) == [1, 2, 5, 10, 20, 50] and usual_counts(1) == [1]


def test_what_cannot_be_drawn_is_refused_before_the_work() -> None:
    check_counts(LABELS, ["a", "b", "c"], [1, 4], 2)
    check_counts(LABELS, ["a", "b", "c", "unused"], [4], 2)  # a class without training pictures is drawn by nobody
    with pytest.raises(ValueError, match=r"^per_class: expected at most 4, the training pictures of 'a', got 9"):
        check_counts(LABELS, ["a", "b", "c"], [1, 9], 2)
    with pytest.raises(ValueError, match=r"^per_class: expected at least 1, got 0"):
        check_counts(LABELS, ["a", "b", "c"], [0], 2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"folds": 0}, "folds: expected at least 1, got 0"),
        ({"most": 0}, "most: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected 0"),
        ({"layers": ()}, "layers: expected at least one"),
        ({"classifiers": ("tree",)}, "classifiers: expected some of softmax, svm, got 'tree'"),
    ],
)
def test_settings_out_of_range(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        Settings(**given)  # type: ignore[arg-type]


def test_shares_and_the_points_of_a_curve() -> None:
    half = Share(50, 100)
    assert half.accuracy == 0.5 and half.standard_error == pytest.approx(0.05) and str(half) == "50.0% +- 5.0%"
    for right in (0, 100):
        assert Share(right, 100).standard_error == pytest.approx(math.sqrt(0.005 * 0.995) / 10)
    point = Point("a", "svm", 5, (Share(40, 100), Share(60, 100)))
    assert point.mean == 0.5 and point.spread == pytest.approx(math.sqrt(0.02))
    assert point.standard_error == pytest.approx(math.sqrt(0.05**2 + 0.01))
    assert Point("a", "svm", 5, (half,)).spread is None
