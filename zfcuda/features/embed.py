"""Codes as points of a plane, near ones near: PCA, and t-SNE (van der Maaten and Hinton 2008), by scikit-learn."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zfcuda.features.scatter import scatter
from zfcuda.features.values import values_of
from zfcuda.inputs import integer
from zfcuda.shown import Display, View, shown

Array = npt.NDArray[Any]

METHODS = ("tsne", "pca")
_MANY = 10_000  # codes, from which on scikit-learn's t-SNE takes many minutes
_PERPLEXITY = 30.0
_FEWEST = 4  # codes, below which no neighbours can be weighed against others
_SMALL = 500  # codes, or their width: up to there all components are quickly computed
_WIDTH = 50  # principal components that t-SNE gets, as its authors advise


def embed(codes: Any, method: str = "tsne", *, seed: int = 0) -> Tensor:
    """A point of the plane for each code. Needs the extra: ``pip install zfcuda[features]``.

    PCA draws the two directions in which the codes differ most, true to scale. t-SNE keeps neighbours together: what
    lies close together in the plane was close, while distances between groups, and their sizes, mean little. It gets
    the first 50 principal components, starts from the first two, and weighs about 30 neighbours, a third of the others
    where there are fewer than 90. Above 10,000 codes it is openTSNE's where that is installed
    (``pip install openTSNE``), else scikit-learn's with a warning that it takes long.

    Three codes or fewer are drawn by PCA whatever the method; codes that are all equal lie at 0, 0.

    Args:
        codes: what :func:`zfcuda.codes` returns, or a Tensor [N,D] of a floating dtype.
        method: "tsne" or "pca".
        seed: gives the same points again on the same machine.

    Returns:
        float32 [N,2] on the CPU: x to the right, y downwards, in units of no meaning.

    Raises:
        TypeError: codes is neither; seed is no integer.
        ValueError: there is no such method; codes is not [N,D], or not finite; seed is outside 0 to 2**32 - 1.
        ImportError: scikit-learn is not installed.

    Sources: van der Maaten & Hinton 2008 (t-SNE), of CNN codes as in the course notes; Kobak & Berens 2019 (its start).
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    seed = integer("seed", seed)
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected 0 to {2**32 - 1}, got {seed}")
    values = values_of(codes)
    require_sklearn("embed")
    centred, scale = _centred(values)
    if scale == 0:
        return _shown(torch.zeros(len(values), 2), codes)
    if method == "tsne" and len(values) >= _FEWEST:
        points = _tsne(centred, seed)
    else:
        points = scale * _pca(centred, 2, seed).astype(np.float64)
    return _shown(torch.from_numpy(points.astype(np.float32)), codes)


def _shown(points: Tensor, codes: Any) -> Tensor:
    """The points as dots in the colours of their classes, where codes that have such were given."""
    labels, classes = getattr(codes, "labels", None), getattr(codes, "classes", ())

    def how(points: Tensor) -> Display:
        said = f"{len(points):,} points" + (f" of {len(classes):,} classes" if classes else "")
        return Display("Embedding", [("points", said)], [View(scatter(points, labels, classes), said, sheet=True)], 1)

    return shown(points, how)


def require_sklearn(what: str) -> None:
    """Says how to get scikit-learn, and SciPy with it, where it is not installed.

    Raises:
        ImportError: it is not.
    """
    if find_spec("sklearn") is None or find_spec("scipy") is None:
        raise ImportError(f"{what}: expected scikit-learn, which is not installed: pip install zfcuda[features]")


def _centred(values: Tensor) -> tuple[Array, float]:
    """Codes around zero, -1 to 1, so that neither a large offset nor a large scale rounds them; and that scale."""
    wide = values.cpu().to(torch.float64 if values.dtype == torch.float64 else torch.float32)
    centred = wide - wide.mean(0, dtype=torch.float64).to(wide.dtype)
    scale = float(centred.abs().max())
    return (centred / scale if scale > 0 else centred).numpy(), scale


def _pca(centred: Array, components: int, seed: int) -> Array:
    """The first principal components [N,components]; those that there are not are zero."""
    from sklearn.decomposition import PCA

    there = min(components, *centred.shape)
    solver = "full" if min(centred.shape) <= _SMALL else "arpack" if there == 2 else "randomized"
    found = PCA(there, svd_solver=solver, random_state=seed).fit_transform(centred)
    return np.pad(found, ((0, 0), (0, components - there)))


def _tsne(centred: Array, seed: int) -> Array:
    """[N,D] -> [N,2], by openTSNE where there are many and it is installed, else by scikit-learn."""
    count = len(centred)
    reduced = _pca(centred, _WIDTH, seed) if centred.shape[1] > _WIDTH else centred
    start = _pca(centred, 2, seed)
    settings: dict[str, Any] = {"perplexity": min(_PERPLEXITY, (count - 1) / 3), "random_state": seed}
    start = (start / start[:, 0].std() * 1e-4).astype(np.float32)
    if count > _MANY:
        if find_spec("openTSNE") is not None:
            from openTSNE import TSNE as Quick  # noqa: N811

            return np.asarray(Quick(initialization=start, **settings).fit(reduced))
        warnings.warn(
            f"embed: scikit-learn's t-SNE of {count:,} codes takes many minutes; pip install openTSNE makes it quicker",
            stacklevel=3,
        )
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,import-not-found,unused-ignore]

    # Threads add up in the order in which they end, and t-SNE makes something else of every last bit.
    with threadpool_limits(1, user_api="openmp"):
        return np.asarray(TSNE(init=start, **settings).fit_transform(reduced))
