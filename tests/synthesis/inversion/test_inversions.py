"""What survives of an image: shifts that are known, errors by region, and every layer in its order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.synthesis import inversions
from zfcuda.synthesis.inversion.survival import median_shift, phase_shift, survival

MAP, VECTOR = torch.ones(1, 4, 8, 8), torch.ones(1, 9)


def photograph(high: int = 64, wide: int = 64) -> Tensor:
    """Blots of some pixels, without an edge that would stay where it is."""
    torch.manual_seed(2)
    return F.avg_pool2d(torch.rand(1, 3, high + 4, wide + 4), 5, 1)


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)),
    )


def test_the_same_image_has_no_error_and_has_not_moved() -> None:
    image = photograph()
    found = survival(image, image, MAP, MAP, 4)
    assert found.error == 0 and found.shift == (0, 0) and median_shift(found) == 0
    assert not found.shifts.any() and not found.errors.any()
    assert found.code_errors is not None and not found.code_errors.any()
    torch.testing.assert_close(found.likeness, torch.ones(4, 4))


@pytest.mark.parametrize("shift", [(0, 3), (-5, 2), (7, -6)])
def test_an_image_that_moved_has_moved_by_so_much(shift: tuple[int, int]) -> None:
    image = photograph(64, 80)
    found = survival(image, image.roll(shift, (2, 3)), MAP, MAP, 4)
    assert found.shift == shift
    inner = found.shifts[1:3, 1:3].reshape(-1, 2)
    assert (inner == torch.tensor(shift)).all() and float(found.likeness[1:3, 1:3].min()) > 0.99
    assert median_shift(found) == pytest.approx((shift[0] ** 2 + shift[1] ** 2) ** 0.5, abs=1)


def test_brightness_and_contrast_move_nothing() -> None:
    image = photograph()
    found = survival(image, 0.3 * image + 0.4, VECTOR, VECTOR, 4)
    assert not found.shifts.any() and float(found.likeness.min()) > 0.999 and found.code_errors is None
    assert found.error > 0.5


def test_a_plain_image_is_as_far_as_its_mean_colour_and_like_nothing() -> None:
    image = photograph()
    plain = image.mean((2, 3), keepdim=True).expand_as(image)
    found = survival(image, plain, MAP, 0 * MAP, 4)
    assert found.error == pytest.approx(1) and not found.likeness.any()
    torch.testing.assert_close(found.code_errors, torch.ones(4, 4))


def test_errors_are_where_they_are() -> None:
    image = photograph()
    other, code = image.clone(), MAP.clone()
    other[:, :, 16:32, 48:] += 0.2
    code[:, :, 6:, :2] = 3
    found = survival(image, other, MAP, code, 4)
    assert found.errors.nonzero().tolist() == [[1, 3]]
    assert found.code_errors is not None and found.code_errors.nonzero().tolist() == [[3, 0]]
    assert found.code_errors[3, 0] == pytest.approx(2)
    assert found.errors.square().mean().sqrt() == pytest.approx(found.error, rel=1e-4)


def test_phase_correlation_of_images_with_nothing_in_them() -> None:
    assert phase_shift(torch.zeros(8, 9), torch.zeros(8, 9)) == (0, 0)


def test_every_layer_in_its_order() -> None:
    image = torch.rand(1, 3, 16, 16)
    found = inversions(network(), image, ["1", "4", "7"], steps=30, grid=2, limits=(0, 1))
    assert [each.inversion.layer for each in found] == ["1", "4", "7"]
    assert found[0].survival.error < found[2].survival.error
    assert [each.survival.code_errors is None for each in found] == [False, False, True]
    assert found[0].survival.shifts.shape == (2, 2, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": []}, "layers: expected a list of at least one name, got []"),
        ({"layers": "1"}, "layers: expected a list of at least one name, got '1'"),
        ({"layers": ["1", "conv9"]}, "'conv9'"),
        ({"grid": 0}, "grid: expected 1 to 16, got 0"),
        ({"grid": 17}, "grid: expected 1 to 16, got 17"),
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"tv": -2}, "tv: expected a number of at least 0, got -2"),
    ],
)
def test_mistakes(change: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"layers": ["1"], "steps": 1, **change}
    with pytest.raises((TypeError, ValueError)) as caught:
        inversions(network(), torch.rand(1, 3, 16, 16), **given)
    assert said in str(caught.value)
