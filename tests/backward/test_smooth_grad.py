"""SmoothGrad: without noise the gradient; with noise its mean, whose size and spread are known for a square."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.backward.networks import resnet, trained

CPU = torch.device("cpu")


class Sines(nn.Module):
    """The mean gradient of a sine under Gaussian noise is known: cos(x) exp(-deviation^2 / 2)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sin().sum((1, 2, 3))


def test_without_noise_it_is_the_gradient() -> None:
    model, images = trained(resnet("shared"), CPU), torch.randn(2, 3, 40, 40)
    found = zfcuda.smooth_grad(model, images, noise=0, samples=7)
    torch.testing.assert_close(found, zfcuda.gradient(model, images))


def test_the_mean_of_a_sine() -> None:
    images = torch.rand(2, 3, 20, 20).double() * torch.tensor([1.0, 4.0]).view(2, 1, 1, 1)
    found = zfcuda.smooth_grad(Sines(), images, samples=200, noise=0.3)
    for mine, image in zip(found, images, strict=True):
        deviation = 0.3 * (image.max() - image.min())
        expected = image.cos() * (-(deviation**2) / 2).exp()
        slope = (mine * image.cos()).sum() / (image.cos() ** 2).sum()
        assert slope == pytest.approx(float((-(deviation**2) / 2).exp()), abs=0.02)
        assert (mine - expected).abs().mean() < 0.1


def test_against_captum_on_average() -> None:
    captum = pytest.importorskip("captum.attr")
    model, image = trained(resnet("modules"), CPU), torch.randn(1, 3, 40, 40)
    found = zfcuda.smooth_grad(model, image, target=1, samples=400, noise=0.1)
    deviation = 0.1 * float(image.max() - image.min())
    torch.manual_seed(0)
    tunnel = captum.NoiseTunnel(captum.Saliency(model))
    expected = tunnel.attribute(image, target=1, nt_samples=400, stdevs=deviation, abs=False)
    plain = zfcuda.gradient(model, image, target=1)
    near = torch.corrcoef(torch.stack([found.flatten(), expected.flatten(), plain.flatten()]))
    assert near[0, 1] > 0.9 and near[0, 1] > near[0, 2]
    assert float(found.norm() / expected.norm()) == pytest.approx(1, abs=0.05)


def test_the_seed() -> None:
    images = torch.randn(2, 3, 8, 8)
    ask = zfcuda.smooth_grad
    first = ask(Sines(), images, samples=2)
    torch.manual_seed(5)
    assert torch.equal(ask(Sines(), images, samples=2), first)
    assert torch.equal(ask(Sines(), images[1], samples=2)[0], first[1])
    others = [ask(Sines(), images, samples=2, seed=seed) for seed in (1, 2, -1)]
    assert all(not torch.equal(a, b) for i, a in enumerate([first, *others]) for b in others[i:])
    # No sample of one seed is one of another's: their difference is that of other noise in every value.
    assert min((a - first).abs().min() for a in others) > 0
    longer = ask(Sines(), images, samples=3)
    assert not torch.allclose(longer * 3 - first * 2, first)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"samples": 0}, ValueError, "samples: expected at least 1, got 0"),
        ({"samples": 1.5}, TypeError, "samples: expected an integer, got 1.5"),
        ({"noise": -0.1}, ValueError, "noise: expected at least 0, and finite, got -0.1"),
        ({"noise": float("nan")}, ValueError, "noise: expected at least 0, and finite, got nan"),
        ({"noise": "much"}, TypeError, "noise: expected a number, got 'much'"),
        ({"seed": None}, TypeError, "seed: expected an integer, got None"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        zfcuda.smooth_grad(Sines(), torch.zeros(3, 4, 4), **arguments)
