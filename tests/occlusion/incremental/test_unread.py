"""Maps of which no window reads more than what it changes: they are not held, and nothing is read where they stood."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from tests.harness.live_memory import LiveMemory
from zfcuda.network import trace
from zfcuda.occlusion.incremental import Plan

HOW: dict[str, Any] = {"window": 9, "stride": 7}


class Bottlenecks(nn.Module):
    """As in a ResNet: the maps behind 3x3 convolutions are read by 1x1 convolutions alone."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.down = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 1, stride)
        self.a, self.b, self.c = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 8, 3, stride, 1), nn.Conv2d(8, 32, 1)
        self.d, self.e, self.f = nn.Conv2d(32, 8, 1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 32, 1)
        self.padded, self.last = nn.Conv2d(32, 12, 1, padding=1), nn.Conv2d(12, 12, 1, groups=3)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.relu(self.c(F.relu(self.b(F.relu(self.a(x))))) + self.down(x))
        x = F.relu(self.f(F.relu(self.e(F.relu(self.d(x))))) + x)
        return self.head(self.last(self.padded(x)).mean((2, 3)))


def plan_of(model: nn.Module, image: Tensor, **more: bool) -> Plan:
    with torch.no_grad():
        network = trace(model, image[None])
        values = network.run(image[None], [network.names[""]])
        return Plan(network, values, (image.shape[1], image.shape[2]), (9, 9), (7, 7), None, **more)


def test_which_maps_are_not_held() -> None:
    model = Bottlenecks().eval()
    plan = plan_of(model, torch.randn(3, 40, 40))
    held = {layer for layer in plan.network.layers if plan.network.names[layer] in plan.held}
    convolutions = {step.index: step for step in plan.steps}
    sources = {plan.network.nodes[i].label for i in plan.unread}
    assert len(plan.unread) == 3, sources  # behind conv1 (read by `a` and `down`), behind `b` and behind `e`
    assert all(i in convolutions for i in plan.unread) and not plan.unread & plan.held
    assert "padded" in held
    assert not plan_of(model, torch.randn(3, 40, 40), all_maps=True).unread


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
def test_the_numbers_are_those_of_brute_force(stride: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model, image = Bottlenecks(stride).to(dtype).eval(), torch.randn(3, 40, 37, dtype=dtype)
    found, expected = (zfcuda.occlusion_map(model, image, **HOW, method=m) for m in ("incremental", "batched"))
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-5)
    mapper = zfcuda.OcclusionMapper(model, image, **HOW, method="incremental")
    for x in (image, image.flip(2)):
        expected = zfcuda.occlusion_map(model, x, **HOW, method="batched")
        torch.testing.assert_close(mapper(x).logits, expected.logits, rtol=1e-4, atol=1e-5)
    occluder = zfcuda.Occluder(model, image)
    assert occluder.method == "incremental"


def test_what_is_not_held_takes_no_memory() -> None:
    """Of each pair of maps one is held."""
    torch.manual_seed(0)
    pairs = [m for _ in range(8) for m in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU())]
    model = nn.Sequential(nn.Conv2d(3, 16, 3), *pairs, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    image = torch.randn(3, 98, 98)
    one = 16 * 96 * 96 * 4
    with LiveMemory(*model.parameters()) as live:
        found = zfcuda.occlusion_map(model, image, window=8, stride=24, method="incremental", memory_budget=16 * one)
    assert live.peak <= 16 * one  # there are 17 maps
    expected = zfcuda.occlusion_map(model, image, window=8, stride=24, method="batched")
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-5)


def test_many_images_take_the_memory_of_a_few() -> None:
    torch.manual_seed(0)
    model, random = Bottlenecks().eval(), torch.Generator().manual_seed(1)
    mapper = zfcuda.OcclusionMapper(model, torch.randn(3, 24, 24), **HOW, method="incremental")
    peaks, alive = [], []
    for count in (4, 40):
        with LiveMemory(*model.parameters()) as live:
            for _ in range(count):
                mapper(torch.randn(3, 24, 24, generator=random))
            alive.append(live.alive)
        peaks.append(live.peak)
    assert peaks[1] <= 1.02 * peaks[0]
    assert alive[1] <= alive[0]
