"""Each rule with the settings of the gradient against torch.autograd, and what the settings mean at a ReLU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.backward.rules import LRN, RELU, Rules
from zfcuda.backward.walk import walk_back
from zfcuda.network.kinds import lrn_within

EXACT = Rules("gradient", "exact")


class Call(nn.Module):
    """One function, after a convolution, which makes values of both signs."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.function = nn.Conv2d(3, 6, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.first(x))


def batch_norm(affine: bool) -> nn.Module:
    norm = nn.BatchNorm2d(6, affine=affine)
    assert norm.running_mean is not None and norm.running_var is not None
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norm


LAYERS: dict[str, Any] = {
    "conv": lambda: nn.Conv2d(6, 4, (3, 2), (2, 1), (1, 3), (1, 2), groups=2),
    "conv same": lambda: nn.Conv2d(6, 4, 4, padding="same", dilation=2),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(6 * 9 * 11, 5)),
    "linear on rows": lambda: nn.Linear(11, 5),
    "batch norm": lambda: batch_norm(True),
    "batch norm without weights": lambda: batch_norm(False),
    "relu": lambda: nn.ReLU(),
    "relu in place": lambda: nn.ReLU(inplace=True),
    "relu function": lambda: torch.relu,
    "relu function in place": lambda: lambda x: F.relu_(x),
    "relu of zero": lambda: lambda x: F.relu(F.relu(x)),
    "max pool": lambda: nn.MaxPool2d(2),
    "max pool overlapping": lambda: nn.MaxPool2d((3, 2), (2, 1), 1),
    "max pool ceil": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "avg pool": lambda: nn.AvgPool2d((2, 3), (2, 1), 1, ceil_mode=True),
    "avg pool without padding": lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "avg pool divisor": lambda: nn.AvgPool2d(3, 2, 1, divisor_override=5),
    "adaptive avg pool": lambda: nn.AdaptiveAvgPool2d((2, 5)),
    "mean": lambda: lambda x: x.mean((2, 3)),
    "mean of channels": lambda: lambda x: x.mean(1, keepdim=True),
    "dropout": lambda: nn.Dropout(),
    "flatten": lambda: nn.Flatten(),
    "cat": lambda: lambda x: torch.cat([x, F.relu(x), x], 1),
    "add": lambda: lambda x: x + F.relu(x) + x,
    "add repeated": lambda: lambda x: x + x.mean((2, 3), keepdim=True),
    **{
        f"lrn {size} {alpha} {beta} {k}": lambda args=(size, alpha, beta, k): nn.LocalResponseNorm(*args)
        for size, alpha, beta, k in [(5, 1e-4, 0.75, 2.0), (4, 0.7, 0.6, 1.0), (1, 1.0, 0.5, 0.3), (9, 2.0, 1.3, 1.0)]
    },
    **{
        f"lrn within {args}": lambda args=args: lambda x: lrn_within(x, *args)
        for args in [(3, 1e-4, 0.75), (5, 3.0, 0.6), (1, 1.0, 1.0)]
    },
}


def gradients(model: nn.Module, image: Tensor, seeds: Tensor) -> Tensor:
    """By torch.autograd: [n,C,H,W] from seeds [n,*output.shape[1:]]."""
    image = image.clone().requires_grad_()
    output = model(image)
    return torch.cat([torch.autograd.grad(output, image, seed[None], retain_graph=True)[0] for seed in seeds])


def assert_exact(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.abs().max() > 0
    assert (ours - theirs).abs().max() <= 1e-10 * theirs.abs().max()


@pytest.mark.parametrize("name", LAYERS)
def test_every_rule_is_the_gradient(name: str, device: torch.device) -> None:
    torch.manual_seed(0)
    model = Call(LAYERS[name]()).to(device, torch.float64).eval()
    image = 3 * torch.randn(1, 3, 11, 13, dtype=torch.float64, device=device)
    with torch.no_grad():
        seeds = torch.randn(4, *model(image).shape[1:], dtype=torch.float64, device=device)
    assert_exact(walk_back(model, image, "", lambda _: seeds, EXACT), gradients(model, image, seeds))


def test_max_pooling_of_equals_is_the_gradient(device: torch.device) -> None:
    torch.manual_seed(0)
    model = Call(nn.MaxPool2d(3, 2, 1, ceil_mode=True)).to(device, torch.float64).eval()
    with torch.no_grad():
        model.first.weight.sign_()
        nn.init.zeros_(model.first.bias)  # type: ignore[arg-type]
    image = torch.randint(0, 2, (1, 3, 12, 13), device=device).double()  # so that many windows hold their maximum twice
    seeds = torch.randn(2, *model(image).shape[1:], dtype=torch.float64, device=device)
    assert_exact(walk_back(model, image, "", lambda _: seeds, EXACT), gradients(model, image, seeds))


def test_lrn_is_exact_in_inference_mode_and_close_in_half_precision(device: torch.device) -> None:
    torch.manual_seed(0)
    model = Call(nn.LocalResponseNorm(5, 0.5, 0.75, 1.0)).to(device).eval()
    image = torch.randn(1, 3, 11, 13, device=device)
    seeds = torch.randn(2, 6, 9, 11, device=device)
    expected = gradients(model, image, seeds)
    with torch.inference_mode():
        torch.testing.assert_close(walk_back(model, image, "", lambda _: seeds, EXACT), expected, rtol=1e-4, atol=1e-4)
    rough = walk_back(copy.deepcopy(model).bfloat16(), image.bfloat16(), "", lambda _: seeds.bfloat16(), EXACT)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), expected, rtol=0.05, atol=0.05 * float(expected.abs().max()))


def test_what_a_relu_lets_through() -> None:
    # Activation 2, 1, -1, 0, 0; the signal has both signs.
    activation = torch.tensor([2.0, 1, -1, 0, 0]).view(1, 1, 1, 5)
    signal = torch.tensor([3.0, -4, 5, 6, -7]).view(1, 1, 1, 5)
    expected = {"deconvnet": [3, 0, 5, 6, 0], "gradient": [3, -4, 0, 0, 0], "guided": [3, 0, 0, 0, 0]}
    assert set(expected) == set(RELU)
    for relu, through in expected.items():
        output = walk_back(nn.ReLU(), activation, "", lambda _: signal, Rules(relu))
        assert output.flatten().tolist() == through


def test_settings_are_checked() -> None:
    assert Rules() == Rules("deconvnet", "identity") and LRN[0] == "identity"
    with pytest.raises(ValueError, match="relu: expected one of 'deconvnet', 'gradient', 'guided', got 'saliency'"):
        Rules("saliency")
    with pytest.raises(ValueError, match="lrn: expected one of 'identity', 'divide', 'exact', got 'skip'"):
        Rules(lrn="skip")
