"""The incremental occlusion map against a plain loop over occluded copies: on random networks, and ability by ability.

ZFCUDA_EXAMPLES=2000 makes a long run of the random ones.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import zfcuda
from tests.harness.random_networks import Case, Code, calibrate, cases, normal, randomise
from zfcuda.models import load_demo, zfnet

METHOD = "incremental"  # what is judged; "batched" judges the tests
EXAMPLES = int(os.environ.get("ZFCUDA_EXAMPLES", "0"))  # 0: the same few at each run
SIZE = (3, 26, 31)  # of the picture, where nothing depends on it


@pytest.fixture(autouse=True)
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """TF32 differs from one batch size to the next by more than is allowed here."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


# ---------------------------------------------------------------- the definition


def places(length: int, window: int, stride: int) -> list[int]:
    """Another window follows while the last one does not reach the border, and as long as it starts inside."""
    found = [0]
    while found[-1] + window < length and found[-1] + stride < length:
        found.append(found[-1] + stride)
    return found


def occluded(image: Tensor, window: tuple[int, int], stride: tuple[int, int], fill: Any) -> tuple[Tensor, int]:
    """[C,H,W] -> one copy per window [n,C,H,W], row by row; how many make a row."""
    paint = torch.tensor(fill)[:, None, None] if isinstance(fill, list) else torch.as_tensor(fill)
    paint = paint.to(image).expand(1, *image.shape)[0]
    rows, columns = (places(image.shape[1 + i], window[i], stride[i]) for i in (0, 1))
    copies = []
    for y in rows:
        for x in columns:
            copies.append(image.detach().clone())
            there = (..., slice(y, y + window[0]), slice(x, x + window[1]))
            copies[-1][there] = paint[there]
    return torch.stack(copies), len(columns)


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    was_training = [module for module in model.modules() if module.training]
    for module in model.modules():
        module.training = False
    yield
    for module in was_training:
        module.training = True


def brute_force(
    model: nn.Module,
    image: Tensor,
    window: tuple[int, int],
    stride: tuple[int, int],
    fill: Any,
    layer: str | None = None,
    together: int = 1,
) -> tuple[Tensor, Tensor | None, float]:
    """logits [rows,cols,classes], in the model's own precision; the total activation of each unit of the layer
    [rows,cols,units], and the largest sum of magnitudes behind one of them, the whole picture included.
    """
    if image.dim() == 4:
        image = image[0]
    copies, columns = occluded(image, window, stride, fill)
    logits, totals, largest = [], [], 0.0

    def keep(_: nn.Module, __: Any, output: Tensor) -> None:
        nonlocal largest
        values = output.double().flatten(2) if output.dim() > 2 else output.double()[:, :, None]
        calls[:] = [values.sum(2)]  # of the last call
        largest = max(largest, float(values.abs().sum(2).max()))

    handle = model.get_submodule(layer).register_forward_hook(keep) if layer else None
    with torch.no_grad(), in_eval_mode(model):
        calls: list[Tensor] = []
        model(image.detach()[None].clone())
        for batch in copies.split(together):
            calls = []
            output = model(batch.clone())
            logits.append(output[:, None] if output.dim() == 1 else output)
            totals += calls
    if handle is not None:
        handle.remove()
    activity = torch.cat(totals).unflatten(0, (-1, columns)) if layer else None
    return torch.cat(logits).unflatten(0, (-1, columns)), activity, largest


def deviation(logits: Tensor, expected: Tensor, base: Tensor | None = None) -> Tensor:
    """In units of what is allowed; from 1 on it is too much. base: of the whole picture, which is an answer too."""
    assert logits.shape == expected.shape and logits.dtype == torch.float32
    spread, largest = expected.double().std(unbiased=False), expected.double().abs().max()
    if base is not None:
        largest = largest.maximum(base.double().abs().max())
    allowed = 1e-4 * spread + 1e-5 * largest
    if expected.dtype == torch.float64:  # what remains is the rounding of the answer to float32
        allowed = 1e-9 * spread + 1e-10 * largest + 2**-24 * expected.abs()
    difference = (logits.double() - expected.double()).abs()
    return torch.where(difference == 0, 0.0, difference / allowed).max()


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def check(
    model: nn.Module,
    image: Tensor,
    *,
    window: Any = 6,
    stride: Any = 5,
    fill: Any = 0.0,
    together: int = 1,
    **more: Any,
) -> zfcuda.OcclusionMap:
    """The map, after comparing it with brute force."""
    more = {"method": METHOD, **more}
    how = (pair(window), pair(stride), fill)
    expected, activity, largest = brute_force(model, image, *how, layer=more.get("layer"), together=together)
    result = zfcuda.occlusion_map(model, image, window=window, stride=stride, fill=fill, **more)
    if more["method"] != "auto":
        assert result.method == more["method"], result.reason
    assert isinstance(result.reason, str) and result.reason
    error = deviation(result.logits, expected, result.base_logits)
    if not error <= 1 and expected.dtype == torch.float32:
        # A network may magnify rounding itself: no method can be closer than brute force is to the truth.
        fine = copy.deepcopy(model).double()
        precise = brute_force(fine, image.double(), *how, together=together)[0]
        error /= 1 + 4 * deviation(expected, precise.float())
    assert error <= 1, f"{error:.3g} times what is allowed; {result.reason}"
    if activity is not None and result.activity is not None:
        rounding = 1e-5 if expected.dtype == torch.float32 else 3e-7
        allowed = rounding * (largest + 10 * activity.std(unbiased=False))
        difference = (result.activity - activity[..., result.unit]).abs().max()
        wrong = difference / allowed if difference else difference
        assert wrong <= 1, f"activity of {more['layer']!r}: {wrong:.3g} times what is allowed; {result.reason}"
    return result


def refused_or_exact(model: nn.Module, image: Tensor, **arguments: Any) -> zfcuda.OcclusionMap:
    """Where "incremental" need not be possible: it says so, and "auto" is exact all the same. Returns auto's map."""
    try:
        check(model, image, **arguments)
    except RuntimeError as error:
        assert "incremental" in str(error)
    return check(model, image, **arguments, method="auto")


def prepared(model: nn.Module, image: Tensor, seed: int = 0) -> nn.Module:
    calibrate(randomise(model, seed), image)
    return model


# ---------------------------------------------------------------- random networks

RANDOM = {
    "deadline": None,
    "derandomize": EXAMPLES == 0,
    # The fixtures are the same for all examples, and large networks are what is wanted.
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
}


def examine(case: Case, device: torch.device, **more: Any) -> zfcuda.OcclusionMap:
    model, image = case.model.to(device), case.image.to(device)
    fill = case.fill.to(device) if isinstance(case.fill, Tensor) else case.fill
    how = {"window": case.window, "stride": case.stride, "fill": fill, "layer": case.layer}
    return check(model, image, **how, together=32, **more)


@settings(max_examples=EXAMPLES or 60, **RANDOM)
@given(case=cases(), budget=st.sampled_from([None, None, None, 1, 40_000]))
def test_random_networks(device: torch.device, case: Case, budget: int | None) -> None:
    examine(case, device, memory_budget=budget)


