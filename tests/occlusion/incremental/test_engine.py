"""The method and its reason, the activity of a layer, memory, precision and progress."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from tests.occlusion.incremental.definition import METHOD, brute_force, check, deviation, prepared, refused_or_exact
from tests.occlusion.incremental.networks import ByShape, Layered, Plain

# ---------------------------------------------------------------- layers

LAYERS = [
    "stem",
    "norm",
    "relu",
    "body",
    "body.0",
    "body.1",
    "body.2",
    "drop",
    "pool",
    "gate",
    "gate.0",
    "mix",
    "flat",
    "fc1",
    "fc2",
]


@pytest.mark.parametrize("layer", LAYERS)
def test_activity_of_a_layer(layered: nn.Module, image: Tensor, layer: str) -> None:
    result = check(layered, image, layer=layer)
    assert result.activity.shape == result.score.shape and result.activity.dtype == torch.float32
    whole = []
    handle = layered.get_submodule(layer).register_forward_hook(lambda _, __, output: whole.append(output.clone()))
    layered(image[None])
    handle.remove()
    totals = whole[-1].flatten(1) if whole[-1].dim() == 2 else whole[-1].sum((2, 3))
    assert result.unit == int(totals[0].argmax())
    other = int(totals[0].argmin())
    assert check(layered, image, layer=layer, unit=other).unit == other
    check(layered, image, layer=layer, method="batched")


def test_a_layer_of_a_model_that_is_followed_for_one_shape(image: Tensor) -> None:
    for layer in ("conv1", "norm", "conv2", "head"):
        refused_or_exact(prepared(ByShape().to(image.device), image), image, layer=layer)


# ---------------------------------------------------------------- method, reason, memory, precision


def test_method_and_reason(net: nn.Module, image: Tensor) -> None:
    asked = check(net, image)
    assert asked.method == METHOD
    assert check(net, image, method="batched").method == "batched"
    chosen = check(net, image, method="auto")
    assert chosen.method in ("incremental", "batched")
    for result in (asked, chosen):
        assert len(result.reason.split()) > 3


def test_the_reason_names_the_layer_from_which_on_all_is_run(layered: nn.Module, image: Tensor) -> None:
    assert "mul" in check(layered, image).reason  # by the gate
    model = nn.Sequential(
        OrderedDict(
            first=nn.Conv2d(3, 6, 3),
            blend=nn.GroupNorm(2, 6),
            last=nn.Conv2d(6, 4, 3),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
        )
    )
    reason = check(prepared(model.to(image.device), image), image).reason
    assert "blend" in reason and "GroupNorm" in reason, reason


@pytest.mark.parametrize("budget", ["least", 1_000_000])
@pytest.mark.parametrize("kind", [Plain, Layered, ByShape])
def test_little_memory_gives_the_same_numbers(kind: type[nn.Module], image: Tensor, budget: Any) -> None:
    model = prepared(kind().to(image.device), image)
    layer = "fc1" if kind is Layered else "conv2"
    check(model, image, stride=(3, 4), memory_budget=budget, together=16, layer=None if kind is ByShape else layer)


def test_runs_out_of_memory_and_goes_on(net: nn.Module, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that does not fit is halved, whatever was estimated."""
    real = F.linear

    def scarce(input: Tensor, *more: Any, **named: Any) -> Tensor:
        if type(input) is Tensor and len(input) > 5:  # no stand-in, which takes no memory
            raise torch.OutOfMemoryError("out of memory")
        return real(input, *more, **named)

    expected = brute_force(net, image, (6, 6), (3, 3), 0.0)[0]
    monkeypatch.setattr(F, "linear", scarce)
    result = zfcuda.occlusion_map(net, image, window=6, stride=3, method=METHOD)
    assert deviation(result.logits, expected) <= 1


def test_twice_the_same(net: nn.Module, image: Tensor) -> None:
    first, second = (zfcuda.occlusion_map(net, image, window=6, stride=4, method=METHOD) for _ in range(2))
    assert torch.equal(first.logits, second.logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision(layered: nn.Module, net: nn.Module, image: Tensor, dtype: torch.dtype) -> None:
    for model, layer in ((net, "conv2"), (layered, "body")):
        exact = check(model, image, layer=layer)
        rough = zfcuda.occlusion_map(model, image, window=6, stride=5, layer=layer, dtype=dtype, method=METHOD)
        assert rough.logits.dtype == torch.float32
        assert not torch.equal(rough.logits, exact.logits)
        assert (rough.logits - exact.logits).abs().max() < 0.05 * exact.logits.std()
        assert (rough.activity - exact.activity).abs().max() < 0.05 * exact.activity.abs().max()
        assert str(dtype).removeprefix("torch.") in rough.reason


def test_a_layer_that_runs_as_a_module_in_reduced_precision(image: Tensor) -> None:
    layers = nn.Conv2d(3, 6, 3), nn.ConvTranspose2d(6, 4, 2, 2), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(11136, 5)
    model = prepared(nn.Sequential(*layers).to(image.device), image)
    exact = check(model, image)
    rough = zfcuda.occlusion_map(model, image, window=6, stride=5, dtype=torch.bfloat16, method=METHOD)
    assert (rough.logits - exact.logits).abs().max() < 0.05 * exact.logits.std()


def test_a_model_of_reduced_precision(net: nn.Module, image: Tensor) -> None:
    exact = brute_force(net, image, (6, 6), (5, 5), 0.0)[0]
    result = zfcuda.occlusion_map(net.bfloat16(), image.bfloat16(), window=6, stride=5, method=METHOD)
    assert result.logits.dtype == torch.float32
    assert (result.logits - exact).abs().max() < 0.05 * exact.std()


def test_progress(net: nn.Module, image: Tensor, capfd: pytest.CaptureFixture[str]) -> None:
    zfcuda.occlusion_map(net, image, window=6, stride=5, method=METHOD)
    assert capfd.readouterr() == ("", "")
    zfcuda.occlusion_map(net, image, window=6, stride=5, method=METHOD, progress=True)
    assert "occlusion" in capfd.readouterr().err
