"""Numbers of first layers: closed forms, planted grids, planted filters."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.paper.two_layers import two
from zfcuda.paper import fig6, plots
from zfcuda.paper.cache import Cache
from zfcuda.paper.evolution.history import History
from zfcuda.paper.fig6 import clipping_trainings
from zfcuda.paper.figure import NotApplicableError, Setting
from zfcuda.paper.figures import figure as figure_of
from zfcuda.paper.first_layer import clipping
from zfcuda.paper.first_layer.aliasing import excess, spectrum
from zfcuda.paper.first_layer.claims import claims, difference, fraction
from zfcuda.paper.first_layer.filters import (
    answers_likeness,
    band_shares,
    bands,
    chance_likeness,
    likeness,
    mid_energy,
    noisy,
    rms,
)
from zfcuda.paper.first_layer.network import FirstLayer, first_layer
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.panels import laid_out, panel
from zfcuda.paper.trainings import MissingRunsError

FIG4, FIG6 = figure_of("fig4"), figure_of("fig6")


def grating(side, period):
    wave = torch.cos(2 * math.pi * torch.arange(side) / period)
    return wave.expand(3, side, side)


@pytest.mark.parametrize("side", [7, 11])
def test_bands_of_gratings(side):
    constant, mid, fine = torch.ones(3, side, side), grating(side, 5.5), grating(side, 2)
    assert bands(torch.stack([constant, mid, fine])) == ["low", "mid", "high"]


@pytest.mark.parametrize("side", [7, 11])
def test_noise_is_told_and_measured_alike_in_any_size(side):
    filters = torch.randn(2000, 3, side, side, generator=torch.Generator().manual_seed(0))
    assert float(mid_energy(filters).mean()) == pytest.approx(1, abs=0.03)
    assert float(noisy(filters).double().mean()) > 0.85
    assert not noisy(torch.stack([torch.ones(3, side, side), grating(side, 6)])).any()


def test_shares_of_bands_add_up():
    shares = band_shares(torch.randn(5, 3, 7, 7))
    torch.testing.assert_close(shares.sum(1), torch.ones(5).double())


def test_rms_is_what_is_clipped():
    assert rms(torch.full((2, 3, 4, 4), -0.25)).tolist() == [0.25, 0.25]


def test_likeness_of_rows():
    rows = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, 0.0]])
    found = likeness(rows)
    torch.testing.assert_close(found[:3], torch.tensor([0.5, 0.0, 0.5]).double())
    assert math.isnan(found[3])


def test_chance_likeness_is_that_of_random_rows():
    rows = torch.randn(400, 30, generator=torch.Generator().manual_seed(0))
    assert float(likeness(rows).mean()) == pytest.approx(chance_likeness(30), rel=0.02)


def test_answers_are_alike_whatever_is_added():
    maps = torch.randn(4, 1, 5, 5)
    found = answers_likeness(torch.cat([maps, 7 - 2 * maps], 1))
    torch.testing.assert_close(found, torch.ones(2).double())


def blurred(side=48):
    place = torch.arange(side) - side / 2
    return torch.exp(-(place**2) / 90)


def comb(period, side=48):
    """Points of a grid under a smooth hill, a little smooth themselves, as filters at a stride leave."""
    hill = blurred(side)
    points = hill * (torch.arange(side) % period == 0)
    return (points[:, None] * points)[None].expand(3, side, side)


def test_spectra_are_shares_at_frequencies():
    frequencies, shares = spectrum(torch.ones(3, 1, 1))
    assert (float(frequencies[0]), float(frequencies[-1])) == (0, 0.5)
    assert float(shares.sum()) == pytest.approx(1)
    assert not spectrum(torch.zeros(3, 5, 5))[1].any()


def test_a_smooth_hill_and_a_point_have_nothing_that_stands_out():
    hill = (blurred()[:, None] * blurred())[None]
    assert excess(*spectrum(hill)) == pytest.approx([0, 0, 0], abs=1e-6)
    assert excess(*spectrum(torch.ones(1, 1, 1))) == pytest.approx([0, 0, 0], abs=1e-9)


def test_grids_stand_out_at_their_frequencies():
    four, two_apart, eight = (excess(*spectrum(comb(period))) for period in (4, 2, 8))
    # Of a grid of 4 the lines at 0, 1/4 and 1/2 hold a quarter, half and a quarter of the energy.
    assert four == pytest.approx([0.5, 0, 0.25], abs=0.02)
    assert two_apart == pytest.approx([0, 0, 0.5], abs=0.02)
    assert eight == pytest.approx([0.25, 0.25, 0.125], abs=0.05)


def test_spectra_of_large_projections_have_more_points():
    assert len(spectrum(torch.ones(3, 90, 20))[1]) == 49


def test_differences_have_intervals_over_units_and_trainings():
    more = difference([[0.0, 0.1] * 20], [[1.0, 1.1] * 20])
    assert more.value == pytest.approx(1)
    assert more.low < 1 < more.high
    assert more.high - more.low < 0.05
    # Three trainings of each kind are six values, however many units each has.
    dice = np.random.default_rng(0)
    sure = 0
    for _ in range(300):
        one, other = ([(at + dice.normal(0, 0.1, 24)).tolist() for at in dice.normal(0, 1, 3)] for _ in range(2))
        sure += difference(one, other).positive is not None
    assert sure / 300 == pytest.approx(0.05, abs=0.03)
    # Trainings that differ among themselves widen it.
    assert difference([[0.0] * 50, [1.0] * 50], [[0.5] * 50, [1.5] * 50]).positive is None
    with pytest.raises(ValueError, match="values: expected at least one"):
        difference([[]], [[1.0]])


def measured(stride, *, dead, correlation, mid, aliasing):
    torch.manual_seed(0)
    by_filter = {
        "dead": torch.tensor([1.0] * dead + [0.0] * (10 - dead)),
        "correlation of answers": correlation + 0.01 * torch.arange(10.0),
        "energy of mid frequencies": mid + 0.01 * torch.arange(10.0),
    }
    excess = aliasing + torch.zeros(10, 3)
    nothing = torch.zeros(10, 3)
    return FirstLayer(
        "conv1", "conv2", torch.zeros(10, 3, 7, 7), stride, by_filter, nothing, nothing, nothing, nothing, excess
    )


def test_claims_follow_the_numbers():
    good = [measured(2, dead=0, correlation=0.1, mid=0.9, aliasing=0.0)] * 2
    bad = [measured(4, dead=6, correlation=0.5, mid=0.2, aliasing=0.1)] * 2
    assert [each.holds for each in claims(good, bad)] == [True] * 4
    assert "over 2 and 2 trainings" in claims(good, bad)[0].found
    assert [each.holds for each in claims(bad, good)] == [False] * 4
    assert [each.holds for each in claims(good, good)] == [None] * 4
    assert "7x7 stride 2" in claims(good, bad)[0].found


def test_one_training_of_a_kind_decides_nothing():
    good = [measured(2, dead=0, correlation=0.1, mid=0.9, aliasing=0.0)]
    bad = [measured(4, dead=6, correlation=0.5, mid=0.2, aliasing=0.1)] * 2
    assert {each.holds for each in claims(good, bad)} == {None}


def test_fractions_are_words():
    assert [*map(fraction, (1 / 4, 3 / 8, 1 / 2))] == ["1/4", "3/8", "1/2"]


def trained(*factors):
    """A training of two epochs; what its first filter was multiplied by after each."""
    models = []
    for factor in factors:
        torch.manual_seed(1)
        model = two()
        with torch.no_grad():
            model[0].weight /= 100 * rms(model[0].weight)[:, None, None, None]  # 0.01 each
            model[0].weight[0] *= factor
            model[3].weight *= 0.01
        models.append(model)
    return History("squares", [1, 2], models, None, "", False)


def test_clipping_that_removes_what_dominates():
    found = clipping.compared(trained(1, 10), trained(1, 30), 0.1)
    assert found.engaged
    assert not found.same
    claim = clipping.claim([found])
    assert claim.holds is None  # the clipped one dominates still: 0.1 beside 0.01
    removes = clipping.compared(trained(1, 1.5), trained(1, 30), 0.015)
    assert clipping.claim([removes]).holds is True
    assert "1 of 6 first-layer filters are within 1 % of it" in clipping.claim([removes]).found
    assert clipping.claim([clipping.compared(trained(1, 10), trained(1, 1), 0.1)]).holds is False
    # Where another radius never acts, the one that does decides; where two that act differ, nothing is decided.
    idle = clipping.compared(trained(1, 30), trained(1, 30), 0.9)
    assert clipping.claim([idle, removes]).holds is True
    assert clipping.claim([found, removes]).holds is None
    rows = clipping.rows(found)
    assert [row["largest over median, not clipped"] for row in rows] == pytest.approx([1, 30])


def test_clipping_that_never_engaged_says_so():
    found = clipping.compared(trained(1, 4), trained(1, 4), 0.1)
    claim = clipping.claim([found])
    assert claim.holds is None
    assert "never engaged; both trainings came to the same weights, to the bit" in claim.found
    assert "in 0, is 0.040" in claim.found
    assert found.largest == ("0", pytest.approx(0.04))


def test_trainings_of_other_networks_are_not_compared():
    other = trained(1, 1)
    other.models[1] = nn.Sequential(nn.Conv2d(3, 2, 3))
    with pytest.raises(ValueError, match="clipping: expected two trainings of one network"):
        clipping.compared(trained(1, 1), other, 0.1)


IMAGES = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def planted_network(seed=0):
    torch.manual_seed(seed)
    model = two()
    with torch.no_grad():
        model[0].bias[2] = -1000  # never above zero
        model[3].bias[5] = -1000
    return model


def test_dead_filters_and_silent_units_are_found():
    found = first_layer(Gallery(planted_network(), IMAGES), Cache())
    dead = found.by_filter["dead"]
    assert dead[2] == 1
    assert 5 not in found.units.tolist()
    assert (found.name, found.second, found.stride) == ("0", "3", 2)
    # 3 pixels at first; 2 of pooling, 2 apart, and 2 of the second, 4 apart.
    assert found.projections.shape == (len(found.units), 3, 9, 9)
    assert found.projections.flatten(1).abs().sum(1).gt(0).all()
    torch.testing.assert_close(found.spectra.sum(1), torch.ones(len(found.units)).double())


def test_a_network_of_one_convolution_is_refused():
    with pytest.raises(NotApplicableError, match="two convolutions"):
        first_layer(Gallery(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten()), IMAGES), Cache())


def test_the_figure_of_networks_alone(monkeypatch):
    monkeypatch.setattr(plots, "find_spec", lambda name: None)  # curves are seen elsewhere
    result = fig6([planted_network(), planted_network(1)], planted_network(2), IMAGES, count=4)
    assert list(result.pictures) == [""]
    assert [row["training"] for row in result.rows] == [0, 1, 0]
    assert result.rows[0]["dead, share"] >= 1 / 6
    assert result.tensors["ours.filters"].shape == (6, 3, 3, 3)
    assert len(result.claims) == 4


def test_curves_of_all_parts():
    pytest.importorskip("matplotlib")
    from zfcuda.paper.first_layer.drawing import aliasing, numbers

    found = first_layer(Gallery(planted_network(), IMAGES), Cache())
    kinds = {"one": [found, found], "other": [found]}
    assert aliasing(kinds) is not None
    without, with_clipping = (
        numbers(kinds, each) for each in ([], [clipping.compared(trained(1, 4), trained(1, 4), 0.1)] * 2)
    )
    assert without.width < with_clipping.width


def test_no_networks_and_no_pictures_are_refused():
    with pytest.raises(ValueError, match="theirs: expected at least one network"):
        fig6(planted_network(), [], IMAGES)
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        fig6(planted_network(), planted_network(), IMAGES, count=0)


def test_the_trainings_of_the_clipping_differ_in_it_alone():
    *clipped, unclipped = clipping_trainings("photographs")
    assert [each.name for each in clipped] == ["photographs-zfnet-clipped-0", "photographs-zfnet-clipped_at_0.03-0"]
    assert unclipped.name == "photographs-zfnet-unclipped-0"
    assert all({**each.options, "filter_rms": 0} == unclipped.options for each in clipped)


@pytest.mark.parametrize(("figure", "count"), [(FIG4, 1), (FIG6, 6)])
def test_missing_trainings_are_named(figure, count, tmp_path):
    setting = Setting(Gallery(planted_network(), IMAGES), "squares", "photographs", Cache(), tmp_path)
    with pytest.raises(MissingRunsError) as missing:
        figure.run(setting)
    assert str(missing.value).count("zfcuda train photographs --out") == count
    assert "photographs-zfnet-0 --model zfnet --seed 0" in str(missing.value)


def test_panels_lie_side_by_side_as_long_as_they_fit():
    from PIL import Image

    sheet = Image.new("RGB", (100, 50), "red")
    one = panel(sheet, "a heading", tile=(50, 50), heads=["a", "b"], rows=["x"])
    assert one.getpixel((one.width - 1, one.height - 1)) == (255, 0, 0)
    assert laid_out([one] * 3, wide=2 * one.width + 80).height > 2 * one.height
    assert laid_out([one] * 3, wide=4 * one.width).height < 2 * one.height