@settings(max_examples=max(20, EXAMPLES // 3), **RANDOM)
@given(case=cases(foreign=True))
def test_random_networks_with_steps_that_are_not_local(device: torch.device, case: Case) -> None:
    examine(case, device)


@settings(max_examples=max(10, EXAMPLES // 6), **RANDOM)
@given(case=cases())
def test_random_networks_by_the_method_that_is_chosen(device: torch.device, case: Case) -> None:
    examine(case, device, method="auto")


# ---------------------------------------------------------------- windows and fills


class Plain(nn.Module):
    """Every common step once."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(3, 6, 5, stride=2, padding=1), nn.BatchNorm2d(6)
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.drop, self.head = nn.Conv2d(6, 8, 3, padding=1), nn.Dropout(), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.norm(self.conv1(x))))
        return self.head(self.drop(F.relu(self.conv2(x)).mean((2, 3))))


@pytest.fixture
def image(device: torch.device) -> Tensor:
    return normal(SIZE, 1).to(device)


@pytest.fixture
def net(image: Tensor) -> nn.Module:
    return prepared(Plain().to(image.device), image)


@pytest.mark.parametrize("window", [(1, 1), (4, 9), (8, 8), (1, 31), (26, 1), (25, 30), (26, 31)], ids=str)
@pytest.mark.parametrize("stride", [(3, 3), (5, 2), (11, 40)], ids=str)
def test_windows(net: nn.Module, image: Tensor, window: tuple[int, int], stride: tuple[int, int]) -> None:
    result = check(net, image, window=window, stride=stride, fill=normal(SIZE, 2))
    assert result.origins[:, 0, 0].tolist() == places(26, window[0], stride[0])
    assert result.origins[0, :, 1].tolist() == places(31, window[1], stride[1])


def test_every_pixel_by_itself(net: nn.Module, image: Tensor) -> None:
    assert check(net, image, window=1, stride=1, together=128).logits.shape == (26, 31, 4)


FILLS = {
    "number": -0.7,
    "integer": 2,
    "channels": [0.1, -0.2, 0.3],
    "tuple": (0.1, -0.2, 0.3),
    "scalar tensor": torch.tensor(0.4),
    "channel tensor": normal((3, 1, 1), 3),
    "row": normal((1, 1, 31), 4),
    "picture": normal(SIZE, 5),
    "batch of one": normal((1, *SIZE), 6),
    "double": normal(SIZE, 5).double(),
    "expanded": normal((3, 1, 1), 3).expand(SIZE),
    "huge": 1e4,
}


@pytest.mark.parametrize("name", FILLS)
def test_fills(net: nn.Module, image: Tensor, name: str) -> None:
    fill = FILLS[name]
    expected = list(fill) if isinstance(fill, tuple) else fill
    logits = brute_force(net, image, (6, 6), (5, 5), expected)[0]
    result = zfcuda.occlusion_map(net, image, window=6, stride=5, fill=fill, method=METHOD)
    assert deviation(result.logits, logits) <= 1


def test_a_fill_that_changes_nothing(net: nn.Module, image: Tensor) -> None:
    result = check(net, image, fill=image.clone())
    torch.testing.assert_close(result.logits, result.base_logits.expand_as(result.logits))
    mostly = image.clone()
    mostly[:, 3, 4] += 1
    check(net, image, fill=mostly)


def test_everything_else_in_the_map_fits_the_logits(net: nn.Module, image: Tensor) -> None:
    result = check(net, image, target=2, stride=(4, 7))
    with torch.no_grad():
        torch.testing.assert_close(result.base_logits, net(image[None])[0])
    torch.testing.assert_close(result.score, result.logits[..., 2])
    torch.testing.assert_close(result.base_score, result.base_logits[2])
    torch.testing.assert_close(result.probability, result.logits.softmax(-1)[..., 2])
    assert torch.equal(result.label, result.logits.argmax(-1)) and result.label.dtype == torch.int64
    assert result.heatmap().shape == SIZE[1:]
    assert all(t.device == image.device for t in (result.logits, result.origins, result.label, result.base_logits))
    margin = check(net, image, target=lambda z: z[:, 0] - z[:, 1])
    torch.testing.assert_close(margin.score, margin.logits[..., 0] - margin.logits[..., 1])


# ---------------------------------------------------------------- ability by ability


def sandwich(middle: nn.Module, image: Tensor) -> nn.Module:
    """The step between two convolutions, the second the costlier, so that completing the maps would show."""
    before = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), middle)
    channels = before.eval()(image[None].cpu()).shape[1]
    after = nn.Conv2d(channels, 24, 3, padding=1)
    head = Code("return self.fc(F.relu(x).mean((2, 3)))", fc=nn.Linear(24, 5))
    layers = OrderedDict(before=before[0], middle=middle, after=after, head=head)
    return prepared(nn.Sequential(layers).to(image.device), image)


class Flops(TorchDispatchMode):
    """Counts what torch's own operators compute; without the hooks of torch's counter, which no engine would run."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        self.total += formula(*args, **kwargs, out_val=result) if formula else 0
        return result


def flops(run: Callable[[], Any]) -> int:
    with Flops() as counter:
        run()
    return counter.total


def conv(*args: Any, **kwargs: Any) -> Callable[[], nn.Module]:
    return lambda: nn.Conv2d(8, *args, **kwargs)


def code(text: str, **parts: Callable[[], Any]) -> Callable[[], nn.Module]:
    return lambda: Code(text, **{name: part() for name, part in parts.items()})


def same(kernel: int) -> Callable[[], nn.Module]:
    return conv(8, kernel, padding=kernel // 2)


# What has to stay local: only places that a window reaches are computed anew.
LOCAL: dict[str, Callable[[], nn.Module]] = {
    "conv 1x1": conv(4, 1),
    "conv even": conv(4, 4, padding=1),
    "conv long": conv(4, (1, 7), padding=(0, 3)),
    "conv tall stride": conv(4, (5, 2), stride=(2, 1), padding=(2, 0)),
    "conv 11 stride 4": conv(4, 11, stride=4, padding=2),
    "conv skips pixels": conv(4, 1, stride=3),
    "conv skips more": conv(4, 2, stride=4, padding=1),
    "conv same": conv(4, 5, padding="same"),
    "conv same even": conv(4, 4, padding="same", bias=False),
    "conv valid": conv(4, 3, padding="valid"),
    "conv dilated": conv(4, 3, padding=3, dilation=3),
    "conv dilated unevenly": conv(4, 3, stride=2, padding=(1, 0), dilation=(1, 2)),
    "conv groups": conv(6, 3, groups=2, padding=1),
    "conv depthwise": conv(8, 3, groups=8, padding=1, bias=False),
    "conv depthwise wider": conv(16, 5, groups=8, stride=2),
    "conv reflect": conv(4, 5, padding=2, padding_mode="reflect"),
    "conv replicate": conv(4, 3, padding=1, padding_mode="replicate"),
    "conv function": code("return F.conv2d(x, self.w, None, 2, 1)", w=lambda: torch.ones(4, 8, 3, 3)),
    "max pool": lambda: nn.MaxPool2d(2),
    "max pool overlapping": lambda: nn.MaxPool2d(3, 2),
    "max pool ceil": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "max pool padding": lambda: nn.MaxPool2d((3, 2), (2, 1), padding=1),
    "max pool dilated": lambda: nn.MaxPool2d(3, 1, padding=1, dilation=2),
    "max pool skips": lambda: nn.MaxPool2d(2, 3),
    "max pool function": code("return F.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)"),
    "max pool torch": code("return torch.max_pool2d(x, 2)"),
    "average pool": lambda: nn.AvgPool2d(2),
    "average pool ceil": lambda: nn.AvgPool2d(3, 2, padding=1, ceil_mode=True),
    "average pool inside": lambda: nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False),
    "average pool divisor": lambda: nn.AvgPool2d(3, 1, padding=1, divisor_override=5),
    "average pool function": code("return F.avg_pool2d(x, 3, 2)"),
    "adaptive average": lambda: nn.AdaptiveAvgPool2d((11, 8)),
    "adaptive average dividing": lambda: nn.AdaptiveAvgPool2d((10, 11)),
    "adaptive average larger": lambda: nn.AdaptiveAvgPool2d((45, 50)),
    "adaptive average one side": lambda: nn.AdaptiveAvgPool2d((None, 7)),
    "adaptive max": lambda: nn.AdaptiveMaxPool2d((9, 13)),
    "adaptive function": code("return F.adaptive_avg_pool2d(x, (7, 7))"),
    "batch norm": lambda: nn.BatchNorm2d(8),
    "batch norm bare": lambda: nn.BatchNorm2d(8, affine=False, eps=1e-2),
    "batch norm after relu": code("return self.bn(F.relu(x))", bn=lambda: nn.BatchNorm2d(8)),
    "batch norm shared": code("return self.bn(self.conv(self.bn(x)))", bn=lambda: nn.BatchNorm2d(8), conv=same(3)),
    "conv read twice": code("y = self.c(x); return self.bn(y) + y", c=same(3), bn=lambda: nn.BatchNorm2d(8)),
    "lrn": lambda: nn.LocalResponseNorm(5, alpha=0.5, k=2),
    "lrn even": lambda: nn.LocalResponseNorm(4, alpha=0.5),
    "lrn function": code("return F.local_response_norm(x, 3, 0.1, 0.5, 1.5)"),
    "relu": lambda: nn.ReLU(),
    "relu in place": lambda: nn.ReLU(inplace=True),
    "relu method": code("return x.relu_()"),
    "prelu": lambda: nn.PReLU(8),
    "gelu": lambda: nn.GELU(),
    "silu in place": lambda: nn.SiLU(inplace=True),
    "hardswish": lambda: nn.Hardswish(),
    "leaky": code("return F.leaky_relu(x, 0.1)"),
    "sigmoid": code("return x * torch.sigmoid(x)"),
    "elu": lambda: nn.ELU(0.7),
    "softplus": lambda: nn.Softplus(2),
    "clamp": code("return x.clamp(-0.5, 1)"),
    "power": code("return x ** 2 - x.abs() / 3"),
    "scale": code("return x * self.s + self.b", s=lambda: torch.ones(8, 1, 1), b=lambda: torch.ones(1, 8, 1, 1)),
    "position": code("return x + self.p", p=lambda: nn.Parameter(torch.ones(1, 8, 40, 44))),
    "dropout": lambda: nn.Dropout(0.5),
    "dropout 2d": lambda: nn.Dropout2d(0.5),
    "dropout in place": lambda: nn.Dropout(0.5, inplace=True),
    "dropout function": code("return F.dropout(x, 0.5, self.training)"),
    "add": code("return x + self.a(x)", a=same(3)),
    "add two": code("return self.a(x) + self.b(x)", a=same(3), b=same(3)),
    "add near and far": code("return self.a(x) + self.b(x)", a=same(1), b=same(5)),
    "add far and near": code("return F.relu(self.a(x) + self.b(x))", a=same(5), b=same(1)),
    "batch norm of a sum": code("return self.bn(self.a(x) + x)", a=same(3), bn=lambda: nn.BatchNorm2d(8)),
    "activation before the norm": code("return self.bn(self.a(x).relu())", a=same(3), bn=lambda: nn.BatchNorm2d(8)),
    "add after activation": code("return self.a(x).relu() + x", a=same(3)),
    "add with alpha": code("return torch.add(x, self.a(x), alpha=-2)", a=same(3)),
    "add in place": code("y = self.a(x); y += x; return y", a=same(3)),
    "add in place to the input": code("y = self.a(x); x += y; return x", a=same(3)),
    "add to itself": code("x += x; return x"),
    "add_": code("return self.a(x).add_(x).relu_()", a=same(3)),
    "subtract": code("return x - self.a(x)", a=same(3)),
    "multiply": code("return x * self.a(x)", a=same(5)),
    "multiply in place": code("y = self.a(x); y *= x; return y", a=same(3)),
    "multiply by one channel": code("return x * x[:, :1].sigmoid()"),
    "maximum": code("return torch.maximum(x, self.a(x))", a=same(3)),
    "relu shared by both": code("y = self.a(self.r(x)); return x + y", a=same(3), r=lambda: nn.ReLU(inplace=True)),
    "concatenate": code("return torch.cat([self.a(x), self.b(x), x], 1)", a=same(1), b=same(5)),
    "concatenate axis": code("return torch.cat((x, self.a(x)), dim=-3)", a=same(3)),
    "concatenate shifted": code(
        "return torch.cat([self.a(x)[:, :, 2:, 2:], self.b(x)], 1)", a=conv(8, 3), b=conv(8, 5)
    ),
    "add different strides": code("return self.a(x) + self.b(x)", a=conv(8, 3, 2, 1), b=conv(8, 1, 2)),
    "reused": code("return self.a(self.a(x))", a=same(3)),
    "slice channels": code("return x[:, 2:5]"),
    "every other channel": code("return x[:, ::2]"),
    "channel list": code("return x[:, [3, 0, 1]]"),
    "chunk": code("a, b = x.chunk(2, 1); return a * b"),
    "split": code("a, b, c = torch.split(x, [2, 5, 1], dim=1); return torch.cat([c, b], 1)"),
    "crop": code("return x[:, :, 1:-1, 2:]"),
}

# Where exactness is all that is asked.
ANYHOW: dict[str, Callable[[], nn.Module]] = {
    "conv circular": conv(4, 5, padding=2, padding_mode="circular"),
    "squeeze and excite": code(
        "return x * self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))).sigmoid()",
        down=lambda: nn.Conv2d(8, 2, 1),
        up=lambda: nn.Conv2d(2, 8, 1),
    ),
    "squeeze and excite, flat": code(
        "n, c, h, w = x.shape; s = F.adaptive_avg_pool2d(x, 1).view(n, c); "
        "return x * self.f(s).sigmoid().view(n, c, 1, 1)",
        f=lambda: nn.Linear(8, 8),
    ),
    "spatial attention": code("return x * torch.sigmoid(x.mean(1, keepdim=True) + x.amax(1, keepdim=True))"),
    "largest channel": code("return x - x.max(1, keepdim=True)[0]"),
    "softmax of channels": code("return F.softmax(x, dim=1)"),
    "softmax of places": code("return F.softmax(x.flatten(2), -1).view(x.shape) * 20"),
    "group norm": lambda: nn.GroupNorm(2, 8),
    "instance norm": lambda: nn.InstanceNorm2d(8, affine=True),
    "layer norm of channels": code(
        "return self.n(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)", n=lambda: nn.LayerNorm(8)
    ),
    "unit length": code("return F.normalize(x, dim=1)"),
    "channel shuffle": code(
        "n, c, h, w = x.shape; return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)"
    ),
    "flip": code("return x.flip(3)"),
    "transpose": code("return x.transpose(2, 3)"),
    "roll": code("return torch.roll(x, (3, 2), (2, 3))"),
    "every other pixel": code("return x[..., ::2, 1::2]"),
    "focus": code("return torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2]], 1)"),
    "unshuffle": lambda: nn.PixelUnshuffle(2),
    "zero pad": lambda: nn.ZeroPad2d((1, 2, 0, 3)),
    "pad with a value": code("return F.pad(x, (2, 1, 0, 1), value=0.7)"),
    "pad and convolve": code("return self.a(F.pad(x, (0, 1, 0, 1)))", a=conv(4, 3, stride=2)),
    "upsample": lambda: nn.Upsample(scale_factor=2),
    "resize": code("return F.interpolate(x, size=(21, 19), mode='bilinear', align_corners=False)"),
    "transposed convolution": lambda: nn.ConvTranspose2d(8, 4, 3, 2, 1),
    "down and up": code(
        "return torch.cat([x, F.interpolate(self.a(x), size=x.shape[2:])], 1)", a=conv(8, 3, stride=2, padding=1)
    ),
    "sum from the left": code("return x.cumsum(3) / 10"),
    "mean of a row": code("return x - x.mean(3, keepdim=True)"),
    "write a channel": code("x[:, 1] = 0.5; return x"),
    "write a corner": code("x = x * 1; x[:, :, :4, :4] = 0; return x"),
    "write where": code("return torch.where(x > 0, x, 0.1 * x)"),
    "mask": code("return x.masked_fill(x < 0, 0)"),
    "weights from the map": code(
        "n, c, h, w = x.shape; k = self.f(x.mean((2, 3))).view(n * 4, c, 1, 1); "
        "return F.conv2d(x.reshape(1, n * c, h, w), k, groups=n).view(n, 4, h, w)",
        f=lambda: nn.Linear(8, 32),
    ),
    "coordinates": code(
        "n, _, h, w = x.shape; y = torch.linspace(-1, 1, 40, device=x.device).view(1, 1, 40, 1).expand(n, 1, h, w); "
        "return torch.cat([x, y], 1)"
    ),
    "zeros of the batch": code("return torch.cat([x, x.new_zeros(x.size(0), 2, x.size(2), x.size(3))], 1)"),
    "channels as a batch": code(
        "n, c, h, w = x.shape; return self.a(x.reshape(n * c, 1, h, w)).view(n, c, h, w)",
        a=lambda: nn.Conv2d(1, 1, 3, padding=1),
    ),
    "other precision": code("return x.double().relu().float()"),
    "indices": code("y, i = F.max_pool2d(x, 2, return_indices=True); return F.max_unpool2d(y, i, 2)"),
    "weight from a formula": code(
        "return F.conv2d(x, self.w - self.w.mean((1, 2, 3), keepdim=True), padding=1)", w=lambda: torch.ones(8, 8, 3, 3)
    ),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 3, padding=1)),
    "attention": code(
        "t = x[:, :, ::4, ::4].flatten(2).transpose(1, 2); t = t + self.a(t, t, t)[0]; "
        "return t.transpose(1, 2).view(-1, 8, 10, 11)",
        a=lambda: nn.MultiheadAttention(8, 2, batch_first=True),
    ),
}


@pytest.mark.parametrize("name", LOCAL)
def test_local_steps_are_exact_and_stay_local(name: str, device: torch.device) -> None:
    image = normal((3, 40, 44), 1).to(device)
    model = sandwich(LOCAL[name](), image)
    result = check(model, image, window=4, stride=8, together=8)
    once = flops(lambda: model(image[None].clone()))
    work = flops(lambda: zfcuda.occlusion_map(model, image, window=4, stride=8, method=METHOD))
    windows = result.score.numel()
    assert work < 0.5 * windows * once, f"{work / once:.1f} passes for {windows} windows; {result.reason}"


@pytest.mark.parametrize("name", ANYHOW)
def test_other_steps_are_exact(name: str, device: torch.device) -> None:
    image = normal((3, 40, 44), 1).to(device)
    check(sandwich(ANYHOW[name](), image), image, window=4, stride=8, together=8)


def test_a_fully_connected_layer_costs_what_changed(device: torch.device) -> None:
    image = normal((3, 40, 40), 1).to(device)
    model = prepared(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 38 * 38, 200)), image)
    result = check(model.to(device), image, window=4, stride=8)
    once = flops(lambda: model(image[None]))
    work = flops(lambda: zfcuda.occlusion_map(model, image, window=4, stride=8, method=METHOD))
    assert work < 0.5 * result.score.numel() * once


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


