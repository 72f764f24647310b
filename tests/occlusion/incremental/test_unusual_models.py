"""Models that are not followed simply, and hooks."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

import zfcuda
from tests.harness.random_networks import Code, normal
from tests.occlusion.incremental.definition import (
    METHOD,
    brute_force,
    check,
    deviation,
    occluded,
    prepared,
    refused_or_exact,
)
from tests.occlusion.incremental.networks import ByShape, Plain

# ---------------------------------------------------------------- models that are not followed simply


class ByBatch(ByShape):
    """Knows how many pictures there are."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == 1:
            return super().forward(x).view(1, -1)
        return super().forward(x).view(len(x), -1)


class ByValue(Plain):
    limit = 0.0

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1:  # one at a time, as anyone who branches on values has to
            return torch.cat([self(picture) for picture in x.split(1)])
        return super().forward(x) if x.mean() > self.limit else -super().forward(x)


class ThroughNumpy(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.from_numpy(x.detach().cpu().numpy() * 2).to(x.device))


def test_a_model_that_branches_on_shapes(image: Tensor) -> None:
    model = prepared(ByShape().to(image.device), image)
    result = check(model, image)
    assert "shape" in result.reason or "export" in result.reason
    check(model, image, memory_budget="least")
    with torch.no_grad():
        model.conv2.weight.mul_(-1.5)
        model.norm.running_mean.add_(0.3)
    check(model, image)
    wide = torch.cat([image, image], 2)  # another shape, another trace
    check(model, wide)
    small = normal((3, 14, 13), 7).to(image.device)  # not pooled
    check(model, small)
    refused_or_exact(prepared(ByBatch().to(image.device), image), image)


