"""Rectifiers with other ends than a ReLU's: the gradient is autograd's, and what the other methods do is worked out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tests.backward.test_linear import after_a_convolution, code
from tests.backward.test_rules import EXACT, assert_exact, gradients
from tests.harness.random_networks import Code
from zfcuda.backward import UnprojectableError
from zfcuda.backward.rules import Rules
from zfcuda.backward.walk import walk_back
from zfcuda.network import export
from zfcuda.network.intact import restoring

TEXTS = [
    "F.relu6(3 * x)",
    "F.hardtanh(x, -0.3, 1.2, True)",
    "x.clamp(-0.2, 1)",
    "(x * 1).clamp_(min=0)",
    "torch.clamp(x, max=0.5)",
    "x.clamp_min(0.1)",
    "torch.clip(x, 0, 1)",
    "F.relu(x).clamp(0, 1).clamp(0, 1)",  # at its ends
    "F.relu6(F.relu6(9 * x))",
    "F.leaky_relu(x, 0.1)",
    "F.prelu(x, self.c.flatten())",
]


@pytest.mark.parametrize("step", [*TEXTS, nn.ReLU6(True), nn.Hardtanh(), nn.LeakyReLU(0.3), nn.PReLU(), nn.PReLU(6)])
def test_the_gradient_is_that_of_autograd(step: str | nn.Module, device: torch.device) -> None:
    model, image = after_a_convolution(code(f"return {step}") if isinstance(step, str) else step, device)
    with torch.no_grad():
        seeds = torch.randn(2, *model(image).shape[1:], dtype=torch.float64, device=device)
    assert_exact(walk_back(model, image, "", lambda _: seeds, EXACT), gradients(model, image, seeds))


def test_rectifiers_as_torch_export_keeps_them() -> None:
    text = (
        "x = F.relu6(F.leaky_relu(x, 0.2) * 4, True); return F.hardtanh(F.prelu(x.clamp(0.2, 5) - 1, self.c.flatten()))"
    )
    model, image = after_a_convolution(code(text), torch.device("cpu"))
    with torch.no_grad(), restoring(model):
        network = export.network(model, image)
    seeds = torch.randn(2, 594, dtype=torch.float64)
    assert_exact(walk_back(network, image, "", lambda _: seeds, EXACT), gradients(model, image, seeds))


ACTIVATION = [-2.0, 0, 1, 5, 6, 9]
SIGNALS = ([3.0] * 6, [-3.0] * 6)
RELU6 = {  # what comes back of each signal
    "deconvnet": ([3.0] * 6, [0.0] * 6),
    "gradient": ([0.0, 0, 3, 3, 0, 0], [0.0, 0, -3, -3, 0, 0]),
    "guided": ([0.0, 0, 3, 3, 0, 0], [0.0] * 6),
}
CLAMP = {  # at its ends themselves torch's gradient is one; an activation of zero is none
    "deconvnet": ([3.0] * 6, [0.0] * 6),
    "gradient": ([0.0, 3, 3, 3, 3, 0], [0.0, -3, -3, -3, -3, 0]),
    "guided": ([0.0, 0, 3, 3, 3, 0], [0.0] * 6),
}
ONLY_ABOVE = {
    "deconvnet": ([3.0] * 6, [-3.0] * 6),
    "gradient": ([3.0, 3, 3, 3, 3, 0], [-3.0, -3, -3, -3, -3, 0]),
    "guided": ([3.0, 3, 3, 3, 3, 0], [-3.0, -3, -3, -3, -3, 0]),
}


@pytest.mark.parametrize("method", RELU6)
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.ReLU6(), RELU6),
        (Code("return F.relu6(x)"), RELU6),
        (nn.Hardtanh(0, 6), RELU6),
        (Code("return x.clamp(0, 6)"), CLAMP),
        (Code("return torch.clamp(x, min=0).clamp_max(6.0)"), CLAMP),
        (Code("return x.clamp(max=6)"), ONLY_ABOVE),
    ],
)
def test_the_upper_end_saturates(model: nn.Module, expected: dict[str, tuple[list[float], ...]], method: str) -> None:
    activation = torch.tensor(ACTIVATION).view(1, 1, 1, 6)
    seeds = torch.tensor(SIGNALS).view(2, 1, 1, 6)
    found = walk_back(model.eval(), activation, "", lambda _: seeds, Rules(method, "exact"))
    assert torch.equal(found, torch.tensor(expected[method]).view(2, 1, 1, 6))


def test_without_an_end_a_clamp_is_a_relu() -> None:
    """ReLU6 of what never reaches 6 is a ReLU, under every method's rules."""
    torch.manual_seed(0)
    first, last = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3)
    image = torch.rand(3, 12, 12)
    seeds = torch.randn(2, 4, 8, 8)

    def through(act: nn.Module, method: str) -> Tensor:
        return walk_back(nn.Sequential(first, act, last), image, "", lambda _: seeds, Rules(method, "exact"))

    for method in RELU6:
        expected = through(nn.ReLU(), method)
        assert expected.any() and torch.equal(through(nn.ReLU6(), method), expected)
        assert torch.equal(through(Code("return x.clamp(min=0, max=1e9)"), method), expected)


@pytest.mark.parametrize("method", ["deconvnet", "guided"])
@pytest.mark.parametrize("step", [nn.LeakyReLU(), nn.PReLU(), nn.Hardtanh(), Code("return x.clamp(-1, 1)")])
def test_what_lets_negative_values_through_has_no_rectification(step: nn.Module, method: str) -> None:
    model = nn.Sequential(step, nn.Conv2d(1, 1, 1)).eval()
    name = {"deconvnet": "the deconvnet", "guided": "guided backpropagation"}[method]
    with pytest.raises(UnprojectableError, match=f"it lets negative values through, for which {name} has no rule"):
        walk_back(model, torch.ones(1, 1, 4, 4), "1", torch.ones_like, Rules(method, "exact"))
    assert math.isfinite(float(walk_back(model, torch.ones(1, 1, 4, 4), "1", lambda a: a[None], EXACT).sum()))