THIN = {
    "resized": "return F.interpolate(x, size=(9, 11), mode='bilinear')",
    "resized, corners": "return F.interpolate(x, size=(3, 57), mode='bilinear', align_corners=True)",
    "resized by cubes": "return F.interpolate(x, scale_factor=2, mode='bicubic')",
    "enlarged": "return F.interpolate(x, scale_factor=2)",
    "shrunk": "return F.interpolate(x, size=(1, 13))",
    "padded": "return F.pad(x, (1, 0, 2, 1), value=0.5)",
    "reflected": "return F.pad(x, (3, 2, 0, 0), mode='reflect')",
    "rolled": "return x.roll(5, 3)",
    "flipped": "return x.flip(3)",
    "pooled": "return F.max_pool2d(x, (1, 3), 2, (0, 1))",
    "averaged": "return F.avg_pool2d(x, (1, 3), 1, (0, 1), count_include_pad=False)",
    "adapted": "return F.adaptive_avg_pool2d(x, (2, 4))",
    "its columns": "return x.mean(2, keepdim=True)",
    "every third": "return x[..., 1::3]",
    "normalised": "return F.local_response_norm(x, 3, 0.5)",
}


@pytest.mark.parametrize("name", THIN)
@pytest.mark.parametrize("side", ["row", "column", "place"])
def test_maps_of_one_row_or_column(name: str, side: str, image: Tensor) -> None:
    text = THIN[name] if side != "column" else f"x = x.transpose(2, 3); {THIN[name]}"
    kernel = {"row": (26, 3), "column": (4, 31), "place": (26, 31)}[side]
    if side == "place" and name in ("reflected", "shrunk", "every third"):
        pytest.skip("torch does not do this to a single place")
    layers = [nn.Conv2d(3, 5, kernel), Code(text), nn.Conv2d(5, 6, 1), nn.Flatten()]
    check(prepared(nn.Sequential(*layers).to(image.device), image), image)


