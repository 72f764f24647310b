"""Channels put in another order by hand are read as such, and nothing else is taken for that."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.harness.random_networks import Code
from tests.occlusion.incremental.definition import check, prepared
from zfcuda.network import trace
from zfcuda.occlusion.incremental.shuffles import rearranged
from zfcuda.occlusion.prepared import base_values

SHAPE = (6, 5, 4)
MIXED = [0, 2, 4, 1, 3, 5]


def order(text: str, shape: tuple[int, int, int] = SHAPE) -> list[int] | None:
    """The channels that the last step of a forward takes of the image; None: it is not known as such."""
    network = trace(Code(text).eval())
    output = network.names[""]
    base = base_values(network, torch.rand(shape), [output])
    two = network.run(torch.rand(2, *shape), [output])
    sizes = {i: value for i, value in two.items() if not isinstance(value, Tensor)}
    found = rearranged(network.nodes[output], {node.index: node for node in network.nodes}, base, sizes)
    return None if found is None else found.node.arguments.get("index")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("return x.view(x.size(0), 2, 3, 5, 4).transpose(1, 2).reshape(x.size(0), 6, 5, 4)", [0, 3, 1, 4, 2, 5]),
        ("n, c = x.size(0), x.size(1); return x.view(n, 3, c // 3, 5, 4).permute(0, 2, 1, 3, 4).flatten(1, 2)", MIXED),
        ("return x.reshape(-1, 3, 2, 5, 4).swapaxes(1, 2).contiguous().reshape(-1, 6, 5, 4)", MIXED),
        ("return x.flatten(2).reshape(-1, 2, 3, 20).transpose(2, 1).reshape(-1, 6, 5, 4)", [0, 3, 1, 4, 2, 5]),
        ("return x.unflatten(1, (2, 3)).movedim(1, 2).reshape(-1, 6, 5, 4)", [0, 3, 1, 4, 2, 5]),
        ("return x.flatten(1).reshape(-1, 6, 5, 4)", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_what_is_an_order_of_channels(text: str, expected: list[int]) -> None:
    assert order(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "return x.reshape(-1, 6, 2, 10).transpose(2, 3).reshape(-1, 6, 5, 4)",  # places
        "return x.reshape(-1, 5, 24).transpose(1, 2).reshape(-1, 6, 5, 4)",  # places and channels
        "return x.reshape(2, -1, 6, 5, 4).transpose(0, 1).reshape(-1, 6, 5, 4)",  # images
        "return x.reshape(-1, 2, 3, 5, 4).relu().transpose(1, 2).reshape(-1, 6, 5, 4)",  # values
        "return x.reshape(-1, 2, 3, 5, 4).flip(1).reshape(-1, 6, 5, 4)",  # no step that is known
    ],
)
def test_what_is_none(text: str) -> None:
    assert order(text, (6, 5, 4) if "reshape(2" not in text else (12, 5, 4)) is None


class PlacesFirst(nn.Module):
    """TResNet's beginning: each block of places becomes channels."""

    def __init__(self, by_hand: bool) -> None:
        super().__init__()
        self.by_hand = by_hand
        self.conv, self.fc = nn.Conv2d(48, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        if self.by_hand:
            n, c, h, w = x.size(0), x.size(1), x.size(2), x.size(3)
            x = x.view(n, c, h // 4, 4, w // 4, 4).permute(0, 3, 5, 1, 2, 4).contiguous()
            x = x.view(n, c * 16, h // 4, w // 4)
        else:
            x = nn.functional.pixel_unshuffle(x, 4)
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("stride", [3, 4])
def test_the_engine_follows_places_that_become_channels(by_hand: bool, stride: int) -> None:
    image = torch.randn(3, 28, 20, generator=torch.Generator().manual_seed(0))
    model = prepared(PlacesFirst(by_hand), image)
    result = check(model, image, stride=stride)
    assert "in full" not in result.reason
    check(model, image, memory_budget="least")


class ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv1(x))
        n, c, h, w = x.size(0), x.size(1), x.size(2), x.size(3)
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return self.fc(torch.relu(self.conv2(x)).mean((2, 3)))


def test_the_engine_follows_a_shuffle_by_hand() -> None:
    image = torch.randn(3, 24, 20, generator=torch.Generator().manual_seed(0))
    result = check(prepared(ByHand(), image), image)
    assert "in full" not in result.reason
    check(prepared(ByHand(), image), image, memory_budget="least")
