"""Rank correlation and structural similarity: closed forms, SciPy and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.faithfulness.small import noise
from zfcuda.faithfulness.similarity import magnitudes, rank_correlation, ssim


def test_ranks_by_hand() -> None:
    a = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(a, a.exp()) == pytest.approx(1.0) and rank_correlation(a, -a) == pytest.approx(-1.0)
    assert rank_correlation(a, torch.tensor([1.0, 3.0, 2.0, 4.0])) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert rank_correlation(a, torch.ones(4)) == 0.0 == rank_correlation(torch.ones(4), a)
    assert rank_correlation(torch.ones(4), torch.ones(4)) == 1.0
    for other in (a[:3], a[:0], a * torch.nan):
        with pytest.raises(ValueError, match="expected"):
            rank_correlation(a, other)


def test_ranks_are_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    for seed in range(5):
        a, b = noise(17, seed), noise(17, seed + 50)
        for x, y in ((a, b), (a, a + b), ((4 * a).round(), (3 * b).round()), ((4 * a).round(), a)):
            assert rank_correlation(x, y) == pytest.approx(stats.spearmanr(x.flatten(), y.flatten())[0], abs=1e-12)


def test_structure_by_hand() -> None:
    a = noise(30)
    assert ssim(a, a) == pytest.approx(1.0) and ssim(torch.zeros(9, 30), torch.zeros(9, 30)) == 1.0
    assert abs(ssim(a, noise(30, 7))) < 0.1
    plain, other = torch.full((20, 20), 0.2), torch.full((20, 20), 0.6)
    assert ssim(plain, other) == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4))
    assert ssim(torch.ones(1, 3), torch.ones(1, 3)) == 1.0
    with pytest.raises(ValueError, match=r"second: expected \[30, 30\], as the first, got \[20, 20\]"):
        ssim(a, plain)


def test_structure_is_scikit_images() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    for seed in range(3):
        a, b = noise(40, seed)[:25], noise(40, seed + 9)[:25]
        for x, y in ((a, b), (a, 0.7 * a + 0.3 * b), (a, 1 - a)):
            expected = metrics.structural_similarity(
                *(np.asarray(z.double()) for z in (x, y)),
                gaussian_weights=True,
                use_sample_covariance=False,
                data_range=1.0,
            )
            assert ssim(x, y) == pytest.approx(expected, abs=1e-9)


def test_magnitudes_span_one() -> None:
    assert magnitudes(torch.tensor([[-4.0, 2.0]])).tolist() == [[1.0, 0.5]]
    assert magnitudes(torch.zeros(2, 2)).tolist() == [[0.0, 0.0]] * 2
