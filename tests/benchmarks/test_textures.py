"""benchmarks.textures on a small texture: what its rows hold, and that its ways of exhaustive search are that."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmarks import textures


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (72, 72, 3), np.uint8))


def test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setattr(textures, "SIZE", (14, 11))
    row = textures.speed("noise", picture(0), 1)
    assert row["channels"] == 3 and set(row["ratios"]) == {"ours", "numpy", "batched"}
    assert all(ratio > 0 for ratio in row["ratios"].values()) and len(row["quartiles"]) == 4
    row = textures.likeness("noise", picture(0), picture(1))
    assert 0 < row["equal_choices"] <= 1
    assert row["earth_movers"]["after"] < 10 and row["earth_movers"]["two_pieces"] < 10


@pytest.mark.parametrize("way", ["by_pixels", "by_fronts"])
def test_ways_of_exhaustive_search(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next to last pixel of the last row has all that it sees before it: there all agree."""
    monkeypatch.setattr(textures, "SIZE", (31, 9))
    finest = textures.Finest(textures.pixels_of(picture(0)))
    getattr(finest, way)()
    y, x = 8, 20
    seen = finest.seen(np.array([y]), np.array([x]))[0]
    best = ((finest.windows.astype(np.int64) - seen.astype(np.int64)) ** 2).sum(1).argmin()
    np.testing.assert_array_equal(finest.output[y, x], finest.around.values[best])