UNREAD: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(8 * 12 * 14, 3)),
    "mean": code("return x.mean((2, 3))"),
    "residual": code("y = self.b(F.elu(x)); return F.relu(y + x).flatten(1)", b=lambda: nn.BatchNorm2d(8)),
    "branches": code("return torch.cat([self.a(x), x], 1).mean((2, 3))", a=same(3)),
    "grouped": lambda: nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.LocalResponseNorm(3), nn.Flatten()),
    "pooled": lambda: nn.Sequential(nn.AvgPool2d(2), nn.MaxPool2d(2, ceil_mode=True), nn.PReLU(), nn.Flatten()),
    "instance norm": lambda: nn.Sequential(nn.Sigmoid(), nn.InstanceNorm2d(8), nn.Flatten()),
    "gate": code("return (x * x.mean((2, 3), keepdim=True)).permute(0, 2, 3, 1).reshape(x.size(0), -1)"),
    "resized": code("return F.interpolate(x, scale_factor=2, mode='bilinear').flatten(1)"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_windows_that_nothing_reads(name: str, image: Tensor) -> None:
    """Every window of the first, some of the second: cropped away, or in between what a stride reads."""
    crop = Code("return x[..., 2:-1, 3:-1]")
    model = nn.Sequential(crop, nn.Conv2d(3, 8, 1, stride=(2, 2)), nn.BatchNorm2d(8), UNREAD[name]())
    prepared(model.to(image.device), image)
    result = check(model, image, window=(5, 2), stride=(4, 40))
    assert (result.logits - result.base_logits).abs().max() <= 1e-5 * result.base_logits.abs().max()
    check(model, image, window=1, stride=(5, 3), together=16)


def test_picture_and_model_in_any_memory_format(net: nn.Module, image: Tensor) -> None:
    wide = torch.cat([image, image], 2)
    forms = {
        "batch of one": image[None],
        "channels_last": image[None].to(memory_format=torch.channels_last),
        "transposed": image.transpose(1, 2).contiguous().transpose(1, 2),
        "a slice": wide[:, :, 31:],
        "expanded": image[:1].expand(3, -1, -1),
        "gradient wanted": image.clone().requires_grad_(),
    }
    for form in forms.values():
        result = check(net, form)
        assert not result.logits.requires_grad
    assert forms["gradient wanted"].grad is None and forms["gradient wanted"].requires_grad
    check(net.to(memory_format=torch.channels_last), image)


@pytest.mark.parametrize("name", [name for name in LOCAL if "pool" in name or "adaptive" in name or "norm" in name])
def test_double_precision_of_steps(name: str, device: torch.device) -> None:
    image = normal((3, 40, 44), 1).to(device)
    check(sandwich(LOCAL[name](), image).double(), image.double(), window=5, stride=12, together=8)


def test_double_precision_is_kept(net: nn.Module, image: Tensor) -> None:
    # A bright window far from zero: float32 anywhere on the way would show.
    check(net.double(), image.double() * 30 + 200, fill=-100.0)


def test_networks_of_the_package(device: torch.device) -> None:
    image = normal((3, 224, 224), 1).to(device)
    check(prepared(zfnet(10, width=0.1).to(device), image), image, window=50, stride=70, fill=0.3, layer="conv3")
    demo = load_demo().to(device)
    size = demo.preprocess(Image.new("RGB", (64, 64))).shape[1:]
    check(demo, normal(size, 2).to(device), window=16, stride=19, together=8)


def unit(
    channels: int, out: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: Any = nn.ReLU
) -> nn.Sequential:
    filters = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(filters, nn.BatchNorm2d(out), act(inplace=True))


def resnet() -> nn.Module:
    def basic(channels: int, out: int, stride: int) -> nn.Module:
        body = nn.Sequential(unit(channels, out, 3, stride), nn.Conv2d(out, out, 3, 1, 1), nn.BatchNorm2d(out))
        down = nn.Sequential(nn.Conv2d(channels, out, 1, stride), nn.BatchNorm2d(out)) if stride > 1 else nn.Identity()
        return Code(
            "y = self.body(x); y += self.down(x); return self.relu(y)", body=body, down=down, relu=nn.ReLU(True)
        )

    stem = [unit(3, 8, 7, 2), nn.MaxPool2d(3, 2, 1), basic(8, 8, 1), basic(8, 12, 2), basic(12, 12, 1)]
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(1), nn.Linear(12, 7))


