"""The smallest epsilon with which an attack succeeds."""

from __future__ import annotations

import pytest
import torch

import zfcuda
from tests.synthesis.adversarial.networks import IMAGE, SHAPE, Small, away, linear, picture, with_preprocess
from zfcuda.synthesis import adversaries, pixel_values


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_the_smallest_epsilon_of_logistic_regression(norm: str, method: str) -> None:
    model = linear(seed=3)
    slope, margin = away(model, IMAGE)
    nearest = margin / float(slope.abs().sum() if norm == "inf" else slope.norm())
    made = zfcuda.adversarial(model, IMAGE, method=method, norm=norm, epsilon="smallest", steps=40)
    assert made.succeeded and made.epsilon is not None
    assert nearest * 0.999 < float(made.epsilon) < nearest * 1.05
    assert not zfcuda.adversarial(model, IMAGE, method=method, norm=norm, epsilon=nearest * 0.99, steps=40).succeeded


def test_the_smallest_of_many_is_that_of_each() -> None:
    model = Small()
    images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(4))
    many = adversaries(model, images, epsilon="smallest", seed=7)
    for i, one in enumerate(many):
        alone = zfcuda.adversarial(model, images[i], epsilon="smallest", seed=7 + i)
        torch.testing.assert_close(one.epsilon, alone.epsilon)
        torch.testing.assert_close(one.image, alone.image, rtol=0, atol=1e-5)


def test_what_withstands_everything_is_said_to() -> None:
    model = linear()
    with torch.no_grad():
        model.layer.bias.copy_(torch.tensor([1e4, 0.0]))
    made = zfcuda.adversarial(model, IMAGE, method="fgsm", epsilon="smallest", limits=(0.0, 1.0))
    assert not made.succeeded and made.label == made.original_label
    torch.testing.assert_close(made.epsilon, torch.ones_like(made.epsilon))  # type: ignore[arg-type]


def test_the_smallest_of_rounded_ones_is_whole() -> None:
    model = with_preprocess()
    made = zfcuda.adversarial(model, picture(1), method="fgsm", epsilon="smallest", rounded=True)
    assert made.epsilon is not None
    count = made.epsilon / pixel_values(model)
    torch.testing.assert_close(count, count.round())
    if count[0] > 1:
        less = pixel_values(model, float(count[0].round()) - 1)
        assert not zfcuda.adversarial(model, picture(1), method="fgsm", epsilon=less, rounded=True).succeeded
