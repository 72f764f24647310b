"""Concatenations that are read by parts, and what is fused before a 1x1 convolution: exact, and nothing is copied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.harness.random_networks import normal
from tests.occlusion.incremental.definition import METHOD, check
from tests.occlusion.incremental.networks import code, conv, same, sandwich
from tests.occlusion.test_memory import measured, of_one_forward
from tests.occlusion.test_occluder import close, expected
from zfcuda.network import trace
from zfcuda.occlusion.incremental.concatenation import Concatenation
from zfcuda.occlusion.incremental.engine import Plan
from zfcuda.occlusion.incremental.joined import Joined
from zfcuda.occlusion.incremental.ways import ConvolutionStep


def of(inputs: int, *args: Any, **kwargs: Any) -> Callable[[], nn.Module]:
    return lambda: nn.Conv2d(inputs, *args, **kwargs)


def norm(channels: int) -> Callable[[], nn.Module]:
    return lambda: nn.BatchNorm2d(channels)


# Of a map of 8 channels.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "rectangles of different sizes": code(
        "return self.p(torch.cat([self.a(x), self.b(x), x], 1))", a=same(1), b=same(5), p=of(24, 6, 1)
    ),
    "read by several": code(
        "y = torch.cat([self.a(x), x], 1); z = F.max_pool2d(y, 3, 1, 1); "
        "return torch.cat([self.p(y), self.q(y), self.c(y), z], 1)",
        a=same(3),
        p=of(16, 4, 1),
        q=of(16, 5, 1),
        c=of(16, 3, 3, padding=1),
    ),
    "read by all kinds": code(
        "y = torch.cat([self.a(x), x], 1); z = self.p(y); return z + y[:, 3:9] * y.mean((2, 3), True)[:, :6]",
        a=same(3),
        p=of(16, 6, 1),
    ),
    "nested": code(
        "y = torch.cat([self.a(x), x], 1); return self.p(torch.cat([y, self.b(x), y], 1))",
        a=same(3),
        b=same(5),
        p=of(40, 6, 1),
    ),
    "of one": code("return self.p(torch.cat([x], 1))", p=conv(6, 1)),
    "of one twice": code("return self.p(torch.cat([x, x], -3))", p=of(16, 6, 1)),
    "with itself added": code(
        "y = torch.cat([self.a(x), x], 1); return F.relu(self.p(y) + y)", a=same(3), p=of(16, 16, 1)
    ),
    "pooled": code(
        "y = F.max_pool2d(torch.cat([self.a(x), x], 1), 3, 2, 1); return torch.cat([self.p(y), self.q(y), y], 1)",
        a=same(5),
        p=of(16, 6, 1),
        q=of(16, 4, 3, padding=1),
    ),
    "averaged": code(
        "y = F.avg_pool2d(torch.cat([self.a(x), x], 1), 3, 2, 1); return self.p(torch.cat([self.q(y), y], 1))",
        a=same(5),
        q=of(16, 4, 3, padding=1),
        p=of(20, 6, 1),
    ),
    "of chunks": code(
        "return self.p(torch.cat([self.a(c) for c in x.chunk(2, 1)], 1))", a=of(4, 4, 3, padding=1), p=conv(6, 1)
    ),
    "with a stride": code("return self.p(torch.cat([self.a(x), x], 1))", a=same(3), p=of(16, 6, 1, stride=2)),
    "in groups": code("return self.p(torch.cat([self.a(x), x], 1))", a=same(3), p=of(16, 6, 1, groups=2)),
    "padded": code("return self.p(torch.cat([self.a(x), x], 1))", a=same(3), p=of(16, 6, 1, padding=1)),
}

# The sources of what is done before a 1x1 convolution, and how many steps have it fused.
BEFORE: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "norm and relu of a concatenation": (
        code(
            "return self.p(self.n(torch.cat([self.a(x), self.b(x), x], 1)).relu())",
            a=same(1),
            b=same(5),
            n=norm(24),
            p=of(24, 6, 1),
        ),
        1,
    ),
    "norm and relu": (code("return self.p(self.n(F.max_pool2d(x, 2)).relu_())", n=norm(8), p=conv(6, 1, stride=2)), 1),
    "norm alone": (code("return self.p(self.n(F.max_pool2d(x, 2)))", n=norm(8), p=conv(6, 1)), 1),
    "relu alone": (code("return self.p(F.relu(F.avg_pool2d(x, 2) - 0.2))", p=conv(6, 1)), 1),
    "relu of another convolution": (code("return self.p(F.relu(self.a(x)))", a=same(3), p=conv(6, 1)), 0),
    "relu, norm": (code("return self.p(self.n(F.max_pool2d(x, 2).relu()))", n=norm(8), p=conv(6, 1)), 1),
    "residual, before activation": (
        code(
            "y = F.avg_pool2d(x, 3, 1, 1); return y + self.q(self.p(self.n(y).relu()).relu())",
            n=norm(8),
            p=conv(6, 1),
            q=of(6, 8, 3, padding=1),
        ),
        1,
    ),
    "read twice": (code("y = self.n(F.max_pool2d(x, 2)).relu(); return self.p(y) + y", n=norm(8), p=conv(8, 1)), 0),
    "norm read twice": (
        code("y = self.n(F.max_pool2d(x, 2)); return self.p(y.relu()) + y", n=norm(8), p=conv(8, 1)),
        1,
    ),
    "a norm without numbers": (
        code(
            "return self.p(self.n(F.max_pool2d(x, 2)).relu())",
            n=lambda: nn.BatchNorm2d(8, affine=False, eps=0.1),
            p=conv(6, 1),
        ),
        1,
    ),
    "padded": (code("return self.p(self.n(F.max_pool2d(x, 2)).relu())", n=norm(8), p=conv(6, 1, padding=1)), 0),
    "3x3": (code("return self.p(self.n(F.max_pool2d(x, 2)).relu())", n=norm(8), p=conv(6, 3, padding=1)), 0),
    "in groups": (code("return self.p(self.n(F.max_pool2d(x, 2)).relu())", n=norm(8), p=conv(6, 1, groups=2)), 0),
}


@pytest.fixture
def image(device: torch.device) -> Tensor:
    return normal((3, 24, 27), 1).to(device)


def plan_of(model: nn.Module, image: Tensor) -> Plan:
    network = trace(model, image[None])
    output = network.names[""]
    nodes = [node.index for node in network.ancestors([output])]
    with torch.no_grad():
        return Plan(network, network.run(image[None], nodes), (24, 27), (9, 8), (7, 7), None)


@pytest.mark.parametrize("name", NETWORKS)
def test_concatenations_are_exact(name: str, image: Tensor) -> None:
    model = sandwich(NETWORKS[name](), image)
    check(model, image, window=(9, 8), stride=7)
    check(model.double(), image.double(), window=(9, 8), stride=7)


@pytest.mark.parametrize("name", BEFORE)
def test_what_comes_before_is_exact(name: str, image: Tensor) -> None:
    middle, count = BEFORE[name]
    model = sandwich(middle(), image)
    steps = plan_of(model, image).steps
    assert sum(bool(step.before) for step in steps if isinstance(step, ConvolutionStep)) == count
    check(model, image, window=(9, 8), stride=7)
    check(model.double(), image.double(), window=(9, 8), stride=7)


def test_only_who_needs_it_copies(image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    if image.device.type != "cpu":
        pytest.skip("concatenations are copied there")
    copied: list[Joined] = []
    copies = Joined.__dict__["values"].func

    def noted(joined: Joined) -> Tensor:
        copied.append(joined)
        values: Tensor = copies(joined)
        return values

    monkeypatch.setattr(Joined, "values", property(noted))
    for name in ("rectangles of different sizes", "nested", "with a stride", "of one twice"):
        model = sandwich(NETWORKS[name](), image)
        before = len(copied)
        zfcuda.occlusion_map(model, image, window=9, stride=7, method=METHOD)
        assert len(copied) == before, name
        assert any(isinstance(step, Concatenation) for step in plan_of(model, image).steps)
    zfcuda.occlusion_map(sandwich(NETWORKS["in groups"](), image), image, window=9, stride=7, method=METHOD)
    assert copied


@pytest.mark.parametrize("value", [-1e30, 1e30])
def test_very_large_numbers_pass_the_norm_as_before(value: float, image: Tensor) -> None:
    middle, _ = BEFORE["norm and relu of a concatenation"]
    model = sandwich(middle(), image)
    image = image.clone()
    image[1, 12, 14] = value
    maps: list[Any] = [zfcuda.occlusion_map(model, image, window=9, stride=7, method=m) for m in (METHOD, "batched")]
    torch.testing.assert_close(maps[0].logits, maps[1].logits, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_one_window_at_a_time(image: Tensor) -> None:
    for middle in (NETWORKS["nested"], NETWORKS["pooled"], BEFORE["norm and relu of a concatenation"][0]):
        model = sandwich(middle(), image)
        occluder = zfcuda.Occluder(model, image)
        for place in ((5, 11, 9, 9), (0, 0, 24, 27), (23, 3, 1, 1)):
            close(occluder(*place), expected(model, image, place))


class Dense(nn.Module):
    """Each layer reads all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 16, 3, padding=1), nn.Linear(80, 4)
        inputs = range(16, 80, 8)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in inputs)
        self.narrow = nn.ModuleList(nn.Conv2d(n, 16, 1) for n in inputs)
        self.wide = nn.ModuleList(nn.Conv2d(16, 8, 3, padding=1) for _ in inputs)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.first(x)]
        for norm, narrow, wide in zip(self.norms, self.narrow, self.wide, strict=True):
            maps.append(wide(torch.relu(narrow(torch.relu(norm(torch.cat(maps, 1)))))))
        return self.head(torch.relu(torch.cat(maps, 1)).mean((2, 3)))


def test_what_is_kept_is_counted(device: torch.device) -> None:
    torch.manual_seed(0)
    model, image = Dense().eval().to(device), torch.randn(3, 64, 64).to(device)
    once, budget = of_one_forward(model, image[None]), 24 << 20
    with measured(model) as live:
        zfcuda.occlusion_map(model, image, window=16, stride=16, method=METHOD, memory_budget=budget)
    assert live.peak <= budget + once
