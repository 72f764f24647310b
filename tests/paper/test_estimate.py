"""A figure and its interval, in tables, in words, and as a verdict."""

import pytest

from zfcuda.faithfulness.intervals import bootstrap
from zfcuda.paper.estimate import Estimate, all_of, interval, of_row, unknown


def test_a_mean_with_the_interval_of_the_bootstrap():
    values = [0.1, 0.4, 0.4, 0.9]
    found = Estimate.of(values)
    assert found.value == pytest.approx(0.45) and (found.low, found.high) == bootstrap(values)
    with pytest.raises(ValueError, match="values: expected at least one"):
        Estimate.of([])


def test_an_interval_that_holds_both_answers_decides_nothing():
    assert Estimate(1, 0.5, 2).positive is True and Estimate(-1, -2, -0.5).positive is False
    assert Estimate(0.1, -0.5, 0.5).positive is None and Estimate(0, 0, 0).positive is None
    assert Estimate(1, 0.5, 2).above(0.7) is None and Estimate(1, 0.8, 2).above(0.7) is True


def test_a_row_gives_back_what_was_written_into_it():
    found = Estimate(0.52, 0.47, 0.58)
    row = {"layer": "conv1", **found.columns("share")}
    assert row == {"layer": "conv1", "share": 0.52, "share, 95 %": [0.47, 0.58]}
    assert of_row(row, "share") == found
    assert unknown("share") == {"share": None, interval("share"): None}


def test_in_words():
    found = Estimate(0.52, 0.47, 0.58)
    assert str(found) == "0.52 (0.47 to 0.58)" and found.shown("+.1f") == "+0.5 (+0.5 to +0.6)"
    assert found.percent() == "52 % (47 to 58)" and found.points() == "+52 (+47 to +58) percentage points"


def test_all_hold_where_each_does():
    assert all_of([True, True]) is True and all_of([True, None]) is None and all_of([None, False, True]) is False