def mobilenet() -> nn.Module:
    def inverted(channels: int, out: int, kernel: int, stride: int) -> nn.Module:
        wide = 2 * channels
        squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, 4, 1), nn.ReLU(), nn.Conv2d(4, wide, 1))
        attend = Code("return self.scale(self.squeeze(x)) * x", squeeze=squeeze, scale=nn.Hardsigmoid())
        deep = unit(wide, wide, kernel, stride, groups=wide, act=nn.Hardswish)
        body = nn.Sequential(unit(channels, wide, 1, act=nn.Hardswish), deep, attend, nn.Conv2d(wide, out, 1))
        return Code("return x + self.body(x)" if (channels, stride) == (out, 1) else "return self.body(x)", body=body)

    layers = [unit(3, 8, 3, 2, act=nn.Hardswish), inverted(8, 8, 3, 1), inverted(8, 12, 5, 2), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(12, 16), nn.Hardswish(True), nn.Dropout(0.2), nn.Linear(16, 7)
    )


def densenet() -> nn.Module:
    def dense(channels: int) -> nn.Module:
        body = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.Conv2d(channels, 4, 3, 1, 1, bias=False)
        )
        return Code("return torch.cat([x, self.body(x)], 1)", body=body)

    layers = [unit(3, 8, 5, 2), nn.MaxPool2d(3, 2, 1), dense(8), dense(12), dense(16)]
    layers += [nn.BatchNorm2d(20), nn.ReLU(True), nn.Conv2d(20, 8, 1), nn.AvgPool2d(2), dense(8), nn.BatchNorm2d(12)]
    head = Code("return self.f(F.adaptive_avg_pool2d(F.relu(x, inplace=True), (1, 1)).flatten(1))", f=nn.Linear(12, 7))
    return nn.Sequential(*layers, head)


