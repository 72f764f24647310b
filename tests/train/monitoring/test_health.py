"""Warnings about a network that learns: units that die, filters that run away, no better than chance."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zfcuda.train.monitoring import health
from zfcuda.train.monitoring.health import Dead, HealthWarnings, Runaway


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


def test_units_that_nothing_excites_are_found() -> None:
    model = network()
    with torch.no_grad():
        model[0].weight[5] = 0
        model[0].bias[5] = -1.0  # type: ignore[index]
    layers = health.rectified(model, [])
    assert layers == ["1"]
    found = health.dead(model, torch.rand(6, 3, 8, 8), layers, torch.float32)
    assert [(each.layer, 5 in each.units, each.size) for each in found] == [("1", True, 8)]


def test_frozen_layers_are_not_looked_at() -> None:
    model = network()
    assert health.rectified(model, [model[0], model[1]]) == []


def test_a_filter_far_above_its_layers_median_is_found() -> None:
    model = network()
    assert health.runaways(model) == []
    with torch.no_grad():
        model[0].weight[3] *= 30
    [found] = health.runaways(model)
    assert (found.layer, found.unit) == ("0", 3)
    assert (
        found.rms
        > 10 * found.median
        == pytest.approx(10 * float(model[0].weight.detach().square().mean((1, 2, 3)).sqrt().median()))
    )
    model[0].weight.requires_grad_(False)  # a frozen one does not run
    assert health.runaways(model) == []


def test_runaways_are_told_once_and_those_of_the_start_never() -> None:
    old, new = Runaway("conv1", 2, 3.0, 0.1), Runaway("conv2", 7, 0.512, 0.05)
    told = HealthWarnings([old])
    assert told.of_runaways([old]) is None
    said = told.of_runaways([old, new])
    assert said == (
        "unit 7 of conv2 has an RMS of 0.512, the layer's median is 0.05; "
        "--filter-rms 0.1 scales filters of convolutions back"
    )
    assert told.of_runaways([old, new]) is None


def test_dead_units_are_told_again_where_they_are_twice_as_many() -> None:
    told = HealthWarnings([])
    few, more, many = (Dead("relu1", list(range(count)), 96) for count in (3, 5, 6))
    said = told.of_dead([few, Dead("relu7", [1, 2], 4096)], 72)  # 2 of 4096 are not worth a word
    assert said == (
        "none of 72 validation pictures excites 3 of 96 units of relu1 (0, 1, 2); a smaller --rate keeps units alive"
    )
    assert told.of_dead([few], 72) is None and told.of_dead([more], 72) is None
    again = told.of_dead([many], 72)
    assert again is not None and "6 of 96 units of relu1 (0, 1, 2, ...)" in again


def test_of_many_layers_three_are_named() -> None:
    said = HealthWarnings([]).of_dead([Dead(f"relu{i}", [0] * (10 - i), 10) for i in range(5)], 9)
    assert said is not None and "relu2" in said and "relu3" not in said and "and of 2 layers more" in said


@pytest.mark.parametrize(("pictures", "epochs"), [(1_200_000, 1), (6_120, 1), (3_068, 2), (100, 62)])
def test_the_sample_takes_its_share_of_the_time(pictures: int, epochs: int) -> None:
    assert health.every(pictures, 72) == epochs


def test_no_better_than_chance_is_said_once() -> None:
    labels = [0] * 50 + [1] * 30 + [2] * 20
    chosen = {"rate": 0.01, "init": "normal"}
    hints = [health.at_chance(epoch, 20, 0.52, labels, chosen) for epoch in range(1, 30)]
    assert [epoch for epoch, hint in enumerate(hints, 1) if hint] == [10]  # 200 steps
    assert hints[9] == (
        "after 10 epochs validation is no better than chance: 52.0% at best, and always the commonest class scores "
        "50.0%; --rate 0.0033 or 0.03, or --init he, may help"
    )
    assert health.at_chance(10, 20, 0.65, labels, chosen) is None
    assert health.at_chance(5, 1000, 0.5, labels, {"rate": 0.01, "init": "he"}) is not None
