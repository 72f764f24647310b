"""Which functions are proven to compute the images of a batch independently, and what the others are told.

A rule that is wrong would let images influence one another, so each function that is said to be proven is also run with
and without unlike company.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.independence import coupling

Function = Callable[..., Any]
SHAPE = (1, 3, 8, 8)


class Uses(nn.Module):
    """A function of an image and of modules, in eval mode."""

    def __init__(self, function: Function, *modules: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(modules)
        self.eval()

    def forward(self, x: Tensor) -> Any:
        return self.function(x, *self.parts)


def rows(x: Tensor) -> Tensor:
    """[N,C,H,W] -> [N,H,C * W]: a sequence for each image."""
    return x.permute(0, 2, 1, 3).flatten(2)


def painted(x: Tensor) -> Tensor:
    canvas = torch.zeros_like(x)
    canvas[:, :, 1:5] = x[:, :, 1:5]
    return canvas


def turned(x: Tensor) -> Tensor:
    grid = F.affine_grid(torch.eye(2, 3).expand(len(x), -1, -1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def filters_of_its_own(x: Tensor, layer: nn.Module) -> Tensor:
    n, c, h, w = x.shape
    filters = layer(x.mean((2, 3))).view(n * 4, c, 1, 1)
    return F.conv2d(x.reshape(1, n * c, h, w), filters, groups=n).view(n, 4, h, w)


def with_a_class_token(x: Tensor, layer: nn.Module) -> Tensor:
    tokens = torch.cat([torch.ones(1, 1, 24).expand(len(x), -1, -1), rows(x)], 1)
    return layer(tokens)[:, 0]


def shifted_windows(x: Tensor) -> Tensor:
    """Attention within windows, as Swin does it: the windows of all images lie in one dimension."""
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).roll((-2, -2), (1, 2)).view(n, h // 4, 4, w // 4, 4, c).transpose(2, 3).reshape(-1, 16, c)
    attention = x @ x.transpose(1, 2)
    attention = attention.view(n, -1, 16, 16) + torch.arange(4.0)[:, None, None]
    x = attention.view(-1, 16, 16).softmax(-1) @ x
    return x.view(n, 2, 2, 4, 4, c).transpose(2, 3).reshape(n, h, w, c)


INDEPENDENT: dict[str, Function] = {
    "itself": lambda x: x,
    "by its own maximum": lambda x: x / x.amax((1, 2, 3), keepdim=True),
    "by its own spread": lambda x: (x - x.mean((1, 2, 3), True)) / x.std((1, 2, 3), keepdim=True),
    "by how many there are": lambda x: x.sum((1, 2, 3)) / (len(x) / len(x)),
    "convolution": Uses(lambda x, a, b: b(a(x).relu()), nn.Conv2d(3, 6, 3, 2, 1), nn.ConvTranspose2d(6, 2, 2, 2)),
    "convolution along lines": Uses(lambda x, a: a(x.flatten(2)), nn.Conv1d(3, 4, 3)),
    "filters of its own": Uses(filters_of_its_own, nn.Linear(3, 12)),
    "norms": Uses(
        lambda x, *parts: nn.Sequential(*parts)(x),
        nn.BatchNorm2d(3),
        nn.InstanceNorm2d(3, affine=True),
        nn.GroupNorm(1, 3),
        nn.LayerNorm([8, 8]),
        nn.LocalResponseNorm(3),
    ),
    "pooling": lambda x: F.adaptive_avg_pool2d(F.avg_pool2d(F.max_pool2d(x, 3, 2, 1), 2), 1),
    "unpooling": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    "other sizes": lambda x: F.pad(F.interpolate(x, scale_factor=2, mode="bicubic"), (1, 2, 3, 1), mode="reflect"),
    "sampled": turned,
    "linear": Uses(lambda x, a: a(x.flatten(1)), nn.Linear(192, 5)),
    "linear on the left": lambda x: (torch.ones(4, 192) @ x.flatten(1).T).T,
    "einsum": lambda x: torch.einsum("nchw,cd->nd", x, torch.ones(3, 5)),
    "LSTM along lines": Uses(
        lambda x, a: a(rows(x))[0][:, -1], nn.LSTM(24, 5, 2, batch_first=True, bidirectional=True)
    ),
    "LSTM, lines first": Uses(lambda x, a: a(rows(x).transpose(0, 1))[0][-1], nn.LSTM(24, 5)),
    "attention": Uses(lambda x, a: a(rows(x), rows(x), rows(x))[0], nn.MultiheadAttention(24, 4, batch_first=True)),
    "attention, lines first": Uses(
        lambda x, a: a(*[rows(x).transpose(0, 1)] * 3)[0].transpose(0, 1), nn.MultiheadAttention(24, 4)
    ),
    "transformer": Uses(with_a_class_token, nn.TransformerEncoderLayer(24, 4, 32, batch_first=True)),
    "attention in windows": shifted_windows,
    "both ways round": lambda x: sum(torch.cat([x, x.flip(3)]).relu().chunk(2)),
    "joined and cut": lambda x: torch.cat([x, torch.stack([x, -x], 2).unbind(2)[1]], 1).split([2, 4], 1)[1],
    "chosen channels": lambda x: x[:, [2, 1, 0]][:, :, 1:-1, ::2],
    "chosen pixels": lambda x: x[:, :, [0, 3], [1, 1]],
    "largest": lambda x: x.flatten(1).topk(5)[0],
    "painted": painted,
    "frequencies": lambda x: torch.fft.rfft2(x).abs(),
    "in place": lambda x: x.clone().mul_(2).relu_().add_(x),
    "repeated": lambda x: x.repeat(1, 2, 1, 1).unfold(2, 3, 2).tril(),
    "without attributes": lambda x: x.new_zeros(len(x), 2) + x.sum((2, 3))[:, :2] + x.new_ones(2),
    "half precision": lambda x: x.bfloat16().float().to(torch.float64),
}


def kept(x: Tensor) -> Tensor:
    log = [x]
    return x.sum((1, 2, 3)) if log[0].sum() > 0 else -x.sum((1, 2, 3))


def through_memory(x: Tensor) -> Tensor:
    """As a function in C++ reads and writes it."""
    result = torch.empty_like(x)
    ctypes.memmove(result.data_ptr(), x.data_ptr(), 4 * x.numel())
    return result


def into_one_of_its_own(x: Tensor, canvas: Tensor | None = None) -> Tensor:
    canvas = torch.zeros(x.shape)
    canvas[:, :2] = x[:, :2]
    return canvas


# What the reason has to name.
COUPLED: dict[str, tuple[Function, str]] = {
    "by the largest of all": (lambda x: x / x.amax(), "amax"),
    "less the mean of all": (lambda x: x - x.mean(0, keepdim=True), "mean"),
    "by a branch": (lambda x: x if x.max() > 1 else -x, "reads numbers"),
    "by a number": (lambda x: x * float(x.sum()), "reads numbers"),
    "kept aside": (kept, "reads numbers"),
    "through numpy": (lambda x: torch.from_numpy(x.detach().numpy()) * 2, "numpy"),
    "through its memory": (through_memory, "followed"),
    "chosen for the first": (lambda x: x.flatten(1) + x.flatten(1).gather(1, torch.arange(192)[None]), "gather takes"),
    "through a list": (lambda x: torch.tensor(x.tolist()), "tolist"),
    "softmax over the batch": (lambda x: x.softmax(0), "softmax"),
    "LSTM along the batch": (Uses(lambda x, a: a(x.flatten(1))[0], nn.LSTM(192, 5)), "rnn"),
    "attention along the batch": (Uses(lambda x, a: a(*[rows(x)] * 3)[0], nn.MultiheadAttention(24, 4)), "bmm"),
    "statistics of the batch": (lambda x: F.batch_norm(x, None, None, training=True), "statistics"),
    "quantised as it comes": (
        Uses(lambda x, a: a(x.flatten(1)), torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(192, 4)))),
        "quantized",
    ),
    "by its number": (lambda x: x.sum((1, 2, 3)) + torch.arange(len(x)), "differs from image to image"),
    "its neighbour": (lambda x: x.roll(1, 0), "roll"),
    "sorted": (lambda x: x.sort(0)[0], "sort"),
    "all with all": (lambda x: x.flatten(1) @ x.flatten(1).T, "mm"),
    "pixels for images": (lambda x: x.permute(1, 0, 2, 3).reshape(len(x), -1), "apart"),
    "two for one": (lambda x: x.view(-1, 2 * 192), "invalid|apart"),
    "one more": (lambda x: torch.cat([x, torch.zeros(SHAPE)])[1:], "cat"),
    "for all of them": (lambda x: x.sum(), "sum"),
    "other than what came": (lambda x: x.transpose(0, 1), "first dimension"),
    "nothing of what came": (lambda x: torch.ones(len(x), 2), "not followed"),
    "in place, by all": (lambda x: x.clone().mul_(x.mean()), "mean"),
    "into one of its own": (into_one_of_its_own, "of its own"),
    "an operator without a rule": (lambda x: torch.cdist(x.flatten(2), x.flatten(2)), "not known"),
}


def reach(function: Function, image: Tensor, other: float) -> list[tuple[Tensor, Tensor]]:
    """What a function gives for an image alone, and beside others full of a number, on either side of it."""
    with torch.no_grad():
        alone = function(image.clone())
        pairs = []
        for place, count in itertools.product((0, 2), (3,)):
            batch = torch.full((count, *image.shape[1:]), other)
            batch[place] = image[0]
            pairs.append((function(batch)[place], alone[0]))
    return pairs


@pytest.mark.parametrize("name", INDEPENDENT)
def test_independent(name: str) -> None:
    function = INDEPENDENT[name]
    assert coupling(function, [torch.randn(SHAPE)]) is None
    for other in (0.0, 1e4, -1e4):
        for got, expected in reach(function, torch.randn(SHAPE), other):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", COUPLED)
def test_coupled(name: str) -> None:
    function, word = COUPLED[name]
    found = coupling(function, [torch.randn(SHAPE)])
    assert found is not None and any(part in found for part in word.split("|")), found


def test_copies_of_several_examples() -> None:
    """It is the copies of a batch that have to be independent; what its examples have in common is theirs."""
    x, y = torch.randn(2, 3, 4), torch.randn(2, 5)
    scale = torch.tensor([1.0, 2.0])
    assert coupling(lambda x, y: x.sum((1, 2)) + y.sum(1), [x, y]) is None
    assert coupling(lambda x, y: x.sum((1, 2)) * y, [x, scale]) is None
    assert coupling(lambda x: (x.view(-1, 2, 12) - x.view(-1, 2, 12).mean(1, True)).view(-1, 12), [x]) is None
    assert coupling(lambda x: x - x.mean(0), [x]) is not None
    assert coupling(lambda x, y: x.sum((1, 2)) + y.sum(), [x, y]) is not None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
def test_dtypes(dtype: torch.dtype) -> None:
    assert coupling(lambda x: (x * 2).flatten(1), [torch.ones(SHAPE, dtype=dtype)]) is None


def test_under_inference_mode_and_a_mode_of_the_users() -> None:
    counted = []

    class Counts(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            counted.append(func)
            return func(*args, **(kwargs or {}))

    layer = nn.Conv2d(3, 4, 3)
    example = torch.randn(SHAPE)
    with torch.inference_mode(), Counts():
        assert coupling(layer, [example]) is None
    assert counted == []


def test_a_stand_in_that_was_kept_says_so() -> None:
    log: list[Tensor] = []

    def function(x: Tensor) -> Tensor:
        log.append(x)
        return x * 2

    assert coupling(function, [torch.randn(SHAPE)]) is None
    with pytest.raises(RuntimeError, match="stand-in"):
        log[0] + 1
