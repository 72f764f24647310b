"""Random convolutional networks with a picture and an occluder each: hypothesis strategies, and what prints them.

A falsifying example prints as the repr of its Case, which is all that is needed to write it down by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

Draw = Callable[[Any], Any]
CHANNELS = 12  # at most: small networks, so that many fit into a run
MANY = (16, 17, 24, 40)  # as many as Winograd's algorithm begins with
PLACES = 120  # of the occluder, about
FILTERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


class Code(nn.Module):
    """A forward written as text, on one line; `x` is its input, parts are its modules and tensors."""

    def __init__(self, text: str, **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)
        scope: dict[str, Any] = {"torch": torch, "F": F, "nn": nn}
        exec(f"def run(self, x): {text}", scope)
        self.text, self.run = text, scope["run"]

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)

    def extra_repr(self) -> str:
        return self.text


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Weights from the seed alone, of either sign, nothing left at 0 or 1; in eval mode."""
    random = torch.Generator().manual_seed(seed)
    norms = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d)
    with torch.no_grad():
        for module in model.modules():
            for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                if not tensor.is_floating_point():
                    continue
                noise = torch.randn(tensor.shape, generator=random, dtype=torch.float64)
                if name == "running_var":
                    noise = 0.5 + noise.abs()
                elif isinstance(module, norms) and name == "weight":
                    noise = 0.5 + noise
                elif isinstance(module, FILTERS) and name == "weight":
                    noise *= (2 / noise[0].numel()) ** 0.5
                else:
                    noise *= 0.3
                tensor.copy_(noise)
    return model.eval()


