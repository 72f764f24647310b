"""Tree-structured vector quantisation: neighbourhoods in a tree that k-means divides (Wei & Levoy 2000)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

# Children of a node. k-means costs about the same time whatever it divides a few hundred vectors into, and comparing a
# window with so many centres is less than comparing it with the vectors of one leaf.
_BRANCHES = 16
_TRAINED = 1000  # vectors that means are found by, at most


@dataclass(frozen=True)
class Codebook:
    """A tree over N vectors of P bytes, as :func:`zfcuda.ops.texture.texture_pixels` takes it.

    Attributes:
        order: int64 [N], the vectors leaf by leaf.
        nodes: int64 [M,4]: the first of its children, which stand one after the other; how many these are, 0 of a leaf;
            from and to in `order`.
        centres: uint8 [M,P], the mean of each node's vectors, rounded.
    """

    order: NDArray[np.int64]
    nodes: NDArray[np.int64]
    centres: Bytes

    @property
    def leaves(self) -> int:
        """How many leaves it has."""
        return int((self.nodes[:, 1] == 0).sum())


def whole(vectors: Bytes) -> Codebook:
    """One leaf that holds all vectors [N,P]: searching it is exhaustive search."""
    count = len(vectors)
    return Codebook(np.arange(count), np.array([[0, 0, 0, count]]), np.zeros((1, vectors.shape[1]), np.uint8))


def codebook(vectors: Bytes, leaf: int, seed: int) -> Codebook:
    """Divides vectors [N,P] by k-means, again and again, until no leaf holds more than so many.

    A leaf holds more where they are all equal.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    order = np.arange(len(vectors))
    nodes = [[0, 0, 0, len(vectors)]]
    centres = [_mean(vectors)]
    divide = _Means(seed)
    with divide.in_one_thread():
        _grow(nodes, centres, order, vectors, leaf, divide)
    return Codebook(order, np.array(nodes), np.stack(centres))


def _grow(
    nodes: list[list[int]],
    centres: list[Bytes],
    order: NDArray[np.int64],
    vectors: Bytes,
    leaf: int,
    divide: _Means,
) -> None:
    """Divides the root and what comes of it, in place."""
    for node in nodes:  # which grows meanwhile: children stand behind their parents
        begin, end = node[2:]
        if end - begin <= leaf:
            continue
        members = order[begin:end].copy()
        wanted = -(-2 * (end - begin) // leaf)  # twice as many as would do if they were equally large
        labels = divide(vectors[members], wanted)
        groups = [members[labels == label] for label in np.unique(labels)]
        if len(groups) == 1:
            continue
        node[:2] = len(nodes), len(groups)
        for group in groups:
            order[begin : begin + len(group)] = group
            nodes.append([0, 0, begin, begin + len(group)])
            centres.append(_mean(vectors[group]))
            begin += len(group)


class _Means:
    """Divides vectors by the mean that each is nearest to."""

    def __init__(self, seed: int) -> None:
        try:
            from sklearn.cluster import KMeans
            from threadpoolctl import threadpool_limits  # which scikit-learn needs itself
        except ImportError:
            raise ImportError(
                "method 'tree': expected scikit-learn, which is not installed: pip install zfcuda[features]; "
                "method 'exhaustive' does without"
            ) from None
        self._k_means: Any = KMeans
        self._seed = seed
        # On so few numbers threads wait for one another longer than they work.
        self.in_one_thread: Callable[[], AbstractContextManager[Any]] = lambda: threadpool_limits(1)

    def __call__(self, vectors: Bytes, wanted: int) -> NDArray[np.intp]:
        """A number for each vector [N,P]: which part it belongs to."""
        some = vectors[:: -(-len(vectors) // _TRAINED)]
        if (some == some[0]).all():  # all means would be one
            some = np.unique(vectors, axis=0)[:_TRAINED]
        count = min(max(2, wanted), _BRANCHES, len(some))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged, or found fewer
            found = self._k_means(count, init="random", n_init=1, max_iter=5, random_state=self._seed)
            found.fit(some.astype(np.float32))
        means = found.cluster_centers_
        return (vectors.astype(np.float32) @ means.T - (means**2).sum(1) / 2).argmax(1)


def _mean(vectors: Bytes) -> Bytes:
    return np.rint(vectors.mean(0, dtype=np.float32)).astype(np.uint8)
