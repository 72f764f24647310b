"""Channels that are chosen or put in another order: once for several steps, from the parts of a concatenation too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.occlusion.incremental.definition import METHOD, check
from tests.occlusion.incremental.networks import code, conv, same, sandwich
from tests.occlusion.test_memory import measured, of_one_forward
from tests.occlusion.test_occluder import close, expected
from zfcuda.network import trace
from zfcuda.occlusion.incremental.choices import Choice, _chosen
from zfcuda.occlusion.incremental.engine import Plan
from zfcuda.occlusion.prepared import base_values

IMAGE = torch.randn(3, 23, 20, generator=torch.Generator().manual_seed(0))
SHUFFLED = "n, c = x.size(0), y.size(1); y = y.view(n, 2, c // 2, *x.shape[2:]).transpose(1, 2).flatten(1, 2)"

# Of a map of 8 channels.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ShuffleNet's": code(
        f"a, b = x.chunk(2, 1); y = torch.cat([a, self.b(b)], 1); {SHUFFLED}; a, b = y.chunk(2, 1); "
        "return torch.cat([a, self.c(b)], 1)",
        b=lambda: nn.Conv2d(4, 4, 3, padding=1),
        c=lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4),
    ),
    "shuffled and read whole": code(f"y = torch.cat([x, self.a(x)], 1); {SHUFFLED}; return y", a=same(3)),
    "both a piece and all": code(
        f"y = torch.cat([x, self.a(x)], 1); {SHUFFLED}; return torch.cat([y, y[:, :3], x], 1)", a=same(3)
    ),
    "backwards": code("return x[:, [7, 6, 5, 4, 3, 2, 1, 0]]"),
    "one of them, and often": code("return torch.cat([x, self.a(x)], 1)[:, [3, 9, 3, -1, 3]][:, 1:]", a=same(5)),
    "every other": code("return torch.cat([x, self.a(x)], 1)[:, 1::2]", a=same(5)),
    "of a choice of a choice": code("return x[:, 1:].split([4, 3], 1)[0][:, [2, 0, 1]][:, -2:]"),
    "split in three": code(
        "a, b, c = x.split(3, 1); return torch.cat([c, self.a(b), a], 1)", a=lambda: nn.Conv2d(3, 5, 1)
    ),
    "torch's own": code("return F.channel_shuffle(torch.cat([x, self.a(x)], 1), 4)[:, 2:14]", a=same(3)),
    "of a sum": code("return (x + self.a(x))[:, 2:6]", a=same(3)),
    "grouped behind it": code("return self.g(x[:, [0, 4, 1, 5, 2, 6, 3, 7]])", g=conv(8, 3, padding=1, groups=4)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_exact(name: str) -> None:
    model = sandwich(NETWORKS[name](), IMAGE)
    result = check(model, IMAGE)
    assert "in full" not in result.reason
    check(model, IMAGE, memory_budget="least")
    check(model, IMAGE, layer="middle")
    check(model.double(), IMAGE.double())


@pytest.mark.parametrize("name", NETWORKS)
def test_windows_one_by_one(name: str) -> None:
    model = sandwich(NETWORKS[name](), IMAGE)
    occluder = zfcuda.Occluder(model, IMAGE)
    for place in [(0, 0, 6, 6), (17, 9, 6, 11), (4, 3, 1, 1)]:
        close(occluder(*place), expected(model, IMAGE, place))


def steps_of(name: str) -> list[Choice]:
    network = trace(sandwich(NETWORKS[name](), IMAGE).eval(), IMAGE[None])
    base = base_values(network, IMAGE, [network.names[""]])
    plan = Plan(network, base, (23, 20), (6, 6), (5, 5), None)
    return [step for step in plan.steps if isinstance(step, Choice)]


@pytest.mark.parametrize(
    ("name", "steps", "skipped"),
    [("ShuffleNet's", 4, [0, 0, 1, 1]), ("of a choice of a choice", 1, [3]), ("both a piece and all", 2, [0, 1])],
)
def test_what_is_chosen_of_a_choice_is_copied_once(name: str, steps: int, skipped: list[int]) -> None:
    found = steps_of(name)
    assert len(found) == steps and [len(step.before) for step in found] == skipped


@pytest.mark.parametrize("numbers", [[], [4], [0, 1, 2], [5, 3, 1], [0, 3, 1, 4, 2, 5], [5, 5, 0], [1, 3, 5], [2, 3]])
@pytest.mark.parametrize("sizes", [(6,), (3, 3), (1, 4, 1), (2, 0, 4)])
def test_columns_of_tensors_side_by_side(sizes: tuple[int, ...], numbers: list[int]) -> None:
    parts: list[Tensor] = [torch.randn(5, size) for size in sizes]
    assert torch.equal(_chosen(parts, numbers), torch.cat(parts, 1)[:, numbers])


class Shuffled(nn.Module):
    """ShuffleNet's blocks: the memory is in the maps."""

    def __init__(self, blocks: int = 4, channels: int = 64) -> None:
        super().__init__()
        self.first, self.fc = nn.Conv2d(3, channels, 3, padding=1), nn.Linear(channels, 5)
        half = channels // 2
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(half, half, 1), nn.ReLU(), nn.Conv2d(half, half, 3, padding=1, groups=half))
            for _ in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            a, b = x.chunk(2, 1)
            x = torch.cat([a, block(b)], 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.fc(x.mean((2, 3)))


def test_what_is_kept_is_counted() -> None:
    torch.manual_seed(0)
    model, image = Shuffled().eval(), torch.randn(3, 64, 64)
    once, budget = of_one_forward(model, image[None]), 24 << 20
    with measured(model) as live:
        zfcuda.occlusion_map(model, image, window=16, stride=8, method=METHOD, memory_budget=budget)
    assert live.peak <= budget + once