def calibrate(model: nn.Module, image: Tensor) -> None:
    """Scales filters so that each gives a spread of about 1 on this picture: branches that multiply stay sane."""
    done = set()

    def scale(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if module in done:  # called before; its weights are settled
            return output
        done.add(module)
        spread = output.std(unbiased=False) if output.numel() > 8 else output.abs().mean()
        spread = spread.clamp(min=0.05)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter /= spread
        return output / spread

    filters = [m for m in model.modules() if isinstance(m, FILTERS)]
    handles = [module.register_forward_hook(scale) for module in filters]
    with torch.no_grad():
        model(image[None].clone())
    for handle in handles:
        handle.remove()


# ---------------------------------------------------------------- steps: [1,C,H,W] -> [1,C',H',W']


def _pair(draw: Draw, values: st.SearchStrategy[int]) -> tuple[int, int]:
    """Mostly square."""
    first = draw(values)
    return (first, first) if draw(st.integers(0, 2)) else (first, draw(values))


def _fitting(draw: Draw, size: Any, kernels: list[int], dilations: list[int]) -> tuple[list[int], ...]:
    """Kernel, dilation and padding per side that leave at least one position; clamped, never rejected."""
    wanted = _pair(draw, st.sampled_from(kernels)), _pair(draw, st.sampled_from(dilations))
    kernel, dilation, padding = [], [], []
    for length, k, d in zip(size, *wanted, strict=True):
        p = draw(st.integers(0, k // 2))
        if d * (k - 1) + 1 > length:  # or a dilated window may see nothing but padding
            d = 1
        if k > length + 2 * p:
            p = k // 2
        if k > length + 2 * p:
            k, p = 1, 0
        kernel.append(k)
        dilation.append(d)
        padding.append(p)
    return kernel, dilation, padding


MODES = ("zeros", "zeros", "zeros", "zeros", "reflect", "replicate", "circular")


def _convolution(draw: Draw, x: Tensor, modes: tuple[str, ...] = MODES) -> nn.Module:
    channels, size = x.shape[1], x.shape[2:]
    if channels >= MANY[0] and min(size) >= 3 and draw(st.booleans()):
        return nn.Conv2d(channels, draw(st.sampled_from(MANY)), 3, padding=draw(st.integers(0, 2)))
    kernel, dilation, padding = _fitting(draw, size, [3, 3, 1, 5, 2, 4, 7, 11], [1, 1, 1, 2, 3])
    stride = _pair(draw, st.sampled_from([1, 1, 2, 3, 4]))
    if channels == 1 and kernel[1] == 11:
        stride = (1, 1)  # torch 2.13 on a CPU errs for one channel in channels_last, this kernel and stride (1, 3)
    groups = draw(st.sampled_from([g for g in (1, 1, 2, 3, channels) if channels % g == 0]))
    out = groups * draw(st.integers(1, max(1, CHANNELS // groups)))
    if groups == 1 and draw(st.integers(0, 4)) == 0:
        out = draw(st.sampled_from(MANY))
    mode = draw(st.sampled_from(modes))
    # These modes take their padding from the map: no more than there is.
    most = {"reflect": 1, "circular": 0}
    if mode in most:
        padding = [min(p, length - most[mode]) for p, length in zip(padding, size, strict=True)]
    if any(d * (k - 1) + 1 > n + 2 * p for d, k, n, p in zip(dilation, kernel, size, padding, strict=True)):
        kernel, padding = [1, 1], [0, 0]
    same = mode == "zeros" and draw(st.integers(0, 5)) == 0
    return nn.Conv2d(
        channels,
        out,
        tuple(kernel),
        1 if same else stride,
        "same" if same else tuple(padding),
        tuple(dilation),
        groups,
        bias=draw(st.booleans()),
        padding_mode=mode,
    )


def _stem(draw: Draw, x: Tensor) -> nn.Module:
    """Local whatever an engine makes of the other modes."""
    return _convolution(draw, x, ("zeros",))


def _max_pool(draw: Draw, x: Tensor) -> nn.Module:
    kernel, dilation, padding = _fitting(draw, x.shape[2:], [2, 3, 3, 1, 5], [1, 1, 2])
    stride = draw(st.one_of(st.none(), st.just(_pair(draw, st.integers(1, 4)))))
    return nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=draw(st.booleans()))


def _average_pool(draw: Draw, x: Tensor) -> nn.Module:
    kernel, _, padding = _fitting(draw, x.shape[2:], [2, 3, 3, 1, 5], [1])
    return nn.AvgPool2d(
        kernel,
        draw(st.one_of(st.none(), st.just(_pair(draw, st.integers(1, 4))))),
        padding,
        ceil_mode=draw(st.booleans()),
        count_include_pad=draw(st.booleans()),
        divisor_override=draw(st.sampled_from([None, None, 3])),
    )


def _adaptive_pool(draw: Draw, x: Tensor) -> nn.Module:
    kind = draw(st.sampled_from([nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d]))
    return kind(draw(st.sampled_from([1, 2, 3, 5, 7, (2, 4), (None, 3), (6, 1)])))


def _batch_norm(draw: Draw, x: Tensor) -> nn.Module:
    return nn.BatchNorm2d(x.shape[1], eps=draw(st.sampled_from([1e-5, 1e-3])), affine=draw(st.booleans()))


def _response_norm(draw: Draw, x: Tensor) -> nn.Module:
    size, beta, k = draw(st.integers(1, 6)), draw(st.sampled_from([0.75, 0.5, 1.0])), draw(st.sampled_from([1.0, 2.0]))
    return nn.LocalResponseNorm(size, draw(st.sampled_from([1e-4, 0.1, 1.0])), beta, k)


# Continuous ones: where a function jumps, rounding decides, and two exact methods may differ.
OUT_OF_PLACE = ["F.relu(x)", "x.relu()", "torch.relu(x)", "torch.sigmoid(x)", "x.tanh()", "F.silu(x)", "F.gelu(x)"]
OUT_OF_PLACE += [
    "F.leaky_relu(x, 0.1)",
    "F.elu(x)",
    "F.hardswish(x)",
    "x.clamp(-1, 1.5)",
    "F.softplus(x)",
    "F.relu6(x)",
]
IN_PLACE = ["x.relu_()", "F.relu(x, inplace=True)", "F.relu_(x)", "F.leaky_relu(x, 0.2, True)", "x.clamp_(min=-0.5)"]


def _activation(draw: Draw, x: Tensor, in_place: bool = True) -> nn.Module:
    options = [f"return {text}" for text in OUT_OF_PLACE + IN_PLACE * in_place]
    modules = [nn.ReLU(), nn.ReLU(inplace=in_place), nn.PReLU(x.shape[1]), nn.Hardtanh(-1, 2), nn.GELU("tanh")]
    modules += [nn.SiLU(inplace=in_place), nn.Softplus(), nn.ELU(inplace=in_place), nn.Mish()]
    choice = draw(st.sampled_from(range(len(options) + 2 * len(modules))))
    return Code(options[choice]) if choice < len(options) else modules[(choice - len(options)) % len(modules)]


def _dropout(draw: Draw, x: Tensor) -> nn.Module:
    forms = [nn.Dropout(), nn.Dropout2d(), nn.Dropout(inplace=True), nn.Identity()]
    return draw(st.sampled_from([*forms, Code("return F.dropout(x, 0.3, self.training)")]))


def _arithmetic(draw: Draw, x: Tensor) -> nn.Module:
    channels, height, width = x.shape[1:]
    texts = ["return 2 * x - 0.3", "return x * self.scale", "return (x - self.shift) / (1 + self.scale.abs())"]
    texts += ["return x + self.map", "return 1 - x.abs()", "return torch.maximum(x, self.shift)"]
    texts += ["x = x * 1.5; x += self.shift; return x", "x = x + 0.1; x[:, :1] = 0.5; return x"]
    texts += ["return x * self.number.exp()", "return self.number.float() - x"]  # numbers have no dimension
    parts = {"number": torch.ones((), dtype=torch.float64)}
    parts |= {"scale": torch.ones(channels, 1, 1), "shift": torch.ones(1, channels, 1, 1)}
    return Code(draw(st.sampled_from(texts)), **parts, map=torch.ones(1, channels, height, width))


def _slice(draw: Draw, x: Tensor) -> nn.Module:
    channels, height, width = x.shape[1:]
    texts = ["return x[:, ::2]", "return x[:, -1:]", "return x.flip(1)", "return torch.cat(x.chunk(2, 1), 1)"]
    if channels > 1:
        texts += ["return x[:, [1, 0]]", "a, b = x.split([1, x.size(1) - 1], 1); return b * a", "return x[:, 1:]"]
    if min(height, width) > 3:
        texts += ["return x[:, :, 1:-1, 1:-1]", "return x[..., 2:]", "return x[:, :, ::2, 1::2]", "return x[:, :, :-1]"]
    return Code(draw(st.sampled_from(texts)))


def _preserving(draw: Draw, x: Tensor) -> nn.Module:
    """A step that keeps the shape."""
    channels = x.shape[1]
    kind = draw(st.sampled_from(["conv", "conv", "depthwise", "pool", "norm", "act", "lrn"]))
    if kind in ("conv", "depthwise"):
        kernel, dilation = draw(st.sampled_from([(3, 1), (1, 1), (5, 1), (3, 2)]))
        groups = channels if kind == "depthwise" else 1
        return nn.Conv2d(channels, channels, kernel, 1, dilation * (kernel // 2), dilation, groups, draw(st.booleans()))
    if kind == "pool":
        return draw(st.sampled_from([nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1), nn.MaxPool2d(5, 1, 2)]))
    if kind == "norm":
        return _batch_norm(draw, x)
    return _activation(draw, x) if kind == "act" else _response_norm(draw, x)


def _body(draw: Draw, x: Tensor) -> nn.Sequential:
    return nn.Sequential(*(_preserving(draw, x) for _ in range(draw(st.integers(1, 3)))))


# In-place sums and an in-place activation at the front of a branch, which changes what the other branch reads.
JOINS = ["return x + self.body(x)", "y = self.body(x); y += x; return y", "y = self.body(x); x += y; return x"]
JOINS += ["return torch.add(self.body(x), x, alpha=0.5)", "return F.relu(self.body(x) + x)", "return x * self.body(x)"]
JOINS += ["return x - self.body(x)", "return torch.maximum(x, self.body(x))", "return x.add_(self.body(x))"]
JOINS += ["return self.other(x) + self.body(x)", "y = self.body(x); y += self.other(x); return F.relu_(y)"]
JOINS += ["return x.mul(self.body(x).sigmoid())", "y = self.body(x); y *= x; return y"]


def _residual(draw: Draw, x: Tensor) -> nn.Module:
    text = draw(st.sampled_from(JOINS))
    other = {"other": _body(draw, x)} if "self.other" in text else {}
    return Code(text, body=_body(draw, x), **other)


def _shortcut(draw: Draw, x: Tensor) -> nn.Module:
    """Two ways down to half the size, added."""
    channels, out = x.shape[1], draw(st.integers(1, CHANNELS))
    down = [
        nn.Conv2d(channels, out, 1, 2),
        nn.Sequential(nn.AvgPool2d(2, 2, ceil_mode=True), nn.Conv2d(channels, out, 1)),
    ]
    body = nn.Sequential(
        nn.Conv2d(channels, out, 3, 2, 1), nn.BatchNorm2d(out), nn.ReLU(True), nn.Conv2d(out, out, 3, 1, 1)
    )
    texts = [
        "return self.body(x) + self.down(x)",
        "y = self.body(x); y += self.down(x); return F.relu(y, inplace=True)",
    ]
    return Code(draw(st.sampled_from(texts)), body=body, down=draw(st.sampled_from(down)))


def _concatenation(draw: Draw, x: Tensor) -> nn.Module:
    """Branches that see differently far; where they shrink differently, the larger are cropped."""
    channels = x.shape[1]
    kernels = draw(st.lists(st.sampled_from([1, 3, 5]), min_size=2, max_size=3))
    padded = draw(st.booleans()) or min(x.shape[2:]) < 6
    branches = [nn.Conv2d(channels, draw(st.integers(1, 4)), k, padding=k // 2 if padded else 0) for k in kernels]
    if draw(st.booleans()):
        branches[0] = nn.Sequential(nn.MaxPool2d(3, 1, 1), branches[0])
    if draw(st.integers(0, 3)) == 0:
        branches[0] = nn.Sequential(branches[0], nn.ReLU(True))
    parts = {"abc"[i]: branch for i, branch in enumerate(branches)}
    names = [f"self.{name}(x)" for name in parts]
    if padded:
        names += ["x"] * draw(st.integers(0, 1))
        return Code(f"return torch.cat([{', '.join(names)}], {draw(st.sampled_from([1, -3]))})", **parts)
    crop = f"[:, :, :x.size(2) - {max(kernels) - 1}, :x.size(3) - {max(kernels) - 1}]"
    return Code(f"return torch.cat([{', '.join(name + crop for name in names)}], dim=1)", **parts)


def _attention(draw: Draw, x: Tensor) -> nn.Module:
    """What the whole map decides, given to every place; and what all channels decide at one place."""
    channels = x.shape[1]
    texts = ["return x * self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))).sigmoid()"]
    texts += ["s = F.adaptive_avg_pool2d(x, 1); return x * torch.sigmoid(self.up(self.down(s).relu_()))"]
    texts += ["return x * torch.sigmoid(x.mean(1, keepdim=True))", "return x * F.softmax(x, 1)"]
    texts += ["return x + x.amax((2, 3), keepdim=True)", "return x - x.mean([-2, -1], True)"]
    hidden = draw(st.integers(1, 3))
    parts = {"down": nn.Conv2d(channels, hidden, 1), "up": nn.Conv2d(hidden, channels, 1)}
    text = draw(st.sampled_from(texts))
    return Code(text, **parts) if "self" in text else Code(text)


def _channels_last(draw: Draw, x: Tensor) -> nn.Module:
    """Layers that want the channels last, as in ConvNeXt."""
    channels = x.shape[1]
    wide = draw(st.integers(1, 2 * CHANNELS))
    texts = ["self.up(F.gelu(self.down(self.norm(y))))", "F.layer_norm(y, (y.shape[-1],))", "self.norm(y).relu()"]
    texts += ["self.shift + self.norm(y) * self.scale", "y + self.up(self.down(y).tanh())", "self.up(self.down(y)) * y"]
    texts += [f"F.layer_norm(y, ({channels},), self.scale, self.shift, 0.1)", "self.norm(y) - y.mean((1, 2), True)"]
    there, back = draw(st.sampled_from([("0, 2, 3, 1", "0, 3, 1, 2"), ("0, -2, 3, -3", "(0, -1, 1, 2)")]))
    text = f"y = x.permute({there}); y = {draw(st.sampled_from(texts))}; y = y.permute({back}); return "
    parts = {"norm": nn.LayerNorm(channels), "down": nn.Linear(channels, wide), "up": nn.Linear(wide, channels)}
    parts |= {"scale": torch.ones(channels), "shift": torch.ones(channels), "factor": torch.ones(channels, 1, 1)}
    return Code(text + draw(st.sampled_from(["y", "x + y", "x + self.factor * y"])), **parts)


def _reused(draw: Draw, x: Tensor) -> nn.Module:
    return Code(
        draw(st.sampled_from(["return self.a(self.a(x))", "return self.a(x.relu()) + self.a(x)"])), a=_body(draw, x)
    )


def _foreign(draw: Draw, x: Tensor) -> nn.Module:
    """What no engine knows, or what looks at the whole map."""
    channels, height, width = x.shape[1:]
    modules: list[nn.Module] = []
    if channels * height * width > 1:
        modules.append(nn.GroupNorm(1, channels))
    if height * width > 1:
        modules.append(nn.InstanceNorm2d(channels, affine=True))
    texts = [
        "return x.transpose(2, 3)",
        "return x.flip(3)",
        "return torch.roll(x, 1, 2)",
        "return F.pad(x, (1, 0, 2, 1))",
    ]
    texts += [
        "return F.normalize(x + 0.1, dim=1)",
        "return x.cumsum(3) / x.size(3)",
        "return F.pad(x, (1, 1, 0, 1), value=0.7)",
    ]
    texts += ["return F.softmax(x.flatten(2), 2).view(x.shape) * 5", "return x * x.mean(2, True).sigmoid()"]
    channels_last = "return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)"
    modules += [nn.ReplicationPad2d((1, 2, 0, 1)), Code(channels_last, norm=nn.LayerNorm(channels))]
    if min(height, width) > 1:
        modules.append(nn.ReflectionPad2d((0, 1, 1, 1)))
    if height * width <= 400:
        modules += [nn.ConvTranspose2d(channels, channels, 2, 2), nn.ConvTranspose2d(channels, channels, 3, 2, 1)]
        texts += ["return F.interpolate(x, scale_factor=2)", "return F.interpolate(x, size=(9, 11), mode='bilinear')"]
    if channels % 2 == 0:
        texts += ["n, c, h, w = x.shape; return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)"]
    choice = draw(st.sampled_from(range(len(modules) + len(texts))))
    return modules[choice] if choice < len(modules) else Code(texts[choice - len(modules)])


# What a batch decides for each of its images; all of it is defined for one image. Numbers of no dimension are among it.
COUPLED = ["return x / (1 + x.abs().amax())", "return x - x.mean(0, keepdim=True) / 2", "return x * x.abs().mean()"]
COUPLED += ["return x * (0.5 + float(x.abs().amax()))", "return x + x.flatten(1).softmax(0).mean()"]
COUPLED += ["return x * x.flatten(1).norm() / x.numel()", "return x / x.std().clamp(min=0.3)"]
COUPLED += ["s = x.amax(); x = x.clone(); x /= 1 + s.abs(); return x", "return x - x.flatten().sort()[0][-1] / 3"]


def _coupled(draw: Draw, x: Tensor) -> nn.Module:
    """A step by which the images of a batch influence one another."""
    return Code(draw(st.sampled_from(COUPLED)))


STEPS = [_convolution] * 6 + [_max_pool] * 2 + [_average_pool, _adaptive_pool, _batch_norm, _response_norm, _dropout]
STEPS += [_activation] * 3 + [_residual, _residual, _shortcut, _concatenation, _concatenation, _arithmetic, _slice]
STEPS += [_attention, _reused, _channels_last]


# What can be undone exactly: texts, those that need even channels, and modules.
MOVES = ["return x.transpose(2, 3)", "return x.permute(0, 1, 3, 2).contiguous()", "return x.flip(3)", "return x.mT"]
MOVES += [
    "return torch.roll(x, (1, 2), (2, 3))",
    "return F.pad(x, (1, 0, 2, 1))",
    "return F.pad(x, (1, -1), value=0.7)",
]
MOVES += ["return x.flatten(2).transpose(1, 2).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)"]
MOVES += ["return F.interpolate(x, size=(9, 11), mode='bilinear')", "return F.interpolate(x, (7, 8), mode='area')"]
MOVES += [
    "return x.select(1, 0).unsqueeze(1)",
    "return torch.stack([x, -x], 2).flatten(1, 2)",
    "return x.cumsum(3) / 4",
]
MOVES += ["return torch.cat([x, torch.zeros_like(x[:, :2])], 1)", "return x.sum(1, keepdim=True).expand_as(x) / 3"]
MOVES += ["return (x.double() * 0.5).to(x)", "x = x.clone(); x[:, :, 1:] = 0.5 * x[:, :, :-1]; return x", "return -x"]
MOVES += ["return x.permute(0, 2, 3, 1).matmul(torch.eye(x.shape[1]).to(x) + 0.2).permute(0, 3, 1, 2)"]
MOVES += ["return (x - x.mean((2, 3), keepdim=True)) / 0.8", "return torch.sub(1, x, alpha=0.4)"]
EVEN = ["n, c, h, w = x.shape; return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)"]
EVEN += ["a, b = x.chunk(2, 1); return a - b", "return torch.cat(torch.split(x, x.shape[1] // 2, 1)[::-1], 1)"]
CLAMPS = [
    "F.relu(x)",
    "F.relu6(3 * x)",
    "x.clamp(0, 0.5)",
    "x.clamp_(min=0)",
    "F.hardtanh(x, 0, 1)",
    "x.clamp(max=0.3)",
]
LEAKS = ["F.leaky_relu(x, 0.2)", "x.clamp(-0.4, 1)", "F.hardtanh(x)", "F.leaky_relu(x, 0.1, True)"]


def _move(draw: Draw, x: Tensor) -> nn.Module:
    channels, height, width = x.shape[1:]
    modules: list[nn.Module] = [nn.ReplicationPad2d((1, 2, 0, 1)), nn.ZeroPad2d((0, 1, 2, 0)), nn.Upsample((8, 6))]
    if min(height, width) > 1:
        modules.append(nn.ReflectionPad2d((0, 1, 1, 1)))
    if height * width <= 400:
        modules.append(nn.ConvTranspose2d(channels, channels, 3, 2, 1))
    texts = MOVES + EVEN * (channels % 2 == 0)
    choice = draw(st.sampled_from(range(len(modules) + len(texts))))
    return modules[choice] if choice < len(modules) else Code(texts[choice - len(modules)])


def _clamp(draw: Draw, x: Tensor) -> nn.Module:
    modules = [nn.ReLU6(), nn.ReLU(inplace=True), nn.PReLU(x.shape[1]), nn.LeakyReLU(0.3)]
    choice = draw(st.sampled_from([*modules, *CLAMPS, *LEAKS]))
    return Code(f"return {choice}") if isinstance(choice, str) else choice


UNDONE = [_convolution, _convolution, _max_pool, _average_pool, _batch_norm, _response_norm, _dropout, _clamp, _clamp]
UNDONE += [_move] * 5 + [_arithmetic, _slice, _shortcut, _concatenation]


# ---------------------------------------------------------------- the picture's end, and the classes' end


def _preamble(draw: Draw, x: Tensor) -> list[nn.Module]:
    """What models do to the picture before the first filter; nothing in place, for the picture is the user's."""
    channels, height, width = x.shape[1:]
    texts = [
        "return (x - self.mean) / (0.2 + self.std.abs())",
        "return 2 * x - 1",
        f"return x.view(-1, {channels}, {height}, {width})",
    ]
    texts += ["return x[:, :, 1:-1, 1:-1]", "return x.contiguous()", "return x[:, :1]"]
    if channels > 2:
        texts += ["return x[:, [2, 1, 0]]", "return torch.cat([x[:, 1:], x[:, :1]], 1)"]
    parts = {"mean": torch.ones(1, channels, 1, 1), "std": torch.full((channels, 1, 1), 0.3)}
    chosen = draw(st.lists(st.sampled_from(texts), max_size=1))
    return [Code(text, **parts) if "self" in text else Code(text) for text in chosen]


def _head(draw: Draw, x: Tensor, channels_last: bool) -> list[nn.Module]:
    channels, height, width = x.shape[1:]
    classes, numbers = draw(st.sampled_from([5, 3, 2, 1, 7])), channels * height * width
    kind = draw(st.sampled_from(["flatten", "flatten", "mean", "mean", "conv", "hidden", "own"]))
    mean = ["return x.mean((2, 3))", "return x.mean([-1, -2])", "return x.mean(3).mean(2)", "return x.amax((2, 3))"]
    mean += [
        "return F.adaptive_avg_pool2d(x, 1).flatten(1)",
        "return F.avg_pool2d(x, x.size()[2:]).squeeze(3).squeeze(2)",
    ]
    flat = ["return x.flatten(1)", "return torch.flatten(x, 1)", "return x.reshape(x.shape[0], -1)"]
    flat += ["return x.permute(0, 2, 3, 1).reshape(x.size(0), -1)"]
    if not channels_last:  # such a view of channels_last memory does not exist
        flat += ["return x.contiguous().view(x.size(0), -1)", f"return x.contiguous().view(-1, {numbers})"]
    layers: list[nn.Module] = []
    if kind == "conv":
        layers = [nn.Conv2d(channels, classes, 1), Code(draw(st.sampled_from(mean)))]
    elif kind == "own":  # the features themselves are the answer
        layers = [Code(draw(st.sampled_from(flat + mean)))]
    elif kind == "mean":
        layers = [Code(draw(st.sampled_from(mean))), nn.Linear(channels, classes)]
    else:
        layers = [draw(st.sampled_from([nn.Flatten(), *map(Code, flat)]))]
        if kind == "hidden":
            layers += [nn.Linear(numbers, 9), _activation(draw, torch.zeros(1, 9)), nn.Dropout(), nn.Linear(9, classes)]
        else:
            layers += [nn.Linear(numbers, classes, bias=draw(st.booleans()))]
    last = ["return F.softmax(x, 1)", "return x.log_softmax(-1)", "return x.sigmoid()"]
    return layers + [Code(text) for text in draw(st.lists(st.sampled_from(last), max_size=1))]


# ---------------------------------------------------------------- strategies


@dataclass(frozen=True)
class Case:
    """One experiment: occlusion_map(model, image, window=window, stride=stride, fill=fill, layer=layer)."""

    model: nn.Module
    image: Tensor
    window: tuple[int, int]
    stride: tuple[int, int]
    fill: Any
    layer: str | None
    channels_last: bool

    def __repr__(self) -> str:
        fill = f"tensor {list(self.fill.shape)}" if isinstance(self.fill, Tensor) else self.fill
        how = f"{self.image.dtype}, channels_last={self.channels_last}, layer={self.layer!r}"
        places = f"window={self.window}, stride={self.stride}, fill={fill}"
        return f"Case(image={list(self.image.shape)}, {places}, {how},\n{self.model!r})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # or hypothesis prints every pixel


def normal(shape: Any, seed: int) -> Tensor:
    """A float32 tensor that depends on the seed alone."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@st.composite
def networks(
    draw: Draw,
    image: Tensor,
    channels_last: bool = False,
    foreign: bool = False,
    coupled: bool = False,
    kinds: Sequence[Callable[[Draw, Tensor], nn.Module]] = STEPS,
) -> nn.Sequential:
    """A network for this picture. foreign: somewhere in it, a step that is not local or not known. coupled: one that
    mixes the images of a batch. kinds: what its steps are drawn from.
    """
    with torch.no_grad():
        x = image[None].clone()
        layers = _preamble(draw, x)
        for layer in layers:
            x = layer(x)
        steps = [draw(st.sampled_from(kinds)) for _ in range(draw(st.integers(0, 5)))]
        if foreign:
            steps.insert(draw(st.integers(0, len(steps))), _foreign)
        if coupled:
            steps.insert(draw(st.integers(0, len(steps))), _coupled)
        for step in [_stem, *steps]:
            layers.append(step(draw, x).eval())
            # The numbers do not matter yet; a constant map survives every in-place step.
            x = layers[-1](x.clone()).clone()
            if x[0].numel() > 30_000 and not coupled:
                break
        layers += _head(draw, x, channels_last)
    model = randomise(nn.Sequential(*layers), draw(st.integers(0, 1 << 16)))
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    calibrate(model, image)
    return model


def named_maps(model: nn.Module, image: Tensor) -> list[str]:
    """The layers that give one map or vector per picture."""
    found: list[str] = []
    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: found.append(name) if output.dim() > 1 else None)
        for name, module in model.named_modules()
        if name
    ]
    with torch.no_grad():
        model(image[None].clone())
    for handle in handles:
        handle.remove()
    return sorted(set(found))


def _starts(draw: Draw, length: int) -> tuple[int, int]:
    """Window and stride of one side: one pixel, everything, and what is between; few enough places."""
    window = draw(st.one_of(st.integers(1, length), st.integers(1, min(6, length)), st.sampled_from([1, length])))
    least = -(-(length - window) // round(PLACES**0.5)) or 1
    return window, draw(st.one_of(st.integers(least, max(least, 8)), st.integers(least, length + 2)))


# Numbers of another order than those before, infinity too; and what makes ordinary ones of them again.
STEEP = ["torch.exp(F.relu(x) * 3)", "1 / F.relu(x)", "torch.log(F.relu(x))", "F.relu(x) ** 6", "x"]
FLAT = ["torch.tanh(x * 1e-2)", "torch.sigmoid(x * 1e-2)", "torch.nan_to_num(x, 0.5, 2.0, -2.0).clamp(-3, 3)"]


@st.composite
def steep_cases(draw: Draw) -> Case:
    """As cases, with some very large pixels and steps that give numbers of another order, infinity among them."""
    found = draw(cases(layers=False))
    image, layers = found.image.clone(), list(found.model)
    first = next(i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)) + 1
    channels = layers[first - 1].out_channels
    again = randomise(nn.Conv2d(channels, channels, 3, padding=1), draw(st.integers(0, 99))).to(image.dtype)
    if draw(st.booleans()):  # no differences of infinities in the network itself
        for layer in (layers[first - 1], again):
            layer.weight.data.abs_()
        image = image.abs()
    steep, flat = draw(st.sampled_from(STEEP)), draw(st.sampled_from(FLAT))
    layers[first:first] = [Code(f"return {steep}"), again, Code(f"return {flat}")]
    if draw(st.booleans()):  # a mean over the steep map itself
        layers = [*layers[: first + 2], Code(f"x = x.mean((2, 3)); return {flat}")]
    side = draw(st.integers(0, 4))
    top, left = (draw(st.integers(0, length - 5)) for length in image.shape[1:])
    image[:, top : top + side, left : left + side] *= draw(st.sampled_from([1e3, 1e6, -1e6]))
    return replace(found, model=nn.Sequential(*layers).eval(), image=image)


@st.composite
def cases(draw: Draw, *, foreign: bool = False, layers: bool = True, coupled: bool = False) -> Case:
    height, width = draw(st.integers(9, 40)), draw(st.integers(9, 40))
    shape, seed = (draw(st.integers(1, 4)), height, width), draw(st.integers(0, 1 << 16))
    image = normal(shape, seed)
    channels_last = draw(st.integers(0, 3)) == 0
    model = draw(networks(image, channels_last, foreign, coupled))
    (window_h, stride_h), (window_w, stride_w) = _starts(draw, height), _starts(draw, width)
    paints = [0.0, -1.5, [0.1 * i for i in range(shape[0])], normal(shape, seed + 1), normal((shape[0], 1, 1), seed)]
    blurred = F.avg_pool2d(image, 3, 1, 1)
    paints += [normal((1, *shape), seed + 2), normal((1, 1, width), seed), blurred]
    fill: Any = draw(st.sampled_from([*paints, "mean", "blur", "noise"]))
    if (
        not isinstance(fill, str) and draw(st.integers(0, 4)) == 0
    ):  # in the middle a window covers nothing but what the occluder is made of
        paint = torch.tensor(fill)[:, None, None] if isinstance(fill, list) else torch.as_tensor(fill)
        inside = (..., slice(height // 4, -(height // 4)), slice(width // 4, -(width // 4)))
        image = image.clone()
        image[inside] = paint.expand(1, *shape)[0][inside]
    layer = draw(st.one_of(st.none(), st.sampled_from(named_maps(model, image)))) if layers else None
    if draw(st.integers(0, 2)) == 0:
        model, image = model.double(), image.double()
        fill = fill.double() if isinstance(fill, Tensor) else fill
    return Case(model, image, (window_h, window_w), (stride_h, stride_w), fill, layer, channels_last)
