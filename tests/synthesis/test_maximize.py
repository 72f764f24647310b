"""Maximisation from outside: what it makes, of which models, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from zfcuda.synthesis import total_variation, unit
from zfcuda.synthesis.maximize import maximized


def network() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    )
    model.preprocess = zfcuda.Preprocess(16, 16)  # type: ignore[assignment]
    model.classes = ["tabby", "tiger cat", "ship", "bus"]  # type: ignore[assignment]
    return model


LOW, HIGH = (zfcuda.Preprocess(16, 16).normalized(torch.full((1, 3, 1, 1), v, dtype=torch.uint8)) for v in (0, 255))


@pytest.mark.parametrize("parameterization", ["fourier", "pixels"])
@pytest.mark.parametrize("objective", ["0:2", "1:2@3,4", "1", "ship", 1, unit("4", 1) - 0.1 * total_variation()])
def test_it_makes_images_that_the_network_says_more_of(objective: Any, parameterization: str) -> None:
    made = maximized(network(), objective, count=2, steps=30, parameterization=parameterization)
    assert made.images.shape == (2, 3, 16, 16) and made.images.dtype == torch.float32
    assert made.reached is not None and (made.reached > made.values[0]).all()
    assert (made.images >= LOW - 1e-4).all() and (made.images <= HIGH + 1e-4).all()
    assert made.images.flatten(1).std(1).min() > 0.02


@pytest.mark.parametrize("parameterization", ["fourier", "pixels"])
def test_image_i_is_what_seed_plus_i_gives(parameterization: str) -> None:
    settings: dict[str, Any] = {"steps": 4, "parameterization": parameterization}
    together = zfcuda.maximize(network(), "tabby", count=3, seed=5, **settings)
    alone = torch.cat([zfcuda.maximize(network(), "tabby", seed=5 + i, **settings) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-3)
    assert torch.equal(together, zfcuda.maximize(network(), "tabby", count=3, seed=5, **settings))
    assert not torch.allclose(together[0], together[1], atol=1e-2)


def test_other_sizes_of_a_network_that_takes_them() -> None:
    assert zfcuda.maximize(network(), "0:1", size=24, steps=1).shape == (1, 3, 24, 24)
    assert zfcuda.maximize(network(), "0:1", size=(9, 20), steps=1).shape == (1, 3, 9, 20)
    lenet = zfcuda.models.load("lenet5")
    with pytest.raises(ValueError, match=r"\[1,1,40,40\] does not fit layer 'fc3'.*made for \[1,32,32\]"):
        zfcuda.maximize(lenet, "3", size=40, steps=1)
    assert zfcuda.maximize(lenet, "conv2:3", size=40, steps=1).shape == (1, 1, 40, 40)  # a head that does not fit


@pytest.mark.parametrize("inputs", [(1, 28), (3, 32), (4, 20)])
def test_small_networks_of_any_colours_that_do_not_say_what_they_are(inputs: tuple[int, int]) -> None:
    channels, side = inputs
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(channels, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * (side - 4) ** 2, 3))
    with pytest.raises(ValueError, match="size: expected one, since Sequential does not say"):
        zfcuda.maximize(model, 1, steps=1)
    made = maximized(model, 1, size=side, steps=20)
    assert made.images.shape == (1, channels, side, side) and made.reached is not None
    assert made.reached > made.values[0] and made.images.std() > 0.1


def test_in_inference_mode_wrapped_and_in_other_layouts() -> None:
    wanted = zfcuda.maximize(network(), "0:2", steps=3)
    with torch.inference_mode():
        torch.testing.assert_close(zfcuda.maximize(network(), "0:2", steps=3), wanted)
        made_there = network()
        torch.testing.assert_close(zfcuda.maximize(made_there, "0:2", steps=3), wanted)
    wrapped = nn.DataParallel(network())
    torch.testing.assert_close(zfcuda.maximize(wrapped, "module.0:2", steps=3), wanted)
    last = network().to(memory_format=torch.channels_last)
    torch.testing.assert_close(zfcuda.maximize(last, unit("0", 2), steps=3), wanted, atol=1e-4, rtol=1e-4)


def test_limits_hold_where_there_is_no_preprocess() -> None:
    model = network()
    del model.preprocess
    low, high = torch.tensor([0.0, -1.0, -2.0]), torch.tensor([1.0, 1.0, 0.0])
    for parameterization in ("fourier", "pixels"):
        settings: dict[str, Any] = {"size": 12, "steps": 20, "parameterization": parameterization}
        made = zfcuda.maximize(model, "0:2", limits=(low, high), **settings)
        assert (made >= low.view(3, 1, 1) - 1e-5).all() and (made <= high.view(3, 1, 1) + 1e-5).all()
        made = zfcuda.maximize(model, "0:2", limits=(0, 1), **settings)
        assert made.min() >= -1e-5 and made.max() <= 1 + 1e-5


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"objective": "9:1"}, ValueError, "objective: '9:1': at character 1: .* has no layer '9'"),
        ({"objective": "0:6"}, ValueError, "unit: layer '0' has units 0 to 5, got 6"),
        ({"objective": "catt"}, ValueError, "neither a layer nor a class"),
        ({"objective": 4}, ValueError, "the model has classes 0 to 3, got 4"),
        ({"objective": None}, TypeError, "objective: expected"),
        ({"count": 0}, ValueError, "count: expected at least 1, got 0"),
        ({"count": 1.5}, TypeError, "count: expected an integer"),
        ({"steps": -1}, ValueError, "steps: expected at least 1, got -1"),
        ({"seed": -1}, ValueError, "seed: expected at least 0"),
        ({"size": 0}, ValueError, "size: expected a side in pixels or"),
        ({"size": "large"}, ValueError, "size: expected a side in pixels or"),
        ({"size": (1, 2, 3)}, ValueError, "size: expected a side in pixels or"),
        (
            {"parameterization": "wavelet"},
            ValueError,
            "parameterization: expected 'fourier' or 'pixels', got",
        ),
        ({"limits": (1, 0)}, ValueError, "limits: expected"),
        ({"limits": (torch.zeros(2), torch.ones(2))}, ValueError, "limits: expected one or 3 numbers each, got 2"),
        ({"model": "conv"}, TypeError, "model: expected a torch.nn.Module, got str"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], kind: type[Exception], message: str) -> None:
    steps: list[Tensor] = []
    model = network()
    model[0].register_full_backward_hook(lambda module, grads, of: steps.append(of[0]))
    arguments: dict[str, Any] = {"model": model, "objective": "0:1", "steps": 1, **settings}
    with pytest.raises(kind, match=message):
        zfcuda.maximize(arguments.pop("model"), arguments.pop("objective"), **arguments)
    assert not steps
