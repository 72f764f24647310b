"""What models do to the image first, and to the last maps in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.harness.random_networks import Code, normal
from tests.occlusion.incremental.definition import METHOD, brute_force, check, prepared, refused_or_exact
from tests.occlusion.incremental.networks import code

FEATURES = ("self.c(x).relu()", {"c": lambda: nn.Conv2d(3, 6, 3, 2, 1)})  # [N,6,13,16]
HEADS: dict[str, tuple[str, dict[str, Callable[[], Any]]]] = {
    "flatten": ("return self.f(y.flatten(1))", {"f": lambda: nn.Linear(1248, 5)}),
    "torch.flatten": ("return self.f(torch.flatten(y, 1))", {"f": lambda: nn.Linear(1248, 5)}),
    "nn.Flatten": ("return self.f(self.g(y))", {"g": nn.Flatten, "f": lambda: nn.Linear(1248, 5)}),
    "view": ("return self.f(y.view(y.size(0), -1))", {"f": lambda: nn.Linear(1248, 5)}),
    "view by numbers": ("return self.f(y.view(-1, 6 * 13 * 16))", {"f": lambda: nn.Linear(1248, 5, bias=False)}),
    "reshape": ("n, c, h, w = y.shape; return self.f(y.reshape(n, c * h * w))", {"f": lambda: nn.Linear(1248, 5)}),
    "channels behind": ("return self.f(y.permute(0, 2, 3, 1).flatten(1))", {"f": lambda: nn.Linear(1248, 5)}),
    "two": (
        "return self.g(F.dropout(self.f(y.flatten(1)).relu_(), 0.5, self.training))",
        {"f": lambda: nn.Linear(1248, 9), "g": lambda: nn.Linear(9, 5)},
    ),
    "norm in between": (
        "return self.g(self.n(self.f(y.flatten(1))))",
        {"f": lambda: nn.Linear(1248, 9), "n": lambda: nn.BatchNorm1d(9), "g": lambda: nn.Linear(9, 5)},
    ),
    "flatten parts": ("return self.f(y.flatten(2)).flatten(1)", {"f": lambda: nn.Linear(208, 2)}),
    "mean": ("return self.f(y.mean((2, 3)))", {"f": lambda: nn.Linear(6, 5)}),
    "mean twice": ("return self.f(y.mean(-1).mean(-1))", {"f": lambda: nn.Linear(6, 5)}),
    "mean kept": ("return self.f(y.mean([2, 3], keepdim=True).flatten(1))", {"f": lambda: nn.Linear(6, 5)}),
    "mean of flat": ("return self.f(y.flatten(2).mean(2))", {"f": lambda: nn.Linear(6, 5)}),
    "pool to one": (
        "return self.f(F.adaptive_avg_pool2d(y, 1).squeeze(-1).squeeze(-1))",
        {"f": lambda: nn.Linear(6, 5)},
    ),
    "pool by size": ("return self.f(F.avg_pool2d(y, y.size()[2:]).view(-1, 6))", {"f": lambda: nn.Linear(6, 5)}),
    "largest": ("return self.f(y.amax((2, 3)))", {"f": lambda: nn.Linear(6, 5)}),
    "largest pooled": ("return self.f(F.adaptive_max_pool2d(y, 1).flatten(1))", {"f": lambda: nn.Linear(6, 5)}),
    "generalised mean": ("return self.f(y.clamp(1e-3).pow(3).mean((2, 3)).pow(1 / 3))", {"f": lambda: nn.Linear(6, 5)}),
    "conv": ("return self.f(y).mean((2, 3))", {"f": lambda: nn.Conv2d(6, 5, 1)}),
    "conv over all": ("return self.f(y).flatten(1)", {"f": lambda: nn.Conv2d(6, 5, (13, 16))}),
    "softmax": ("return F.softmax(self.f(y.mean((2, 3))), 1)", {"f": lambda: nn.Linear(6, 5)}),
    "nn.Softmax": (
        "return self.s(self.f(y.flatten(1)))",
        {"f": lambda: nn.Linear(1248, 5), "s": lambda: nn.Softmax(1)},
    ),
    "log softmax": ("return self.f(y.flatten(1)).log_softmax(dim=-1)", {"f": lambda: nn.Linear(1248, 5)}),
    "sigmoid": ("return torch.sigmoid(self.f(y.flatten(1)))", {"f": lambda: nn.Linear(1248, 1)}),
    "one number": ("return self.f(y.flatten(1))[:, 0]", {"f": lambda: nn.Linear(1248, 1)}),
    "squeezed": ("return self.f(y.flatten(1)).squeeze(1)", {"f": lambda: nn.Linear(1248, 1)}),
    "features": ("return y.mean((2, 3))", {}),
    "cosine": ("return 9 * F.normalize(y.flatten(1)) @ F.normalize(self.w).t()", {"w": lambda: torch.ones(5, 1248)}),
    "two heads": (
        "return self.f(torch.cat([y.mean((2, 3)), y.amax((2, 3))], 1)) + self.g(y.flatten(1))",
        {"f": lambda: nn.Linear(12, 5), "g": lambda: nn.Linear(1248, 5)},
    ),
    "bilinear": (
        "v = y.flatten(2); return self.f((v @ v.transpose(1, 2)).flatten(1) / 99)",
        {"f": lambda: nn.Linear(36, 5)},
    ),
    "centre alone": ("return self.f(y[:, :, 6, 8])", {"f": lambda: nn.Linear(6, 5)}),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads(name: str, image: Tensor) -> None:
    text, parts = HEADS[name]
    model = Code(f"y = {FEATURES[0]}; {text}", **{key: part() for key, part in (FEATURES[1] | parts).items()})
    check(prepared(model.to(image.device), image), image)


FRONTS = {
    "normalised": "return (x - self.mean) / self.std",
    "normalised in one": "return torch.div(torch.sub(x, self.mean), self.std)",
    "rescaled": "return 2 * x - 1",
    "view": "return x.view(-1, 3, 26, 31)",
    "view of its shape": "return x.view(x.size(0), 3, x.size(2), x.size(3))",
    "swapped": "return x[:, [2, 1, 0]]",
    "swapped by hand": "r, g, b = x[:, 0:1], x[:, 1:2], x[:, 2:3]; return torch.cat([b, g, r], dim=1)",
    "cropped": "return x[:, :, 1:-1, 1:-1]",
    "cropped far": "return x[..., 8:20, 9:]",
    "squared": "return torch.cat([x[:, :2], x[:, 2:] ** 2], 1)",
    "not touched": "return x.contiguous().clone().detach()",
    "pooled": "return F.avg_pool2d(x, 2)",
}
# Those that leave nothing local, or that nobody writes.
STRANGE_FRONTS = {
    "reshape and back": "return x.reshape(x.size(0), -1).reshape(-1, 3, 26, 31)",
    "other shape": "return x.reshape(-1, 3, 31, 26)",
    "swapped by flip": "return x.flip(1)",
    "swapped and stacked": "return torch.stack([x[:, 2], x[:, 1], x[:, 0]], 1)",
    "grey": "return (x[:, 0] * 0.3 + x[:, 1] * 0.6 + x[:, 2] * 0.1).unsqueeze(1).repeat(1, 3, 1, 1)",
    "grey by mean": "return x.mean(1, keepdim=True).expand(-1, 3, -1, -1)",
    "on its device": "return x.to(self.mean.device).to(self.mean.dtype)",
    "resized": "return F.interpolate(x, size=(30, 30), mode='bilinear', align_corners=False)",
    "padded": "return F.pad(x, (2, 2, 2, 2), mode='reflect')",
    "padded with zeros": "return F.pad(x, (1, 2, 0, 3))",
    "its own mean": "return x - x.mean((1, 2, 3), keepdim=True)",
    "transposed": "return x.transpose(2, 3)",
    "every other row": "return x[:, :, ::2]",
    "reflected convolution": "return F.conv2d(F.pad(x, (1, 1, 1, 1), mode='circular'), self.mean.expand(3, 3, 1, 1))",
}


def behind(front: str, image: Tensor) -> nn.Module:
    model = nn.Sequential(
        Code(front, mean=torch.ones(3, 1, 1), std=torch.ones(1, 3, 1, 1)),
        nn.Conv2d(3, 6, 3, 2, 1),
        nn.ReLU(True),
        nn.Conv2d(6, 5, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    prepared(model.to(image.device), image)
    model[0].mean.copy_(torch.tensor([0.4, -0.2, 0.3]).view(3, 1, 1))
    model[0].std.copy_(torch.tensor([0.2, 0.5, 0.3]).view(1, 3, 1, 1))
    return model


@pytest.mark.parametrize("name", FRONTS)
def test_what_models_do_to_the_picture_first(name: str, image: Tensor) -> None:
    check(behind(FRONTS[name], image), image)


@pytest.mark.parametrize("name", STRANGE_FRONTS)
def test_what_few_models_do_to_the_picture_first(name: str, image: Tensor) -> None:
    refused_or_exact(behind(STRANGE_FRONTS[name], image), image)


DEGENERATE: dict[str, Callable[[], nn.Module]] = {
    "linear alone": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 26 * 31, 5)),
    "sum": code("return x.sum((1, 2, 3), keepdim=False)"),
    "mean alone": code("return x.mean((2, 3))"),
    "largest pixel": code("return x.amax((2, 3))"),
    "the picture itself": code("return x.flatten(1)"),
    "constant": code("return self.b.expand(x.size(0), -1)", b=lambda: nn.Parameter(torch.ones(1, 4))),
    "one conv over all": lambda: nn.Sequential(nn.Conv2d(3, 4, (26, 31)), nn.Flatten()),
    "recurrent": code("return self.r(x.mean(1))[0][:, -1]", r=lambda: nn.GRU(31, 4, batch_first=True)),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_networks_that_hardly_are_convolutional(name: str, image: Tensor) -> None:
    refused_or_exact(prepared(DEGENERATE[name]().to(image.device), image), image)


def test_a_picture_of_one_channel(device: torch.device) -> None:
    # With the strides of channels_last, torch 2.13 on a CPU reads beyond such a picture here.
    image = normal((1, 19, 11), 1).to(device)
    model = nn.Sequential(nn.Conv2d(1, 6, 11, (1, 3), bias=False), nn.Tanh(), nn.Flatten(), nn.Softmax(1))
    check(prepared(model.to(device), image), image, window=(1, 4), stride=(2, 4), layer="0")


def test_what_is_not_finite_is_not_hidden(image: Tensor) -> None:
    text = "x = self.c(x).relu(); return self.f((1 / x.amax(1)).mean((1, 2), keepdim=False)[:, None])"
    model = Code(text, c=nn.Conv2d(3, 4, 1), f=nn.Linear(1, 3)).to(image.device).eval()
    image = image.abs() + 0.1
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.1)
        model.c.bias.zero_()
    expected = brute_force(model, image, (6, 6), (5, 5), 0.0)[0]
    assert not expected.isfinite().any()
    try:
        result = zfcuda.occlusion_map(model, image, window=6, stride=5, method=METHOD)
    except ValueError as error:
        assert "model" in str(error) or "fill" in str(error)
    else:
        assert not result.logits.isfinite().any()
    check(model, image, fill=0.5)