def inception() -> nn.Module:
    def mixed(channels: int) -> nn.Module:
        parts = {"a": unit(channels, 4, 1), "b": nn.Sequential(unit(channels, 3, 1), unit(3, 4, 3))}
        parts["c"] = nn.Sequential(unit(channels, 2, 1), unit(2, 3, 5))
        parts["d"] = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), unit(channels, 3, 1))
        return Code("return torch.cat([self.a(x), self.b(x), self.c(x), self.d(x)], 1)", **parts)

    layers = [unit(3, 8, 7, 2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(5, 0.1), mixed(8), mixed(14)]
    return nn.Sequential(
        *layers,
        nn.MaxPool2d(3, 2, ceil_mode=True),
        mixed(14),
        nn.Dropout(0.4),
        nn.Conv2d(14, 7, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    for channels, out in ((3, 6), (6, 8), (8, 8)):
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2, 2)]
    layers += [nn.AdaptiveAvgPool2d((7, 7)), nn.Flatten(), nn.Linear(8 * 49, 20), nn.ReLU(True), nn.Dropout()]
    return nn.Sequential(*layers, nn.Linear(20, 7))


def convnext() -> nn.Module:
    norm = "return self.n(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)"
    mlp = "y = self.d(x).permute(0, 2, 3, 1); y = self.b(F.gelu(self.a(self.n(y)))).permute(0, 3, 1, 2); "
    mlp += "return x + self.s * y"
    parts = {
        "d": nn.Conv2d(8, 8, 7, padding=3, groups=8),
        "n": nn.LayerNorm(8),
        "a": nn.Linear(8, 16),
        "b": nn.Linear(16, 8),
    }
    stem = [nn.Conv2d(3, 8, 4, 4), Code(norm, n=nn.LayerNorm(8)), Code(mlp, **parts, s=torch.ones(8, 1, 1))]
    head = Code("return self.f(self.n(x.mean([-2, -1])))", n=nn.LayerNorm(8), f=nn.Linear(8, 7))
    return nn.Sequential(*stem, nn.Conv2d(8, 8, 2, 2), head)


STYLES = [resnet, mobilenet, densenet, inception, vgg, convnext]


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.__name__)
def test_networks_in_the_styles_that_people_use(style: Callable[[], nn.Module], device: torch.device) -> None:
    image = normal((3, 70, 61), 1).to(device)
    model = prepared(style().to(device), image)
    check(model, image, window=9, stride=13, together=8)
    check(model.double().to(memory_format=torch.channels_last), image.double(), window=(1, 20), stride=17, fill=0.5)


@pytest.mark.parametrize(
    "name",
    ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5", "efficientnet_b0"],
)
def test_networks_of_torchvision(name: str, device: torch.device) -> None:
    try:
        from torchvision import models
    except (ImportError, RuntimeError):  # the second where its build does not fit that of torch
        pytest.skip("no torchvision")
    image = normal((3, 64, 64), 1).to(device)
    model = getattr(models, name)(num_classes=7)
    check(prepared(model.to(device), image), image, window=12, stride=20, together=4)


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


# ---------------------------------------------------------------- layers


class Layered(nn.Module):
    """Layers whose outputs are overwritten, read twice, called twice, of each shape."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.relu = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.body = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(6, 6, 1))
        self.drop, self.pool = nn.Dropout(0.5), nn.MaxPool2d(2)
        self.gate, self.mix = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 6, 1)), nn.GroupNorm(2, 6)
        self.flat, self.fc1, self.fc2 = nn.Flatten(), nn.Linear(6 * 6 * 7, 9), nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        y = self.body(x)
        y += x
        y = self.pool(self.relu(self.drop(y)))
        y = y * self.gate(y).sigmoid()
        y = self.pool(self.mix(y))
        return self.fc2(self.relu(self.fc1(self.flat(y))))


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


@pytest.fixture
def layered(image: Tensor) -> nn.Module:
    return prepared(Layered().to(image.device), image)


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


# ---------------------------------------------------------------- models that are not followed simply


class ByShape(Plain):
    """Branches on sizes, as many models do."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 3
        x = self.norm(self.conv1(x))
        if x.shape[2] > 8:
            x = self.pool(x)
        for _ in range(x.dim() - 2):
            x = F.relu(x)
        x = self.conv2(x)
        x = x.view(x.shape[0], x.shape[1], -1)
        if min(x.shape[1:]) < 1:
            raise ValueError("too small")
        return self.head(x.mean(2).view(x.size(0), -1))


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
    check(model, image, memory_budget=1)
    with torch.no_grad():
        model.conv2.weight.mul_(-1.5)
        model.norm.running_mean.add_(0.3)
    check(model, image)
    wide = torch.cat([image, image], 2)  # another shape, another trace
    check(model, wide)
    small = normal((3, 14, 13), 7).to(image.device)  # not pooled
    check(model, small)
    refused_or_exact(prepared(ByBatch().to(image.device), image), image)


@pytest.mark.parametrize("kind", [ByValue, ThroughNumpy])
def test_a_model_that_cannot_be_followed(kind: type[nn.Module], image: Tensor) -> None:
    model = prepared(kind().to(image.device), image)
    model.limit = float(occluded(image, (6, 6), (5, 5), 0.0)[0].mean((1, 2, 3)).median())  # half of the windows
    with pytest.raises(RuntimeError, match=r"method: 'incremental'"):
        zfcuda.occlusion_map(model, image, window=6, stride=5, method="incremental")
    result = check(model, image, method="auto")
    assert result.method == "batched"
    assert any(word in result.reason for word in ("trace", "record", "follow")), result.reason
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


@pytest.mark.parametrize("budget", [1, 20_000, 1_000_000])
@pytest.mark.parametrize("kind", [Plain, Layered, ByShape])
def test_little_memory_gives_the_same_numbers(kind: type[nn.Module], image: Tensor, budget: int) -> None:
    model = prepared(kind().to(image.device), image)
    layer = "fc1" if kind is Layered else "conv2"
    check(model, image, stride=(3, 4), memory_budget=budget, together=16, layer=None if kind is ByShape else layer)


