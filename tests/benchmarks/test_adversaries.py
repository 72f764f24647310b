"""The measure of adversaries counts what it says, on a network of a few weights."""

from __future__ import annotations

import torch

from benchmarks.adversaries import __main__ as measure
from benchmarks.adversaries import opponents
from tests.synthesis.adversarial.networks import picture, with_preprocess
from zfcuda.synthesis import adversaries


def test_all_counts_pictures_that_are_read_again() -> None:
    model = with_preprocess()
    model.preprocess = type(model.preprocess)(6, 6, (127 / 255,) * 3, (128 / 255,) * 3)  # 8 bits are exact there
    images = torch.cat([model.preprocess(picture(seed)) for seed in range(6)])
    (row,) = measure._all(model, images)
    made = adversaries(model, images, rounded=True)
    assert row["pictures"] == row["in the ball"] == 6 and row["largest change of 255"] == 4
    assert row["succeeded"] == sum(one.succeeded for one in made)
    mean = torch.cat([one.change for one in made]).abs().mean() * 128
    assert abs(row["mean change of 255"] - float(mean)) < 1e-3


def test_others_stand_beside_where_they_are_installed() -> None:
    model = with_preprocess()
    model.preprocess = type(model.preprocess)(6, 6, (127 / 255,) * 3, (128 / 255,) * 3)
    images = torch.cat([model.preprocess(picture(seed)) for seed in range(4)])
    rows = measure._beside(model, images)
    sides = ["zfcuda", *opponents.installed()]
    assert [row["by"] for row in rows] == 3 * sides
    for row in rows:
        assert row["pictures"] == 4 and row["seconds per picture"] > 0
        if "inf" in row["setting"]:
            assert row["largest change of 255"] < 4.001
        else:
            assert row["root mean square of 255"] < 1.001
