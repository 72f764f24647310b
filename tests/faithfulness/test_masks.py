"""The pointing game and the energy inside a mask, by hand and beside Quantus."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.faithfulness.small import noise
from zfcuda.faithfulness import energy_inside, pointing_chance, pointing_game

MASK = torch.zeros(9, 14, dtype=torch.bool)
MASK[2:5, 3:7] = True


def peak(y: int, x: int, shape: tuple[int, int] = (9, 14)) -> Tensor:
    return torch.zeros(shape).index_put((torch.tensor(y), torch.tensor(x)), torch.tensor(2.0))


def test_the_disc_is_that_of_the_distance_to_the_nearest_pixel_of_the_mask() -> None:
    inside = MASK.nonzero().tolist()
    for tolerance in (0, 1, 1.5, 2, math.sqrt(5), 3, 5, 100):
        expected = [
            [min(math.dist((y, x), pixel) for pixel in inside) <= tolerance for x in range(14)] for y in range(9)
        ]
        hits = [[pointing_game(peak(y, x), MASK, tolerance) for x in range(14)] for y in range(9)]
        assert hits == expected
        assert pointing_chance(MASK, tolerance) == pytest.approx(np.mean(expected))


def test_fifteen_pixels_is_the_default() -> None:
    mask = torch.zeros(60, 60, dtype=torch.bool)
    mask[30, 30] = True
    assert pointing_game(peak(30, 45, (60, 60)), mask) and not pointing_game(peak(30, 46, (60, 60)), mask)
    assert pointing_game(peak(39, 42, (60, 60)), mask) and not pointing_game(peak(41, 41, (60, 60)), mask)


def test_of_equal_maxima_all_have_to_hit() -> None:
    assert pointing_game(MASK.float(), MASK, 0) and not pointing_game(-MASK.float(), MASK, 0)
    assert not pointing_game(peak(3, 4) + peak(8, 13), MASK, 2)
    assert not pointing_game(torch.zeros(9, 14), MASK) or pointing_chance(MASK) == 1
    assert not pointing_game(torch.ones(9, 14), MASK, 4)


def test_the_maximum_is_signed() -> None:
    assert pointing_game(peak(3, 4) - 5 * peak(8, 13), MASK, 0)


def test_energy_by_hand() -> None:
    assert energy_inside(MASK.float(), MASK) == 1.0 and energy_inside(-MASK.float(), MASK) == 0.0
    assert energy_inside((~MASK).float(), MASK) == 0.0 and energy_inside(torch.zeros(9, 14), MASK) == 0.0
    assert energy_inside(torch.full((9, 14), 1e-30), MASK) == pytest.approx(float(MASK.double().mean()))
    assert energy_inside(torch.full((9, 14), 3e38), MASK) == pytest.approx(float(MASK.double().mean()))
    map = torch.where(MASK, 3.0, 1.0)
    assert energy_inside(map, MASK) == pytest.approx(36 / (36 + 114))
    signed = map.clone()
    signed[0] = -100.0  # speaks against the class, and counts nowhere
    assert energy_inside(signed, MASK) == pytest.approx(36 / (36 + 100))
    assert energy_inside(map.half(), MASK) == pytest.approx(energy_inside(map, MASK))


def test_arrays_and_other_dtypes_are_taken() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int64):
        assert pointing_game(peak(3, 4).to(dtype), MASK, 0)
    assert pointing_game(peak(3, 4), MASK.numpy(), 0)
    assert energy_inside(np.asarray(MASK, dtype=np.float32)[::-1], MASK.numpy()[::-1]) == 1.0


MAP = torch.ones(9, 14)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: pointing_game(MAP[None], MASK),
            ValueError,
            r"map: expected \[H,W\], got shape \[1, 9, 14\]; map\[0\]",
        ),
        (lambda: pointing_game(MAP, MASK.T), ValueError, r"mask: expected \[9, 14\], as the map, got \[14, 9\]"),
        (lambda: pointing_game(MAP, MASK.float()), TypeError, "mask: expected bool, got torch.float32; mask > 0"),
        (lambda: pointing_game(MAP, MASK & False), ValueError, "mask: expected at least one pixel in it, got none"),
        (lambda: pointing_game(MAP, MASK, -1), ValueError, "tolerance: expected a number of pixels from 0 on, got -1"),
        (lambda: pointing_game(MAP, MASK, math.nan), ValueError, "tolerance: .* got nan"),
        (lambda: pointing_game(MAP, MASK, "far"), TypeError, "tolerance: expected a number, got 'far'"),
        (lambda: pointing_game(MAP, MASK, "3"), TypeError, "tolerance: expected a number, got '3'"),
        (lambda: pointing_game(MAP.numpy().astype(object), MASK), TypeError, "map: .* got dtype object"),
        (lambda: pointing_game(MAP.numpy().astype(">f4"), MASK), TypeError, "map: .* got dtype >f4"),
        (lambda: pointing_game(MAP * math.nan, MASK), ValueError, "map: expected finite values, got NaN or infinity"),
        (lambda: pointing_game([1.0], MASK), TypeError, r"map: expected a Tensor or an array \[H,W\], got list"),
        (lambda: pointing_game(MAP.to("meta"), MASK), ValueError, "map: expected numbers"),
        (lambda: pointing_game(MAP * 1j, MASK), TypeError, "map: expected real values, got torch.complex64"),
        (lambda: pointing_chance(MASK[0]), ValueError, r"mask: expected \[H,W\], got shape \[14\]"),
        (lambda: pointing_chance(MASK, -2), ValueError, "tolerance: .* got -2"),
        (lambda: energy_inside(MAP / 0, MASK), ValueError, "map: expected finite values"),
        (lambda: energy_inside(MAP, MASK & False), ValueError, "mask: expected at least one pixel"),
        (lambda: energy_inside(MAP[:, :3], MASK), ValueError, r"mask: expected \[9, 3\], as the map, got \[9, 14\]"),
    ],
)
def test_bad_arguments_are_named(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_quantus_says_the_same() -> None:
    """Where a map is nowhere negative, has one maximum, and no tolerance is asked for, which Quantus does not know."""
    quantus = pytest.importorskip("quantus")
    maps = torch.stack([noise(20, seed) for seed in range(6)])
    masks = torch.zeros(6, 20, 20, dtype=torch.bool)
    masks[:, 4:16, 2:14] = True
    given = {
        "model": torch.nn.Identity(),
        "x_batch": np.zeros((6, 1, 20, 20), np.float32),
        "y_batch": np.zeros(6, np.int64),
        "a_batch": maps[:, None].numpy(),
        "s_batch": masks[:, None].numpy(),
    }
    settings = {"disable_warnings": True, "display_progressbar": False, "normalise": False, "abs": False}
    mass = quantus.RelevanceMassAccuracy(**settings)(**given)
    hits = quantus.PointingGame(**settings)(**given)
    pairs = list(zip(maps, masks, strict=True))
    assert [energy_inside(*pair) for pair in pairs] == pytest.approx(mass)
    assert [pointing_game(*pair, tolerance=0) for pair in pairs] == hits and len(set(hits)) == 2
