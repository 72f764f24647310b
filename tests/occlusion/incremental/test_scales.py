"""Squeeze-and-excite and its like: maps that meet one number for all places of a channel change everywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.harness.random_networks import Code
from tests.occlusion.incremental.definition import METHOD, check, prepared
from tests.occlusion.incremental.networks import code, conv, same
from tests.occlusion.test_memory import measured, of_one_forward
from tests.occlusion.test_occluder import close, expected
from zfcuda.network import trace
from zfcuda.occlusion.incremental.engine import Plan
from zfcuda.occlusion.incremental.steps import Filling, InFull
from zfcuda.occlusion.prepared import base_values

IMAGE = torch.randn(3, 23, 20, generator=torch.Generator().manual_seed(0))
GATE = "s = torch.sigmoid(self.up(F.silu(self.down(x.mean((2, 3), True)))))"


def of(inputs: int, outputs: int, kernel: int = 1, **settings: int) -> Callable[[], nn.Module]:
    return lambda: nn.Conv2d(inputs, outputs, kernel, **settings)


# What stands between two convolutions, of a map of 8 channels; `down` and `up` make the numbers.
SCALES: dict[str, str] = {
    "times": "return s * x",
    "times, the map first": "return x * s",
    "plus": "return x + s",
    "in place": "x *= s; return x",
    "of a sum with what came before": "return F.silu(self.wide(x * s)) + x",
    "twice": "y = self.pointwise(x * s); return y * torch.sigmoid(y.mean((2, 3), True))",
    "one number for all channels": "return x * s[:, :1]",
    "grouped behind it": "return F.hardswish(self.grouped(x * s))",
    "pooled behind it": "return F.max_pool2d(x * s, 3, 2, 1)",
    "joined behind it": "return self.both(torch.cat([x * s, x], 1))",
    "itself and its function": "y = self.pointwise(x * s); return F.silu(y) + y",
    "functions in place": "y = self.pointwise(x * s); F.silu(y, inplace=True); return y + x",
    "modules in place": "y = self.silu(self.pointwise(x * s)); return self.hardswish(self.wide(y)) + y",
    "alone": "y = self.pointwise(x); return y * torch.sigmoid(y.mean((2, 3), True))",
    "alone twice": "y = self.pointwise(x * s); return self.wide(y * y.mean((2, 3), True).sigmoid())",
    "read again": (
        "y = self.pointwise(x * s); z = y * torch.sigmoid(y.mean((2, 3), True)); return self.both(torch.cat([z, y], 1))"
    ),
    "joined before": (
        "y = self.pointwise(x * s); z = torch.cat([y, x], 1); y = y * torch.sigmoid(y.mean((2, 3), True)); "
        "return y + self.both(z)"
    ),
    "its mean again": (
        "y = self.pointwise(x * s); z = y * torch.sigmoid(y.mean((2, 3), True)); "
        "return self.wide(z) + y.mean((2, 3), True)"
    ),
    "a quotient": "return self.wide(x / (s - 0.499999))",
    "large numbers": "return self.wide(x * (s / (s - 0.499999)))",
}


def between(text: str) -> nn.Module:
    parts = {"down": of(8, 4), "up": of(4, 8), "wide": same(3), "pointwise": of(8, 8), "both": of(16, 8)}
    parts |= {"grouped": conv(8, 3, padding=1, groups=4)}
    middle = code(f"{GATE}; {text}", **parts, silu=lambda: nn.SiLU(inplace=True), hardswish=lambda: nn.Hardswish(True))
    last = Code(
        "return self.fc(F.relu(self.last(x)).mean((2, 3)))", last=nn.Conv2d(8, 12, 3, padding=1), fc=nn.Linear(12, 5)
    )
    return prepared(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), middle(), last), IMAGE)


def planned(model: nn.Module) -> Plan:
    network = trace(model.eval(), IMAGE[None])
    base = base_values(network, IMAGE, [network.names[""]])
    return Plan(network, base, (23, 20), (6, 6), (5, 5), None)


@pytest.mark.parametrize("text", SCALES.values(), ids=SCALES)
def test_the_map_is_that_of_brute_force(text: str) -> None:
    model = between(text)
    result = check(model, IMAGE)
    assert "which needs whole maps" in result.reason
    check(model, IMAGE, memory_budget="least")
    check(model.double(), IMAGE.double())


@pytest.mark.parametrize("text", SCALES.values(), ids=SCALES)
def test_windows_one_by_one(text: str) -> None:
    model = between(text)
    occluder = zfcuda.Occluder(model, IMAGE)
    for rectangle in [(0, 0, 6, 6), (17, 9, 6, 11), (4, 3, 1, 1)]:
        close(occluder(*rectangle), expected(model, IMAGE, rectangle))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("times", [True]),
        ("alone", [True]),
        ("alone twice", [True, True]),
        ("read again", [True, False]),
        ("joined before", [False, False]),
        ("its mean again", [True, False, True]),
    ],
)
def test_maps_are_written_over_where_nobody_else_reads_them(text: str, expected: list[bool]) -> None:
    plan = planned(between(SCALES[text]))
    assert [step.alone for step in plan.steps if isinstance(step, Filling)] == expected


def test_what_comes_behind_runs_on_patches_that_fill_the_map() -> None:
    plan = planned(between(SCALES["modules in place"]))
    (filling,) = (step for step in plan.steps if isinstance(step, Filling))
    behind = [step for step in plan.steps if step.index > filling.index]
    maps = [step for step in behind if isinstance(step, InFull) and plan.network.nodes[step.index].kind != "linear"]
    assert not maps, [step.node.label for step in maps]


@pytest.mark.parametrize("text", ["return x * s.expand_as(x)", "return x * (2 * s) + s", "return x * s * 2"])
def test_others_are_exact_too(text: str) -> None:
    check(between(text), IMAGE)


class Steep(nn.Module):
    """The mean of a channel decides whether it is multiplied by a large number."""

    def __init__(self, large: float) -> None:
        super().__init__()
        self.large, self.least = large, 0.0
        self.first, self.wide, self.fc = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = x * torch.where(x.mean((2, 3), True) < self.least, self.large, 1.0)
        return self.fc(torch.sigmoid(self.wide(x)).mean((2, 3)))


@pytest.mark.parametrize("large", [1e3, 1e8])
def test_windows_may_have_outliers_where_the_picture_has_none(large: float) -> None:
    model = prepared(Steep(large), IMAGE)
    means = torch.relu(model.first(IMAGE[None]).detach()).mean((2, 3))
    model.least = 0.999 * float(means.min())
    check(model, IMAGE)


class Excited(nn.Module):
    """Blocks with squeeze-and-excite: the memory is in the maps."""

    def __init__(self, blocks: int = 3, channels: int = 32) -> None:
        super().__init__()
        self.first, self.fc = nn.Conv2d(3, channels, 3, padding=1), nn.Linear(channels, 5)
        self.wide = nn.ModuleList(nn.Conv2d(channels, 2 * channels, 1) for _ in range(blocks))
        self.deep = nn.ModuleList(
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels) for _ in range(blocks)
        )
        self.gates = nn.ModuleList(nn.Conv2d(2 * channels, 2 * channels, 1) for _ in range(blocks))
        self.narrow = nn.ModuleList(nn.Conv2d(2 * channels, channels, 1) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for wide, deep, gate, narrow in zip(self.wide, self.deep, self.gates, self.narrow, strict=True):
            y = nn.functional.silu(deep(nn.functional.silu(wide(x))))
            x = x + narrow(y * torch.sigmoid(gate(y.mean((2, 3), True))))
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("budget", [24 << 20, 96 << 20])
def test_what_is_kept_is_counted(budget: int) -> None:
    torch.manual_seed(0)
    model, image = Excited().eval(), torch.randn(3, 64, 64)
    once = of_one_forward(model, image[None])
    with measured(model) as live:
        zfcuda.occlusion_map(model, image, window=16, stride=8, method=METHOD, memory_budget=budget)
    assert live.peak <= budget + once
