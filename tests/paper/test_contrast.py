"""Differences and their intervals: closed forms, and when nothing is decided."""

from __future__ import annotations

import pytest
import torch

from zfcuda.paper.contrast import contrast


def test_a_sure_difference() -> None:
    values = torch.zeros(3, 200)
    for training, count in enumerate((20, 22, 24)):
        values[training, :count] = 1
    found = contrast(values)
    assert found.each == pytest.approx((10, 11, 12)) and found.value == pytest.approx(11)
    half = 4.3027 / 3**0.5
    assert found.over_trainings == pytest.approx((11 - half, 11 + half), abs=1e-3)
    assert 6 < found.over_pictures[0] < 11 < found.over_pictures[1] < 16
    assert found.positive is True and found.positive_for_these is True
    assert contrast(-values).positive is False and contrast(-values).positive_for_these is False
    assert str(found).startswith("+11.0 points (95 %: +8.5 to +13.5 over 3 trainings, ")
    assert found.row["points"] == 11 and found.row["over trainings, 95 %"][0] == pytest.approx(8.52, abs=0.01)


def test_an_interval_that_holds_0_decides_nothing() -> None:
    apart = torch.zeros(2, 100)
    apart[0, :90] = 1  # one training says so, the other does not: the pictures alone would decide
    assert contrast(apart).positive_for_these is True and contrast(apart).positive is None
    few = torch.zeros(3, 10)
    few[:, 0] = 1  # all trainings say the same, of one picture in ten
    assert contrast(few).over_trainings == pytest.approx((10, 10)) and contrast(few).positive is None


def test_one_training_says_nothing_of_others() -> None:
    found = contrast(torch.ones(1, 50))
    assert found.over_trainings is None and found.positive is None and found.positive_for_these is True
    assert found.row["over trainings, 95 %"] is None
    assert "over the pictures" in str(found) and "trainings" not in str(found)
