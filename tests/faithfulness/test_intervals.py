"""Intervals: published figures, SciPy, and coverage."""

from __future__ import annotations

import numpy as np
import pytest

from zfcuda.faithfulness.intervals import bootstrap, student, student_of_two, wilson


def test_wilson() -> None:
    low, high = wilson(190, 200)
    assert (round(low, 4), round(high, 4)) == (0.9104, 0.9726)
    assert wilson(0, 10)[0] == 0 and wilson(0, 10)[1] == pytest.approx(0.2775, abs=1e-4)
    assert wilson(10, 10) == pytest.approx((1 - 0.2775, 1), abs=1e-4)
    for hits, count in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="hits, count: expected"):
            wilson(hits, count)


def test_wilson_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    for hits, count in ((0, 3), (7, 9), (150, 200)):
        expected = stats.binomtest(hits, count).proportion_ci(method="wilson")
        assert wilson(hits, count) == pytest.approx((expected.low, expected.high))


def test_bootstrap() -> None:
    assert bootstrap([2.0, 2.0, 2.0]) == (2.0, 2.0)
    values = np.random.default_rng(3).normal(5, 2, 400)
    low, high = bootstrap(values.tolist())
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05)
    assert bootstrap(values.tolist()) == (low, high)
    with pytest.raises(ValueError, match="values: expected at least one"):
        bootstrap([])


def test_student() -> None:
    assert student([1.0, 2.0, 3.0]) == pytest.approx((2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), abs=1e-4)
    assert student([4.0, 4.0]) == (4.0, 4.0)
    with pytest.raises(ValueError, match="values: expected at least two, got 1"):
        student([1.0])


def test_student_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    for count in (2, 3, 9, 13, 14, 40):
        values = np.random.default_rng(count).normal(5, 2, count)
        expected = stats.ttest_1samp(values, 0).confidence_interval()
        assert student(values.tolist()) == pytest.approx((expected.low, expected.high), abs=2e-3)


def test_student_of_two_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    first, second = [1.0, 2.0, 4.0], [3.0, 3.5, 7.0, 6.0]
    expected = stats.ttest_ind(second, first).confidence_interval(0.95)
    assert student_of_two(first, second) == pytest.approx((expected.low, expected.high), abs=1e-3)
    with pytest.raises(ValueError, match="second: expected at least two, got 1"):
        student_of_two(first, [1.0])
