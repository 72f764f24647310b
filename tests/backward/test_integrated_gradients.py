"""Integrated gradients: closed forms, Captum, and how far the shares are from adding up."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.backward.networks import resnet, trained

CPU = torch.device("cpu")


class Polynomial(nn.Module):
    """A score of each image: the sum of a power of its values, weighted."""

    def __init__(self, weight: Tensor, power: int) -> None:
        super().__init__()
        self.weight, self.power = nn.Parameter(weight), power

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight * x**self.power).sum((1, 2, 3))


WEIGHT = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).double()
IMAGES = torch.randn(3, 2, 3, 4, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("rule", ["gausslegendre", "trapezoid"])
@pytest.mark.parametrize("baseline", [0.0, -0.5, "channel", "each"])
def test_of_a_square(rule: str, baseline: Any) -> None:
    """The gradient is linear along the path, so that both rules are exact."""
    if baseline == "channel":
        baseline = torch.tensor([1.0, -1.0]).view(2, 1, 1)
    elif baseline == "each":
        baseline = IMAGES.flip(0) / 2
    model = Polynomial(WEIGHT, 2)
    found = zfcuda.integrated_gradients(model, IMAGES, baseline=baseline, steps=3, rule=rule)
    torch.testing.assert_close(found, WEIGHT * (IMAGES**2 - baseline**2), rtol=1e-12, atol=1e-12)
    gap = zfcuda.completeness_gap(model, IMAGES, found, baseline=baseline)
    assert gap.shape == (3,) and gap.abs().max() < 1e-12


def test_points_and_weights_of_the_rules() -> None:
    """Of x^4, whose gradient 4 x^3 along the path is 4 a^3 of its end, where a goes from 0 to 1."""
    model = Polynomial(WEIGHT, 4)
    exact = WEIGHT * IMAGES**4
    for rule, steps, factor in (
        ("gausslegendre", 2, 1.0),  # exact up to the third power
        ("gausslegendre", 1, 4 / 8),  # in the middle
        ("trapezoid", 2, 4 / 2),  # both ends
        ("trapezoid", 3, 4 * (1 / 16 + 1 / 4)),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = zfcuda.integrated_gradients(model, IMAGES, steps=steps, rule=rule)
        torch.testing.assert_close(found, factor * exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("baseline", [0.0, "random"])
def test_against_captum(baseline: Any) -> None:
    captum = pytest.importorskip("captum.attr")
    model, images, target = trained(resnet("functional"), CPU), torch.randn(3, 3, 40, 40), torch.tensor([1, 0, 3])
    baseline = torch.randn(3, 3, 40, 40) if baseline == "random" else baseline
    ask = captum.IntegratedGradients(model).attribute
    for rule, steps, factor in (("gausslegendre", 7, 1.0), ("trapezoid", 6, 6 / 5)):
        method = rule if rule == "gausslegendre" else "riemann_trapezoid"
        # Captum's weights of a trapezoid add up to (steps - 1) / steps.
        expected = factor * ask(images, baseline, target=target, n_steps=steps, method=method).float()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = zfcuda.integrated_gradients(model, images, target=target, baseline=baseline, steps=steps, rule=rule)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
        gap = zfcuda.completeness_gap(model, images, found, target=target, baseline=baseline)
        start = baseline if isinstance(baseline, Tensor) else torch.zeros_like(images)
        own = ask(images, start, target=target, n_steps=steps, method=method, return_convergence_delta=True)[1].float()
        if rule == "gausslegendre":
            torch.testing.assert_close(gap, own, rtol=1e-3, atol=1e-3)


def test_the_shares_add_up_with_more_steps() -> None:
    model, images = trained(resnet("modules"), CPU).double(), torch.randn(2, 3, 40, 40).double()
    gaps = []
    for steps in (10, 100, 1000):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = zfcuda.integrated_gradients(model, images, target=1, steps=steps)
        gaps.append(zfcuda.completeness_gap(model, images, found, target=1).abs().max())
    with torch.no_grad():
        gain = (model(images) - model(torch.zeros_like(images)))[:, 1].abs().max()
    assert gaps[0] > gaps[2] and gaps[2] < 0.01 * gain


def test_a_wide_gap_is_said() -> None:
    model = Polynomial(WEIGHT, 4)
    said = (
        r"the shares of image \d add up to \S+, where f\(image\) - f\(baseline\) is \S+; more steps than 1 \(steps=\)"
    )
    with pytest.warns(UserWarning, match=said):
        zfcuda.integrated_gradients(model, IMAGES, steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zfcuda.integrated_gradients(model, IMAGES, steps=2)
        zfcuda.integrated_gradients(model, IMAGES, baseline=IMAGES, steps=2)  # nothing to share out


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps: expected at least 1 with rule='gausslegendre', got 0"),
        ({"steps": 1, "rule": "trapezoid"}, ValueError, "steps: expected at least 2 with rule='trapezoid', got 1"),
        ({"steps": 2.5}, TypeError, "steps: expected an integer, got 2.5"),
        ({"rule": "simpson"}, ValueError, "rule: expected one of 'gausslegendre', 'trapezoid', got 'simpson'"),
        ({"baseline": "black"}, TypeError, "baseline: expected a number, got 'black'"),
        ({"baseline": float("nan")}, ValueError, "baseline: expected a finite number, got nan"),
        ({"baseline": torch.full((2, 1, 1), torch.inf)}, ValueError, "baseline: expected finite real values"),
        (
            {"baseline": torch.zeros(3)},
            ValueError,
            re.escape("baseline: expected a number or a Tensor that broadcasts to [3, 2, 3, 4], got shape [3]"),
        ),
        ({"baseline": torch.zeros(1, 3, 2, 3, 4)}, ValueError, "baseline: .* got shape"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        zfcuda.integrated_gradients(Polynomial(WEIGHT, 2), IMAGES, **arguments)


def test_a_gap_needs_shares_of_the_images() -> None:
    with pytest.raises(ValueError, match=r"attributions: expected \[3, 2, 3, 4\], as the images, got \[2, 3, 4\]"):
        zfcuda.completeness_gap(Polynomial(WEIGHT, 2), IMAGES, IMAGES[0])
