"""Textures of neighbourhoods: the tree against exhaustive search, pyramids, neighbourhoods, levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zfcuda.synthesis.texture import tree
from zfcuda.synthesis.texture.codebook import codebook, whole
from zfcuda.synthesis.texture.neighbourhoods import Bytes, depth, neighbourhoods, pyramid
from zfcuda.synthesis.texture.tree import Search, equal_choices, grow

EXHAUSTIVE = Search(leaf=None)


def noise(height: int, width: int, channels: int = 1, *, seed: int = 0, values: int = 256) -> Bytes:
    return np.random.default_rng(seed).integers(0, values, (height, width, channels), np.uint8)


def stripes(height: int, width: int) -> Bytes:
    """Columns in threes."""
    return np.broadcast_to((np.arange(width) // 3 % 2 * 200 + 20).astype(np.uint8)[:, None], (height, width, 1)).copy()


def sklearn() -> None:
    pytest.importorskip("sklearn")


@pytest.mark.parametrize("sample", [noise(20, 21), noise(21, 25, 3), noise(20, 20, values=2), stripes(20, 24)])
def test_a_tree_of_which_all_is_searched_chooses_as_exhaustive_search_does(sample: Bytes) -> None:
    """A neighbourhood a leaf, but for equal ones."""
    sklearn()
    ours = grow(sample, (13, 11), window=5, search=Search(leaf=1, leaves=10**6), seed=3)
    theirs = grow(sample, (13, 11), window=5, search=EXHAUSTIVE, seed=3)
    assert len(ours.chosen) == len(theirs.chosen) == depth(sample.shape[:2], 5) > 1
    for mine, other in zip(ours.chosen, theirs.chosen, strict=True):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(ours.pixels, theirs.pixels)


def test_fewer_leaves_choose_otherwise_at_times() -> None:
    sklearn()
    searches = (Search(8, 1), Search(8, 8), Search(8, 10**6), EXHAUSTIVE)
    shares = [equal_choices(noise(30, 30), (16, 16), window=5, search=s, seed=0, every=2) for s in searches]
    assert 0 < shares[0] < shares[1] < shares[2] == shares[3] == 1
    assert equal_choices(noise(12, 12, 3), (8, 8), window=5, search=EXHAUSTIVE, seed=0) == 1  # of one level


@pytest.mark.parametrize("leaf", [1, 7, 1000])
def test_a_codebook_is_a_tree(leaf: int) -> None:
    sklearn()
    vectors = np.random.default_rng(0).integers(0, 256, (400, 64), np.uint8)
    vectors[200:260] = vectors[0]  # equal ones stay together
    book = codebook(vectors, leaf, 0)
    assert sorted(book.order) == list(range(400))
    assert book.leaves == {1: 340, 1000: 1}.get(leaf, book.leaves)
    parents = np.zeros(len(book.nodes), int)
    for i, (child, count, begin, end) in enumerate(book.nodes):
        inside = vectors[book.order[begin:end]]
        np.testing.assert_array_equal(book.centres[i], np.rint(inside.mean(0)).astype(np.uint8))
        if count == 0:
            assert end - begin <= leaf or (inside == inside[0]).all()
            continue
        assert child > i and count >= 2
        spans = book.nodes[child : child + count, 2:]
        assert spans[0, 0] == begin and spans[-1, 1] == end and (spans[1:, 0] == spans[:-1, 1]).all()
        parents[child : child + count] += 1
    assert parents[0] == 0 and (parents[1:] == 1).all()


def test_codebooks_repeat_themselves() -> None:
    sklearn()
    vectors = noise(300, 64)[..., 0]
    for ours, theirs in zip(*(vars(codebook(vectors, 8, 5)).values() for _ in range(2)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_vectors_of_which_a_few_differ() -> None:
    """Those that means are found by are all equal."""
    sklearn()
    vectors = np.zeros((4001, 64), np.uint8)
    vectors[1] = 9
    book = codebook(vectors, 10, 0)
    assert [tuple(book.order[b:e]) for _, n, b, e in book.nodes if n == 0 and e - b == 1] == [(1,)]


def test_one_leaf_holds_all() -> None:
    assert whole(noise(5, 64)[..., 0]).leaves == 1


def test_a_pyramid_by_hand() -> None:
    sample = np.zeros((4, 5, 1), np.uint8)
    sample[2, 2] = 255
    first, second = pyramid(sample, 2)
    assert first is sample and second.shape == (2, 3, 1)
    weights = np.outer([1, 6], [1, 6, 1])  # of 16: where the point lies in the filter around (0, 2) x (0, 2, 4)
    np.testing.assert_array_equal(second[..., 0], np.rint(255 * weights / 256))
    constant = np.full((7, 6, 3), 77, np.uint8)
    assert all((level == 77).all() for level in pyramid(constant, 3))


@pytest.mark.parametrize(
    ("sides", "window", "levels"), [((9, 9), 9, 1), ((35, 90), 9, 2), ((33, 90), 9, 1), ((128, 128), 9, 3)]
)
def test_how_deep_a_pyramid_is(sides: tuple[int, int], window: int, levels: int) -> None:
    assert depth(sides, window) == levels
    assert depth((10**5, 10**5), window) == 4


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("shape", [(12, 15, 1), (13, 14, 3)])
def test_neighbourhoods_by_hand(shape: tuple[int, int, int], two: bool) -> None:
    level, window, r = noise(*shape), 5, 2
    coarser = noise(-(-shape[0] // 2), -(-shape[1] // 2), shape[2], seed=1) if two else None
    around = neighbourhoods(level, coarser, window)
    assert around.windows.shape[1] % 64 == 0
    places = [tuple(place) for place in around.places]
    for i, (y, x) in enumerate(places):
        seen = [level[y + v, x + u] for v in range(-r, 1) for u in range(-r, r + 1) if (v, u) < (0, 0)]
        if coarser is not None:
            above = coarser[y // 2 - r : y // 2 + r + 1, x // 2 - r : x // 2 + r + 1]
            assert above.shape[:2] == (5, 5)
            seen += [*above.reshape(25, -1)]
        expected = np.concatenate(seen)
        np.testing.assert_array_equal(around.windows[i, : len(expected)], expected)
        assert not around.windows[i, len(expected) :].any()
        np.testing.assert_array_equal(around.values[i], level[y, x])

    def fits(y: int, x: int) -> bool:
        """Whether all of a neighbourhood lies inside."""
        own = y >= r and r <= x < shape[1] - r
        sides = () if coarser is None else zip((y // 2, x // 2), coarser.shape[:2], strict=True)
        return own and all(r <= place < side - r for place, side in sides)

    assert places == [(y, x) for y in range(shape[0]) for x in range(shape[1]) if fits(y, x)]


def test_a_regular_sample_goes_on_regularly() -> None:
    """Stripes in, stripes out: every row is the same, and as wide as before, around the border too."""
    grown = grow(stripes(48, 48), (36, 30), window=9, search=EXHAUSTIVE, seed=1)
    pixels = grown.pixels[..., 0]
    assert (pixels == pixels[:1]).all()
    changes = np.flatnonzero(np.diff(pixels[0].astype(int)))
    assert set(np.diff(changes)) == {3}


@pytest.mark.parametrize("size", [(1, 1), (1, 17), (17, 1), (7, 40), (31, 33)])
def test_any_size(size: tuple[int, int]) -> None:
    grown = grow(noise(24, 26, 3), size, window=5, search=EXHAUSTIVE, seed=0)
    assert grown.pixels.shape == (size[1], size[0], 3) and all((chosen >= 0).all() for chosen in grown.chosen)
    assert grown.interrupted is None


def test_the_pixels_are_the_samples() -> None:
    sample = noise(20, 20, 3)
    grown = grow(sample, (15, 15), window=5, search=EXHAUSTIVE, seed=0)
    assert {tuple(p) for p in grown.pixels.reshape(-1, 3)} <= {tuple(p) for p in sample.reshape(-1, 3)}


def test_the_seed_decides() -> None:
    sample = noise(20, 20)
    first, again, other = (grow(sample, (15, 15), window=5, search=EXHAUSTIVE, seed=s).pixels for s in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("level", [0, 1])
def test_ctrl_c_leaves_what_is_there(level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the second call of a level: the rest is what it began with."""
    calls = {"n": 0}
    right = tree.Level.choose

    def choose(self: Any, output: Bytes, *rest: Any) -> None:
        calls["n"] += output.shape[0] == (10, 20)[level]
        if calls["n"] == 2:
            raise KeyboardInterrupt
        right(self, output, *rest)

    monkeypatch.setattr(tree.Level, "choose", choose)
    sample = noise(26, 26)
    grown = grow(sample, (20, 20), window=5, search=EXHAUSTIVE, seed=0)
    assert isinstance(grown.interrupted, KeyboardInterrupt) and len(grown.chosen) == level + 1
    assert grown.pixels.shape == ((10, 10, 1), (20, 20, 1))[level]
    assert (grown.chosen[-1] == -1).any()
    assert {*grown.pixels.flat} <= {*pyramid(sample, 2)[1 - level].flat}
