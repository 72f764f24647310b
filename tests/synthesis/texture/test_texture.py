"""zfcuda.texture: what it gives, its histogram, its bad input, Ctrl-C."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

import zfcuda
from zfcuda.synthesis.texture import tree
from zfcuda.synthesis.texture.histograms import earth_movers, matched
from zfcuda.synthesis.texture.result import Textured
from zfcuda.synthesis.texture.texture import textured


def picture(height: int, width: int, *, grey: bool = False, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 1 if grey else 3), np.uint8)
    return Image.fromarray(np.broadcast_to(pixels, (height, width, 3)).copy())


@pytest.mark.parametrize("method", ["tree", "exhaustive"])
@pytest.mark.parametrize("grey", [True, False])
def test_a_texture(method: str, grey: bool) -> None:
    if method == "tree":
        pytest.importorskip("sklearn")
    sample = picture(40, 44, grey=grey)
    made = zfcuda.texture(sample, (30, 23), method=method, seed=1)
    assert (made.mode, made.size) == ("RGB", (30, 23))
    pixels = np.asarray(made)
    assert (pixels == pixels[..., :1]).all() == grey
    assert made.tobytes() == zfcuda.texture(sample, [30, np.int64(23)], method=method, seed=1).tobytes()  # type: ignore[arg-type]
    assert made.tobytes() != zfcuda.texture(sample, (30, 23), method=method, seed=-7).tobytes()
    assert max(earth_movers(made, sample)) < 4  # a few pixels cannot have all values of more


def test_any_picture_is_a_sample(tmp_path: Path) -> None:
    """A file, an array, transparency: what is not seen is white."""
    sample = picture(20, 20, grey=True)
    sample.save(tmp_path / "sample.png")
    arguments: dict[str, Any] = {"method": "exhaustive", "window": 5}
    made = zfcuda.texture(sample, (12, 9), **arguments).tobytes()
    assert made == zfcuda.texture(tmp_path / "sample.png", (12, 9), **arguments).tobytes()
    assert made == zfcuda.texture(np.asarray(sample)[..., 0], (12, 9), **arguments).tobytes()
    clear = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    assert zfcuda.texture(clear, (4, 4), **arguments).getcolors() == [(16, (255, 255, 255))]


def test_a_sample_of_the_windows_size() -> None:
    sample = picture(9, 9)
    assert zfcuda.texture(sample, (5, 5), method="exhaustive").size == (5, 5)
    assert zfcuda.texture(picture(3, 3), (1, 1), method="exhaustive", window=3).size == (1, 1)


def test_earth_movers_by_hand() -> None:
    black, grey = Image.new("RGB", (4, 3)), Image.new("RGB", (5, 5), (10, 0, 255))
    assert earth_movers(black, grey) == pytest.approx([10, 0, 255])
    half = black.copy()
    half.paste((8, 8, 8), (0, 0, 2, 3))
    assert earth_movers(black, half) == pytest.approx([4, 4, 4]) == earth_movers(half, black)
    scipy = pytest.importorskip("scipy.stats")
    one, other = picture(8, 9), picture(5, 7, seed=1)
    values = [np.asarray(p).reshape(-1, 3).astype(float) for p in (one, other)]
    expected = [scipy.wasserstein_distance(values[0][:, i], values[1][:, i]) for i in range(3)]
    assert earth_movers(one, other) == pytest.approx(expected)


def test_a_histogram_is_given() -> None:
    like = picture(30, 30)
    assert matched(like, like).tobytes() == like.tobytes()
    dark = like.point(lambda value: value // 4)
    assert max(earth_movers(dark, like)) > 90 and max(earth_movers(matched(dark, like), like)) < 2
    values, given = np.asarray(dark), np.asarray(matched(dark, like))
    order = values[..., 0].argsort(axis=None)
    assert (np.diff(given[..., 0].flat[order].astype(int)) >= 0).all()  # what was darker stays so


NET = nn.Conv2d(3, 4, 3)
BAD: dict[str, tuple[type[Exception], dict[str, Any]]] = {
    "method: expected one of 'tree', 'exhaustive', 'gram', got 'trees'": (ValueError, {"method": "trees"}),
    "model: expected a network for method 'gram', got None": (ValueError, {"method": "gram"}),
    "window: method 'gram' takes none, got 9": (ValueError, {"method": "gram", "model": NET, "window": 9}),
    "model: method 'tree' takes none": (ValueError, {"model": NET}),
    "layers: method 'exhaustive' takes none": (ValueError, {"layers": ["0"], "method": "exhaustive"}),
    "sample: expected at least 9 x 9 pixels, the size of the window, got 20 x 8": (
        ValueError,
        {"sample": picture(8, 20)},
    ),
    "sample: expected at least 21 x 21 pixels, .* got 20 x 20": (ValueError, {"window": 21}),
    "sample: expected at least 9 x 9 pixels, .* got 1 x 1": (ValueError, {"sample": Image.new("RGB", (1, 1))}),
    "sample: expected at least one pixel": (ValueError, {"sample": Image.new("RGB", (0, 4))}),
    "sample: expected at most 1,048,576 pixels, .* got 1100 x 1000": (
        ValueError,
        {"sample": Image.new("RGB", (1100, 1000))},
    ),
    "sample: expected a PIL picture, a path or an array": (TypeError, {"sample": 3}),
    "nowhere.png: no such file": (ValueError, {"sample": "nowhere.png"}),
    "window: expected an odd number from 3 to 63, got 8": (ValueError, {"window": 8}),
    "window: expected an odd number from 3 to 63, got 65": (ValueError, {"window": 65}),
    "window: expected an integer, got 2.5": (TypeError, {"window": 2.5}),
    "seed: expected an integer, got 'x'": (TypeError, {"seed": "x"}),
}


@pytest.mark.parametrize("said", BAD)
def test_bad_input(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfcuda.synthesis.texture.texture.grow", None)  # before the work
    kind, changes = BAD[said]
    with pytest.raises(kind, match=said):
        zfcuda.texture(**{"sample": picture(20, 20), "size": (8, 8), **changes})


@pytest.mark.parametrize("size", [8, (8,), (8, 8, 8), (0, 8), (8, -1), (8.5, 8), "ab", None, (True, 8)])
def test_bad_sizes(size: Any) -> None:
    with pytest.raises(ValueError, match=r"size: expected \(width, height\), two positive integers, got"):
        zfcuda.texture(picture(20, 20), size)


def test_a_size_beyond_all_measure() -> None:
    with pytest.raises(ValueError, match=r"size: expected at most .* pixels, got 1000000 x 1000000"):
        zfcuda.texture(np.zeros((20, 20, 3), np.uint8), (10**6, 10**6))


def test_gram_is_asked_with_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """And gives what that gives, with why it ended."""
    asked: list[Any] = []
    answer = Textured(Image.new("RGB", (8, 6)), "so", KeyboardInterrupt())

    def gram_textured(*arguments: Any, **options: Any) -> Any:
        asked.append((*arguments, options))
        return answer

    monkeypatch.setattr("zfcuda.synthesis.texture.texture.gram_textured", gram_textured)
    sample = picture(20, 20)
    made = textured(sample, (8, 6), method="gram", model=NET, layers=["0"], seed=4, progress=True)
    assert asked == [(sample, (8, 6), NET, ["0"], 4, {"pixel_range": None, "progress": True})]
    assert made is answer


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(ImportError, match=r"scikit-learn.*pip install zfcuda\[features\]"):
        zfcuda.texture(picture(20, 20), (8, 8))
    assert zfcuda.texture(picture(20, 20), (8, 8), method="exhaustive").size == (8, 8)


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture is as large as it was to be, and has the sample's histogram."""
    calls = []
    right = tree.Level.choose

    def choose(self: Any, output: Any, *rest: Any) -> None:
        calls.append(len(output))
        if len(calls) == 3:
            raise KeyboardInterrupt
        right(self, output, *rest)

    monkeypatch.setattr(tree.Level, "choose", choose)
    sample = picture(40, 40, grey=True)
    with pytest.warns(UserWarning, match="stopped in level 1 of 2: the picture so far"):
        made = textured(sample, (32, 32), method="exhaustive")
    assert made.picture.size == (32, 32) and isinstance(made.interrupted, KeyboardInterrupt) and made.stopped
    assert max(earth_movers(made.picture, sample)) < 4
