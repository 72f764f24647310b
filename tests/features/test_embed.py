"""Embeddings: PCA against the singular values, t-SNE by whether groups stay together, and what is odd about codes."""

from __future__ import annotations

import math
import sys
import warnings
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import zfcuda
from zfcuda.features import embed as module

pytest.importorskip("sklearn")


def groups(count: int, width: int = 60, each: float = 0.3) -> tuple[Tensor, Tensor]:
    """Codes in four groups, and which group each is of."""
    labels = torch.arange(count) % 4
    return torch.randn(4, width)[labels] + each * torch.randn(count, width), labels


@pytest.mark.parametrize("shape", [(50, 7), (7, 50), (600, 520), (4, 2)])
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_pca_are_the_largest_singular_values(shape: tuple[int, int], offset: float) -> None:
    codes = torch.randn(shape, dtype=torch.float64) * torch.linspace(3, 1, shape[1]) + offset
    points = zfcuda.embed(codes, "pca")
    assert points.dtype == torch.float32 and points.shape == (shape[0], 2)
    u, s, _ = torch.linalg.svd(codes - codes.mean(0), full_matrices=False)
    expected = u[:, :2] * s[:2]
    signs = (points * expected).sum(0).sign()
    torch.testing.assert_close(points.double(), expected * signs, rtol=1e-4, atol=1e-4)


def test_pca_is_that_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    codes = torch.randn(40, 9)
    expected = PCA(2, svd_solver="full").fit_transform(codes.numpy())
    np.testing.assert_allclose(zfcuda.embed(codes, "pca").numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [8, 40, 200])
def test_tsne_keeps_groups_together(count: int) -> None:
    codes, labels = groups(count)
    points = zfcuda.embed(SimpleNamespace(values=codes))
    assert points.shape == (count, 2) and points.isfinite().all()
    near = zfcuda.nearest(points, points, 2)[0][:, 1]
    assert (labels[near] == labels).double().mean() > (0.9 if count > 8 else 0.7)


def test_a_seed_gives_the_same_again() -> None:
    codes, _ = groups(60)
    for method in ("tsne", "pca"):
        first = zfcuda.embed(codes, method, seed=3)
        torch.rand(1)
        np.random.rand(1)
        assert torch.equal(zfcuda.embed(codes, method, seed=3), first)
    before = np.random.get_state()[1].tolist()  # type: ignore[index]
    zfcuda.embed(codes)
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]


@pytest.mark.parametrize("method", ["tsne", "pca"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("width", [1, 2, 80])
def test_few_codes(count: int, width: int, method: str) -> None:
    points = zfcuda.embed(torch.randn(count, width), method)
    assert points.shape == (count, 2) and points.isfinite().all()
    assert len(points.unique(dim=0)) == count


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_equal_codes_and_large_ones(method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(zfcuda.embed(torch.full((9, 5), 0.1), method), torch.zeros(9, 2))
        assert zfcuda.embed(torch.randn(12, 5) * 1e30, method).isfinite().all()
        codes = torch.randn(5, 6)[torch.arange(30) % 5].bfloat16()  # each six times
        assert zfcuda.embed(codes.requires_grad_(), method).isfinite().all()


def test_many_codes_take_opentsne_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MANY", 20)
    monkeypatch.delitem(sys.modules, "openTSNE", raising=False)
    real = module.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "openTSNE" else real(name))
    codes, _ = groups(24)
    with pytest.warns(UserWarning, match=r"t-SNE of 24 codes takes many minutes; pip install openTSNE"):
        expected = zfcuda.embed(codes)
    assert expected.shape == (24, 2)

    asked: dict[str, Any] = {}

    class Stand(SimpleNamespace):
        def fit(self, values: Any) -> Any:
            asked.update(vars(self), shape=values.shape)
            return np.asarray(values[:, :2], np.float64)

    stand = ModuleType("openTSNE")
    stand.TSNE = Stand  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "openTSNE", stand)
    monkeypatch.setattr(module, "find_spec", lambda name: real("sys") if name == "openTSNE" else real(name))
    assert zfcuda.embed(codes, seed=5).shape == (24, 2)
    assert asked["random_state"] == 5 and asked["shape"] == (24, 50) and asked["initialization"].shape == (24, 2)
    assert asked["perplexity"] == pytest.approx(23 / 3)


@pytest.mark.parametrize(
    ("codes", "arguments", "error", "said"),
    [
        (torch.ones(4, 3), {"method": "umap"}, ValueError, r"method: expected one of tsne, pca, got 'umap'"),
        (torch.ones(4, 3), {"seed": -1}, ValueError, r"seed: expected 0 to 4294967295, got -1"),
        (torch.ones(4, 3), {"seed": "a"}, TypeError, r"seed: expected an integer, got 'a'"),
        (torch.tensor([[math.nan, 1.0]]), {}, ValueError, r"codes: expected finite values, .* in row 0"),
        (torch.ones(4), {}, ValueError, r"codes: expected \[N,D\]"),
    ],
)
def test_bad_input_is_named(codes: Tensor, arguments: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        zfcuda.embed(codes, **arguments)


def test_without_scikit_learn_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "sklearn" else real(name))
    with pytest.raises(ImportError, match=r"embed: expected scikit-learn, .* pip install zfcuda\[features\]"):
        zfcuda.embed(torch.ones(4, 3))
    with pytest.raises(ImportError, match=r"mosaic: expected scikit-learn"):
        zfcuda.mosaic([np.zeros((4, 4, 3), np.uint8)], torch.zeros(1, 2))