def test_runs_out_of_memory_and_goes_on(net: nn.Module, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that does not fit is halved, whatever was estimated."""
    real = F.linear

    def scarce(input: Tensor, *more: Any, **named: Any) -> Tensor:
        if len(input) > 5:
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


# ---------------------------------------------------------------- the model afterwards


def test_new_weights_give_new_answers(image: Tensor) -> None:
    model = prepared(Plain().to(image.device), image)
    answers = [check(model, image).logits]

    def again() -> None:
        answers.append(check(model, image).logits)
        assert not torch.allclose(answers[-1], answers[-2], rtol=1e-3)

    with torch.no_grad():
        model.conv1.weight.mul_(-1)
    again()
    model.conv2.bias.data += 1.5  # which torch does not count as a change
    again()
    model.head.weight = nn.Parameter(model.head.weight.detach() * 2)
    again()
    model.norm.running_mean += 2
    again()
    model.norm.running_var.data.fill_(0.1)
    again()
    model.load_state_dict({name: value * 0.7 for name, value in model.state_dict().items()})
    again()
    model.norm.eps = 0.5
    again()
    model.conv2 = nn.Conv2d(6, 8, 1, device=image.device)
    again()
    model.relu = nn.Tanh()
    again()
    model.conv1.stride = (3, 3)
    again()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    model(image[None]).square().sum().backward()
    optimiser.step()
    again()
    check(model, image.flip(2))


def test_autograd_works_afterwards(layered: nn.Module, image: Tensor) -> None:
    for model in (layered, prepared(ByShape().to(image.device), image)):
        results = [zfcuda.occlusion_map(model, image, window=6, stride=5, method=METHOD)]
        with torch.inference_mode():
            results.append(zfcuda.occlusion_map(model, image, window=6, stride=5, method=METHOD))
        with torch.no_grad():
            results.append(zfcuda.occlusion_map(model, image, window=6, stride=5, method=METHOD))
        assert not any(t.is_inference() for t in [*model.parameters(), *model.buffers()])
        picture = image[None].clone().requires_grad_()
        model.train()
        model(picture).sum().backward()
        model.eval()
        assert picture.grad is not None and all(p.grad is not None for p in model.parameters())
        for result in results[::2]:
            tensors = [value for value in vars(result).values() if isinstance(value, Tensor)]
            assert len(tensors) >= 7 and not any(t.is_inference() or t.requires_grad for t in tensors)
            weight = torch.ones_like(result.logits, requires_grad=True)
            (result.logits * weight).sum().backward()
            torch.testing.assert_close(weight.grad, result.logits)
        check(model, image)


def test_a_model_made_for_inference_alone(image: Tensor) -> None:
    with torch.inference_mode():
        model = randomise(Plain().to(image.device), 3)
        picture = image.clone()
    check(model, picture)


def test_leaves_the_model_as_it_was(layered: nn.Module, image: Tensor) -> None:
    model = layered.train()
    model.norm.eval()  # frozen by its owner
    model.stem.weight.requires_grad_(False)
    model(image[None].repeat(2, 1, 1, 1)).sum().backward()
    hook = model.mix.register_forward_hook(lambda *_: None)
    model.body.register_full_backward_hook(lambda *_: None)

    def looks() -> list[Any]:
        state: list[Any] = [torch.get_rng_state().tolist(), torch.is_grad_enabled(), torch.get_num_threads()]
        state += [torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark]
        for name, module in model.named_modules():
            state += [name, module.training, sorted(vars(module)), "forward" in vars(module)]
            state += [list(module._forward_hooks), list(module._forward_pre_hooks), list(module._backward_hooks)]
            for key, tensor in [*module._parameters.items(), *module._buffers.items()]:
                if tensor is not None:
                    gradient = None if tensor.grad is None else tensor.grad.tolist()
                    state += [key, id(tensor), tensor._version, tensor.data_ptr(), tensor.requires_grad]
                    state += [tensor.tolist(), gradient, id(tensor.grad), tensor.stride()]
        return state

    picture = image.clone()
    for method in ("auto", METHOD):
        if method != "auto":
            hook.remove()  # which the engine need not take
        before = looks()
        check_free = {"window": 6, "stride": 5, "method": method}
        zfcuda.occlusion_map(model, image, **check_free, layer="body.0")
        assert looks() == before and torch.equal(image, picture)
        with pytest.raises(ZeroDivisionError):
            zfcuda.occlusion_map(model, image, **check_free, target=lambda z: z[:, 0] / (1 // 0))
        assert looks() == before
    check(model, image)


def test_an_interrupted_run_leaves_the_model_as_it_was(net: nn.Module, image: Tensor) -> None:
    calls = 0

    def interrupt(z: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise KeyboardInterrupt
        return z[:, 0]

    net.train()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(2):
            zfcuda.occlusion_map(net, image, window=6, stride=5, method=METHOD, target=interrupt)
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


# ---------------------------------------------------------------- bad input


class Counting(Plain):
    """Counts the pictures that it is given."""

    pictures = 0

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(x, Tensor) and not isinstance(x, torch._subclasses.FakeTensor):
            self.pictures += len(x)
        return super().forward(x)


IMAGE = normal((3, 20, 20), 0)
WITH_NAN, WITH_INFINITY = IMAGE.clone(), IMAGE.clone()
WITH_NAN[1, 2, 3], WITH_INFINITY[0, 0, 0] = float("nan"), float("inf")

# Argument, error, what it says.
BAD: list[tuple[dict[str, Any], type[Exception] | tuple[type[Exception], ...], str]] = [
    ({"image": WITH_NAN}, ValueError, "image: .*NaN"),
    ({"image": WITH_INFINITY}, ValueError, "image: .*infinity"),
    ({"image": IMAGE[:, :0]}, ValueError, r"image: .*\[3, 0, 20\]"),
    ({"image": IMAGE[0]}, ValueError, r"image: .*\[20, 20\]"),
    ({"image": IMAGE.expand(2, -1, -1, -1)}, ValueError, r"image: .*\[2, 3, 20, 20\]"),
    ({"image": IMAGE.long()}, TypeError, "image: .*int64"),
    ({"image": IMAGE.numpy()}, TypeError, "image: .*ndarray"),
    ({"image": IMAGE.half()}, TypeError, "image: .*float16"),
    ({"image": IMAGE.to("meta")}, ValueError, "image: .*cpu.*meta"),
    ({"window": 0}, ValueError, "window: .*0"),
    ({"window": (4, 0)}, ValueError, r"window: .*\(4, 0\)"),
    ({"window": (0, 0)}, ValueError, r"window: .*\(0, 0\)"),
    ({"window": -3}, ValueError, "window: .*-3"),
    ({"window": True}, ValueError, "window: .*True"),
    ({"window": 2.5}, (TypeError, ValueError), "window: .*2.5"),
    ({"window": None}, (TypeError, ValueError), "window: .*None"),
    ({"window": (4, 5, 6)}, ValueError, "window: .*4, 5, 6"),
    ({"window": (21, 2)}, ValueError, "window: .*21 x 2"),
    ({"stride": 0}, ValueError, "stride: .*0"),
    ({"stride": (2, -1)}, ValueError, r"stride: .*\(2, -1\)"),
    ({"stride": 0.5}, (TypeError, ValueError), "stride: .*0.5"),
    ({"fill": torch.zeros(7)}, ValueError, r"fill: .*\[7\]"),
    ({"fill": torch.zeros(4, 1, 1)}, ValueError, r"fill: .*\[4, 1, 1\]"),
    ({"fill": torch.zeros(2, 3, 20, 20)}, ValueError, r"fill: .*\[2, 3, 20, 20\]"),
    ({"fill": torch.zeros(3, 21, 20)}, ValueError, r"fill: .*\[3, 21, 20\]"),
    ({"fill": [1.0, 2.0]}, ValueError, "fill: .*3 numbers.*2"),
    ({"fill": []}, ValueError, "fill: .*0"),
    ({"fill": float("nan")}, ValueError, "fill: .*NaN"),
    ({"fill": [0.0, float("inf"), 0.0]}, ValueError, "fill: .*infinity"),
    ({"fill": None}, (TypeError, ValueError), "fill: .*None"),
    ({"fill": "red"}, (TypeError, ValueError), "fill: .*red"),
    ({"layer": "conv9"}, ValueError, "layer: .*'conv9'.*conv1"),
    ({"layer": 3}, (TypeError, ValueError), "layer: .*3"),
    ({"unit": 1}, ValueError, "unit: 1 of which layer"),
    ({"method": "magic"}, ValueError, "method: .*'magic'"),
    ({"probability": "odds"}, ValueError, "probability: .*'odds'"),
    ({"dtype": torch.int8}, ValueError, "dtype: .*int8"),
    ({"dtype": "bfloat16"}, (TypeError, ValueError), "dtype: .*bfloat16"),
    ({"memory_budget": 0}, ValueError, "memory_budget: .*0"),
    ({"memory_budget": "1GB"}, (TypeError, ValueError), "memory_budget: .*1GB"),
]
# What only an answer of the model can tell.
BAD_FOR_THIS_MODEL: list[tuple[dict[str, Any], type[Exception] | tuple[type[Exception], ...], str]] = [
    ({"target": "dog"}, TypeError, "target: .*'dog'"),
    ({"target": 1.0}, TypeError, "target: .*1.0"),
    ({"target": True}, TypeError, "target: .*True"),
    ({"target": 4}, ValueError, "target: .*0 to 3, got 4"),
    ({"target": -1}, ValueError, "target: .*0 to 3, got -1"),
    ({"target": lambda z: z}, ValueError, r"target: .*\[.*4\]"),
    ({"target": lambda z: 0.5}, ValueError, "target: .*float"),
    ({"layer": "conv1", "unit": 6}, ValueError, "unit: .*0 to 5, got 6"),
    ({"layer": "conv1", "unit": -1}, ValueError, "unit: .*0 to 5, got -1"),
    ({"layer": "never"}, ValueError, "layer: .*'never'"),
    ({"image": normal((4, 20, 20), 0)}, (ValueError, RuntimeError), "channels"),
]


def label(number: int) -> str:
    """The last argument and its value."""
    name, value = [*(BAD + BAD_FOR_THIS_MODEL)[number][0].items()][-1]
    if isinstance(value, torch.Tensor | np.ndarray):
        value = f"{tuple(value.shape)} {value.dtype}"
    return f"{number} {name}={getattr(value, '__name__', value)}"


@pytest.mark.parametrize("method", ["auto", "incremental", "batched"])
@pytest.mark.parametrize("number", range(len(BAD) + len(BAD_FOR_THIS_MODEL)), ids=label)
def test_bad_input_is_named_before_work_is_done(number: int, method: str) -> None:
    arguments, error, message = (BAD + BAD_FOR_THIS_MODEL)[number]
    pictures = 0 if number < len(BAD) else 3
    model = Counting().eval()
    model.never = nn.ReLU()
    arguments = {"window": 4, "stride": 4, "method": method, "image": IMAGE, **arguments}
    with pytest.raises(error, match=message):
        zfcuda.occlusion_map(model, arguments.pop("image"), **arguments)
    assert model.pictures <= pictures


@pytest.mark.parametrize("method", ["auto", METHOD])
def test_models_that_are_no_classifiers(method: str, image: Tensor) -> None:
    def run(model: Any, picture: Tensor = image) -> None:
        zfcuda.occlusion_map(model, picture, window=6, method=method)

    with pytest.raises(TypeError, match="model: "):
        run(lambda x: x.flatten(1))
    with pytest.raises(ValueError, match=r"image: .*meta.*cpu" if image.device.type == "cpu" else "image: "):
        run(Plain().to("meta"))
    conv = {"c": nn.Conv2d(3, 4, 3)}
    for text, says in {
        "return self.c(x)": r"model: .*\[1, 4, 24, 29\]",
        "return self.c(x).mean((2, 3)), x": "model: .*tuple",
        "return {'out': self.c(x).mean((2, 3))}": "model: .*dict",
        "return self.c(x).mean()": "model: ",
        "return self.c(x).mean((2, 3)) / 0": "model: .*NaN",
    }.items():
        with pytest.raises(ValueError, match=says):
            run(Code(text, **conv).to(image.device).eval())
    pair = Code("y = self.p(x); return y[0]", p=Code("return x.mean((2, 3)), x")).eval()
    with pytest.raises(ValueError, match="layer: 'p'"):
        zfcuda.occlusion_map(pair, image, window=6, method=method, layer="p")


RANDOM_MODELS = {
    "dropout that stays on": "return self.f(F.dropout(self.c(x).relu().mean((2, 3)), 0.5, training=True))",
    "dropout of the map": "return self.f(F.dropout(self.c(x).relu(), 0.5, True).mean((2, 3)))",
    "noise on the picture": "return self.f(self.c(x + 0.1 * torch.randn_like(x)).relu().amax((2, 3)))",
    "noise on the answer": "y = self.f(self.c(x).mean((2, 3))); return y + 0.05 * torch.randn_like(y)",
    "a little noise": "y = self.f(self.c(x).mean((2, 3))); return y + 0.003 * torch.randn_like(y)",
    "a random shift": "s = torch.randint(1, 20, (1,)).item(); return self.f(self.c(x.roll(s, 3) + x).amax((2, 3)))",
    "random windows": "return self.f(F.fractional_max_pool2d(self.c(x), 2, output_size=(7, 7)).mean((2, 3)))",
}


@pytest.mark.parametrize("method", ["auto", METHOD])
@pytest.mark.parametrize("name", RANDOM_MODELS)
def test_random_models_are_refused(name: str, method: str, image: Tensor) -> None:
    model = Code(RANDOM_MODELS[name], c=nn.Conv2d(3, 8, 3), f=nn.Linear(8, 4)).to(image.device)
    randomise(model, 2)
    with pytest.raises((ValueError, RuntimeError), match=r"model: .*random"):
        zfcuda.occlusion_map(model, image, window=6, stride=5, method=method)


WRITERS = {
    "scaled": "x.mul_(0.5); return self.f(self.c(x).mean((2, 3)))",
    "normalised": "x -= 0.3; x /= 0.5; return self.f(self.c(x).mean((2, 3)))",
    "rectified": "return self.f(self.c(F.relu(x, inplace=True)).mean((2, 3)))",
    "rectified by a module": "return self.f(self.c(self.r(x)).mean((2, 3)))",
    "a channel": "x[:, 1] = 0; return self.f(self.c(x).mean((2, 3)))",
    "through a view": "x[:, :2].mul_(3); return self.f(self.c(x).mean((2, 3)))",
    "through a reshape": "y = x.view(x.size(0), -1); y.clamp_(max=0.5); return self.f(self.c(x).mean((2, 3)))",
    "read before": "y = self.c(x).mean((2, 3)); x.zero_(); return self.f(y)",
}


@pytest.mark.parametrize("form", ["batch", "picture", "channels_last"])
@pytest.mark.parametrize("name", WRITERS)
def test_models_that_write_to_the_picture(name: str, form: str, image: Tensor) -> None:
    model = Code(WRITERS[name], c=nn.Conv2d(3, 8, 3), f=nn.Linear(8, 4), r=nn.ReLU(inplace=True)).to(image.device)
    randomise(model, 2)
    if (name, form) == ("through a reshape", "channels_last"):
        pytest.skip("torch has no such view")
    image = image if form == "picture" else image[None]
    if form == "channels_last":
        image = image.contiguous(memory_format=torch.channels_last)
    before = image.clone()
    fill = normal(SIZE, 3).to(image.device)
    fill_before = fill.clone()
    for method in ("auto", METHOD):
        try:
            check(model, image, fill=fill, method=method)
        except (ValueError, RuntimeError) as error:
            assert "model: " in str(error) or "method: 'incremental'" in str(error)
        assert torch.equal(image, before), "the picture was written to"
        assert torch.equal(fill, fill_before)
