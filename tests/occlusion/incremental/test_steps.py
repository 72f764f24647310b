"""Step by step: what stays local does so exactly, and what does not is exact all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import zfcuda
from tests.harness.random_networks import Code, normal
from tests.occlusion.incremental.definition import METHOD, check, prepared
from tests.occlusion.incremental.networks import code, conv, same, sandwich


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


LAST, SECOND = "y = x.permute(0, 2, 3, 1)", ".permute(0, 3, 1, 2)"
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
    "conv depthwise behind zeros, with a ceiling": code(
        "return F.relu6(self.d(F.pad(x, (0, 1, 0, 1))))", d=lambda: nn.Conv2d(8, 8, 3, 2, groups=8)
    ),
    "conv behind zeros, with a ceiling": code(
        "return self.d(F.pad(x, (1, 2, 2, 0))).clamp(0, 0.5)", d=lambda: nn.Conv2d(8, 8, 3, 2)
    ),
    "max pool": lambda: nn.MaxPool2d(2),
    "max pool overlapping": lambda: nn.MaxPool2d(3, 2),
    "max pool ceil": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "max pool padding": lambda: nn.MaxPool2d((3, 2), (2, 1), padding=1),
    "max pool dilated": lambda: nn.MaxPool2d(3, 1, padding=1, dilation=2),
    "max pool skips": lambda: nn.MaxPool2d(2, 3),
    "max pool far behind": lambda: nn.MaxPool2d(3, ceil_mode=True),
    "max pool function": code("return F.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)"),
    "max pool torch": code("return torch.max_pool2d(x, 2)"),
    "average pool": lambda: nn.AvgPool2d(2),
    "average pool ceil": lambda: nn.AvgPool2d(3, 2, padding=1, ceil_mode=True),
    "average pool far behind": lambda: nn.AvgPool2d(4, padding=1, ceil_mode=True),
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
    "scaled filters": code("return self.s * self.a(x) + x", s=lambda: torch.ones(8, 1, 1), a=same(3)),
    "filters times a number": code("return F.relu(self.a(x) * 0.17 + x)", a=same(3)),
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
    "mean of channels": code("return x - x.mean(1, keepdim=True)"),
    "layer norm of channels": code(f"{LAST}; return self.n(y){SECOND}", n=lambda: nn.LayerNorm(8)),
    "layer norm of channels by hand": code(
        "u = x.mean(1, True); s = (x - u).pow(2).mean(1, True); return (x - u) / torch.sqrt(s + 1e-6)"
    ),
    "linear layers of channels": code(
        f"{LAST}; return x + self.s * self.b(F.gelu(self.a(F.layer_norm(y, (8,))))){SECOND}",
        a=lambda: nn.Linear(8, 24),
        b=lambda: nn.Linear(24, 8),
        s=lambda: torch.ones(8, 1, 1),
    ),
    "linear layer and scale of channels": code(
        f"{LAST}; y = y + self.s * self.a(self.n(y)); return y{SECOND}",
        a=lambda: nn.Linear(8, 8),
        n=lambda: nn.RMSNorm(8),
        s=lambda: torch.ones(8),
    ),
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
    "mean of a map with channels last": code(f"{LAST}; return (y - y.mean((1, 2), True)){SECOND}"),
    "weights for both": code(
        f"{LAST}; t = (x.flatten(2).transpose(1, 2) @ self.w).mean((1, 2)).view(-1, 1, 1, 1); "
        f"return F.linear(y, self.w){SECOND} * t.sigmoid()",
        w=lambda: nn.Parameter(torch.ones(8, 8)),
    ),
    "spatial attention": code("return x * torch.sigmoid(x.mean(1, keepdim=True) + x.amax(1, keepdim=True))"),
    "largest channel": code("return x - x.max(1, keepdim=True)[0]"),
    "softmax of channels": code("return F.softmax(x, dim=1)"),
    "softmax of places": code("return F.softmax(x.flatten(2), -1).view(x.shape) * 20"),
    "group norm": lambda: nn.GroupNorm(2, 8),
    "instance norm": lambda: nn.InstanceNorm2d(8, affine=True),
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
    "factors of another precision": code(
        "return (self.a(x) * self.s).float()", a=same(3), s=lambda: torch.ones(8, 1, 1).double()
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


def test_a_fully_connected_layer_costs_what_changed_on_a_cpu() -> None:
    image = normal((3, 40, 40), 1)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 38 * 38, 200)
    model = prepared(nn.Sequential(*layers), image)
    result = check(model, image, window=4, stride=8)
    once = flops(lambda: model(image[None]))
    work = flops(lambda: zfcuda.occlusion_map(model, image, window=4, stride=8, method=METHOD))
    assert work < 0.5 * result.score.numel() * once


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


@pytest.mark.parametrize("name", [name for name in LOCAL if "pool" in name or "adaptive" in name or "norm" in name])
def test_double_precision_of_steps(name: str, device: torch.device) -> None:
    image = normal((3, 40, 44), 1).to(device)
    check(sandwich(LOCAL[name](), image).double(), image.double(), window=5, stride=12, together=8)
