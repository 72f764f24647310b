"""When layers converge: closed forms, and what is said of planted courses."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from zfcuda.paper.evolution.convergence import cka, filter_cosines, half_way, lasting, rank_correlation, way_to_go
from zfcuda.paper.evolution.jumps import changes, jumps
from zfcuda.paper.evolution.verdict import by_cosine, upper_late
from zfcuda.report.patches.joined import Drawn, LayerPatches


def test_cosines_are_to_the_last_filters():
    end = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]]])
    cosines = filter_cosines([torch.tensor([[[3.0, 4.0]], [[0.0, 0.0]]]), end])
    torch.testing.assert_close(cosines, torch.tensor([[0.6, 0.0], [1.0, 1.0]], dtype=torch.float64))


@pytest.mark.parametrize("large", [1.0, 1000.0])
def test_the_way_to_go_does_not_depend_on_how_large_the_initial_weights_are(large):
    start, step = large * torch.randn(4, 5), torch.randn(4, 5)
    ways = way_to_go([start + 0.25 * step, start + step], start)
    assert ways == pytest.approx([0.75, 0.0], abs=1e-3)


def test_weights_that_never_move_have_no_way():
    still = torch.ones(2, 3)
    assert math.isnan(way_to_go([still, still], still)[0])


def test_codes_are_alike_up_to_rotation_and_scale():
    codes = torch.randn(40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[0]
    turned = 3 * codes @ rotation + 5  # a constant says nothing of a picture
    assert cka(codes @ codes.T, turned @ turned.T) == pytest.approx(1)


def test_unrelated_codes_are_not_alike_however_long():
    """The plain estimate is about 0.9 here, since there are more numbers than pictures."""
    dice = torch.Generator().manual_seed(0)
    first, second = (torch.randn(30, 900, dtype=torch.float64, generator=dice) for _ in range(2))
    assert abs(cka(first @ first.T, second @ second.T)) < 0.2


def test_codes_that_say_the_same_of_every_picture_have_no_likeness():
    assert math.isnan(cka(torch.zeros(5, 5).double(), torch.eye(5).double()))


def test_codes_of_fewer_than_four_pictures_are_refused():
    with pytest.raises(ValueError, match="pictures: expected at least 4"):
        cka(torch.eye(3), torch.eye(3))


def test_lasting_looks_back_from_the_end():
    assert lasting([1, 2, 5, 10], [0.95, 0.5, 0.91, 1.0]) == 5
    assert lasting([1, 2, 5, 10], [0.95, 0.92, 0.91, 1.0]) == 1
    assert lasting([1, 2], [float("nan"), 1.0]) == 2


def test_half_of_the_way_lies_between_two_moments():
    assert half_way([0, 2, 6], [1.0, 0.6, 0.2]) == pytest.approx(3)
    assert math.isnan(half_way([0, 2], [float("nan")] * 2))


def test_rank_correlation_knows_all_orders():
    rho, chance = rank_correlation([1, 2, 3, 4, 5])
    assert (rho, chance) == (pytest.approx(1), pytest.approx(2 / math.factorial(5)))
    assert rank_correlation([5, 4, 3, 2, 1])[0] == pytest.approx(-1)
    # 1 - 6 (0 + 1 + 1 + 0) / (4 (16 - 1)), of two neighbours that are swapped
    assert rank_correlation([1, 3, 2, 4])[0] == pytest.approx(0.8)


def test_rank_correlation_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    values = [3.0, 1.0, 1.0, 5.0, 4.0, 9.0, 2.0, 6.0, 6.0, 7.0, 8.0]
    rho, chance = rank_correlation(values)
    wanted = stats.spearmanr(range(len(values)), values)
    assert rho == pytest.approx(wanted.statistic)
    assert chance == pytest.approx(wanted.pvalue, abs=0.01)


def test_rank_correlation_of_equal_or_few_values_is_none():
    assert all(math.isnan(each) for values in ([1, 1, 1, 1], [1, 2]) for each in rank_correlation(values))


RISING = {f"conv{i}": [0.1 * i, 0.05 * i] for i in range(1, 8)}
FALLING = {f"conv{i}": [0.9 - 0.1 * i, 0.4 - 0.05 * i] for i in range(1, 8)}
FLAT = {f"conv{i}": [0.5 + 0.01 * (i % 2)] * 2 for i in range(1, 8)}


@pytest.mark.parametrize(
    ("weights", "codes", "holds"),
    [
        (RISING, RISING, True),
        (FALLING, FALLING, False),
        (FALLING, FLAT, False),
        (RISING, FLAT, None),
        (RISING, FALLING, None),
        (FLAT, FLAT, None),
    ],
)
def test_upper_layers_are_late_where_all_measures_say_so(weights, codes, holds):
    claim = upper_late({"weights": weights, "codes": codes}, [1, 2])
    assert claim.holds is holds
    assert "epochs 1, 2" in claim.found


def test_the_cosine_decides_nothing():
    claim = by_cosine({"conv1": 0.1, "fc6": 0.99}, {"conv1": 5, "fc6": 0}, 16)
    assert claim.holds is None
    assert "0.99 in fc6" in claim.found


def moment(indices, projections):
    """A layer of units whose strongest pictures these are."""
    values = torch.ones(len(indices), 1)
    layer = LayerPatches(SimpleNamespace(layer="conv2", values=values), list(range(len(indices))))  # type: ignore[arg-type]
    patch = Image.new("RGB", (8, 8))
    layer.drawn = {row: [Drawn(0, index, patch, projections[row])] for row, index in enumerate(indices)}
    return [layer]


def noise(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8))


@pytest.mark.parametrize("result_from_change", [True, False])
def test_jumps_come_with_another_picture_where_they_do(result_from_change):
    old, other = [noise(row) for row in range(4)], [noise(9 + row) for row in range(4)]
    # Units 0 and 1 keep their picture; their projections stay, or, in the other case, theirs alone change.
    kept = old if result_from_change else other
    new = [*kept[:2], *(other if result_from_change else old)[2:]]
    there, back = moment([0, 1, 2, 3], old), moment([0, 1, 7, 8], new)
    assert jumps([there, back] * 4).holds is result_from_change
    assert jumps([there, back, there]).holds is None  # two steps are too few for an interval


def test_without_both_kinds_of_steps_nothing_is_said_of_jumps():
    still = [noise(row) for row in range(2)]
    assert jumps([moment([0, 1], still), moment([0, 1], still)]).holds is None


def test_units_that_nothing_excites_do_not_count_as_changed():
    def found(indices, values):
        values, indices = torch.tensor(values)[:, None], torch.tensor(indices)[:, None]
        return {"conv2": SimpleNamespace(values=values, indices=indices)}

    moments = [found([0, 1, 2], [1.0, 1.0, 0.0]), found([0, 5, 6], [1.0, 2.0, 1.0])]
    [row] = changes(moments, [1, 5], {"conv2": "conv2"})  # type: ignore[arg-type]
    assert (row["units"], row["share with another strongest picture"]) == (2, 0.5)
