"""How alike two maps are: by the order of their pixels, and by their structure."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from zfcuda.faithfulness.checks import checked_map

_SIGMA, _REACH = 1.5, 5  # of the Gaussian window, pixels: 11 x 11
_C1, _C2 = 0.01**2, 0.03**2  # of values that span 1


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's rank correlation of two tensors of one shape, -1 ... 1; equal values share their mean rank.

    Where one of them is the same everywhere it orders nothing, and the answer is 0 (SciPy says NaN); where they are
    equal it is 1 even so.

    Raises:
        ValueError: the shapes differ, there are less than two values, or they are not finite.
    """
    if first.shape != second.shape or first.numel() < 2:
        raise ValueError(
            f"second: expected two values or more as in the first, {list(first.shape)}, got {list(second.shape)}"
        )
    a, b = (x.detach().to("cpu", torch.float64).flatten() for x in (first, second))
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("first, second: expected finite values, got NaN or infinity")
    if torch.equal(a, b):
        return 1.0
    a, b = (_ranks(x) for x in (a, b))
    a, b = a - a.mean(), b - b.mean()
    scale = float(a.norm() * b.norm())
    return max(-1.0, min(1.0, float(a @ b) / scale)) if scale else 0.0


def ssim(first: Tensor, second: Tensor) -> float:
    """The mean structural similarity of two maps [H,W] whose values span 1 (Wang et al. 2004): at most 1.

    A Gaussian window of 11 x 11 pixels with standard deviation 1.5, smaller where the maps are, wherever it lies
    inside: scikit-image's structural_similarity(gaussian_weights=True, use_sample_covariance=False, data_range=1).

    Raises:
        TypeError, ValueError: they are not maps of one size, or not finite.
    """
    a, b = checked_map(first, "first"), checked_map(second, "second")
    if a.shape != b.shape:
        raise ValueError(f"second: expected {list(a.shape)}, as the first, got {list(b.shape)}")
    reach = min(_REACH, (min(a.shape) - 1) // 2)
    line = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = (-0.5 * (line / _SIGMA) ** 2).softmax(0)
    stack = torch.stack([a, b, a * a, b * b, a * b])[:, None]
    blurred = conv2d(conv2d(stack, weights[None, None, :, None]), weights[None, None, None, :])[:, 0]
    mean_a, mean_b, aa, bb, ab = blurred
    variances, covariance = aa - mean_a**2 + bb - mean_b**2, ab - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return float((likeness / ((mean_a**2 + mean_b**2 + _C1) * (variances + _C2))).mean())


def magnitudes(map: Tensor) -> Tensor:
    """The magnitudes of a map [H,W], float64 on the CPU, scaled so that the largest is 1; of zeros, zeros."""
    values = checked_map(map).abs()
    largest = float(values.amax())
    return values / largest if 0 < largest < math.inf else values


def _ranks(values: Tensor) -> Tensor:
    """Of values [n], from 0 on; equal ones share the mean of theirs."""
    _, place, count = values.unique(return_inverse=True, return_counts=True)
    last = count.cumsum(0).double()
    return (last - (count.double() + 1) / 2)[place]