class MovedByShape(nn.Module):
    """TensorFlow's padding and other ways to move values, behind a branch on shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, 2), nn.Conv2d(6, 8, 3, padding=1, padding_mode="reflect")
        self.norm, self.fc = nn.BatchNorm2d(6), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        high, wide = (max((-(-side // 2) - 1) * 2 + 3 - side, 0) for side in x.shape[-2:])
        x = F.pad(x, [wide // 2, wide - wide // 2, high // 2, high - high // 2])
        x = torch.relu(self.norm(self.conv1(x)))
        x = F.pad(F.interpolate(x, scale_factor=2)[:, :, 1:-1, ::2], (1, 0), value=0.5).flip(3)
        return self.fc(torch.roll(self.conv2(x), 1, 2).mean((2, 3)))


def test_a_model_that_branches_on_shapes_and_moves_values(image: Tensor) -> None:
    result = check(prepared(MovedByShape().to(image.device), image), image)
    assert "export" in result.reason and "in full" not in result.reason


@pytest.mark.parametrize("kind", [ByValue, ThroughNumpy])
def test_a_model_that_cannot_be_followed(kind: type[nn.Module], image: Tensor) -> None:
    model = prepared(kind().to(image.device), image)
    model.limit = float(occluded(image, (6, 6), (5, 5), 0.0)[0].mean((1, 2, 3)).median())  # half of the windows
    with pytest.raises(RuntimeError, match=r"method: 'incremental'"):
        zfcuda.occlusion_map(model, image, window=6, stride=5, method="incremental")
    result = check(model, image, method="auto")
    assert result.method == "batched"
    assert any(word in result.reason for word in ("trace", "record", "follow", "reads numbers")), result.reason
    assert check(model, image, method="batched").method == "batched"


def test_a_scripted_model(net: nn.Module, image: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.trace(net, image[None])
    refused_or_exact(scripted, image)


def test_a_write_through_a_view(image: Tensor) -> None:
    text = "y = self.c(x); y[:, :2].relu_(); a, b = y.chunk(2, 1); a += b; return self.f(y.mean((2, 3)))"
    refused_or_exact(prepared(Code(text, c=nn.Conv2d(3, 4, 3), f=nn.Linear(4, 3)).to(image.device), image), image)


def test_reduced_precision_within_the_model(image: Tensor) -> None:
    class Mixed(Plain):
        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast(x.device.type, torch.bfloat16):
                return super().forward(x).float()

    model = prepared(Mixed().to(image.device), image)
    expected = brute_force(model, image, (6, 6), (5, 5), 0.0)[0]
    for method in ("auto", METHOD):
        try:
            result = zfcuda.occlusion_map(model, image, window=6, stride=5, method=method)
        except RuntimeError as error:
            assert method != "auto" and "incremental" in str(error)
        else:
            # It rounds as the model does: brute force differs from one batch size to the next by as much.
            assert (result.logits - expected).abs().max() < 0.1 * expected.std()


def test_compiled_models(net: nn.Module, image: Tensor) -> None:
    expected = brute_force(net, image, (6, 6), (5, 5), 0.0)[0]

    def compare(model: nn.Module, **more: Any) -> None:
        result = zfcuda.occlusion_map(model, image, window=6, stride=5, method=METHOD, **more)
        assert result.method == METHOD and deviation(result.logits, expected) <= 1

    compare(torch.compile(net, backend="eager"))
    compare(torch.compile(net, backend="eager"), layer="conv2")
    inner = copy.deepcopy(net)
    inner.conv2 = torch.compile(inner.conv2, backend="eager")
    compare(inner)
    in_place = copy.deepcopy(net)
    in_place.compile(backend="eager")
    compare(in_place)
    torch._dynamo.reset()


def test_a_forward_that_was_replaced(net: nn.Module, image: Tensor) -> None:
    original = net.conv2.forward
    net.conv2.forward = lambda x: 2 * original(x)
    refused_or_exact(net, image)


def test_a_module_that_derives_from_a_convolution(image: Tensor) -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return F.conv2d(x, weight / weight.std(), self.bias, self.stride, self.padding)

    model = nn.Sequential(
        Standardised(3, 6, 3), nn.ReLU(), Standardised(6, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    check(prepared(model.to(image.device), image), image)


def test_statistics_of_the_batch_do_not_leak(image: Tensor) -> None:
    """Batch norm without running statistics takes those of its input: of one picture, whatever is run beside it."""
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.BatchNorm2d(6, track_running_stats=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    prepared(model.to(image.device), image)
    for method in ("auto", "batched", METHOD):
        try:
            check(model, image, method=method)
        except RuntimeError as error:
            assert method == "incremental" and "incremental" in str(error)
        except ValueError as error:
            assert "model" in str(error)


# ---------------------------------------------------------------- hooks


def halve(_: nn.Module, __: Any, output: Tensor) -> None:
    output.mul_(0.5)


def clip_above(limit: float) -> Callable[..., Tensor]:
    return lambda _, __, output: output.clamp(max=limit)


HOOKS: dict[str, Callable[[nn.Module], Any]] = {
    "output of a filter": lambda net: net.conv2.register_forward_hook(lambda _, __, output: output * 1.5 + 0.2),
    "output in place": lambda net: net.conv1.register_forward_hook(halve),
    "input of a filter": lambda net: net.conv2.register_forward_pre_hook(lambda _, inputs: (inputs[0] + 1,)),
    "output of the model": lambda net: net.register_forward_hook(lambda _, __, output: output - 3),
    "input of the model": lambda net: net.register_forward_pre_hook(lambda _, inputs: (inputs[0].flip(3),)),
    "every module": lambda net: register_module_forward_hook(
        lambda module, _, output: output + 0.3 if isinstance(module, nn.Conv2d) else None
    ),
    # Leaves the whole picture's answer as it is, and changes what the windows do.
    "only some pictures": lambda net: net.conv1.register_forward_hook(clip_above(1e3)),
    "only some places": lambda net: net.conv1.register_forward_hook(clip_above(5.0)),
}


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_that_change_values(net: nn.Module, image: Tensor, name: str) -> None:
    fill = 1e4 if name == "only some pictures" else 0.0
    plain = brute_force(net, image, (6, 6), (5, 5), fill)[0]
    handle = HOOKS[name](net)
    try:
        hooked = brute_force(net, image, (6, 6), (5, 5), fill)[0]
        if name != "only some places":
            assert (plain - hooked).abs().max() > 0.01
        refused_or_exact(net, image, fill=fill)
    finally:
        handle.remove()
    check(net, image, fill=fill)  # and without the hook again


def test_hooks_that_only_look(net: nn.Module, image: Tensor) -> None:
    seen: list[Any] = []
    handle = net.conv2.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape)))
    refused_or_exact(net, image)
    assert list(net.conv2._forward_hooks) == [handle.id]
    handle.remove()


def test_hooks_that_renew_the_weights(image: Tensor) -> None:
    """The weight norm of old computes the weight in a hook before each call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        conv = nn.utils.weight_norm(nn.Conv2d(3, 6, 3))
    model = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).to(image.device).eval()
    refused_or_exact(model, image)
    with torch.no_grad():
        conv.weight_g.mul_(3)
    refused_or_exact(model, image)
