"""Lookups: layers that only move values are known by what they do to numbers, and nothing else is taken for one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.harness.random_networks import Code
from tests.occlusion.incremental.definition import check, prepared
from zfcuda.network import trace
from zfcuda.occlusion.incremental import lookups
from zfcuda.occlusion.incremental.lookups import lookup_of, memory_of_lookup
from zfcuda.occlusion.incremental.regions import Lookup
from zfcuda.occlusion.prepared import base_values


def lookup(text: str, size: tuple[int, int, int]) -> Lookup | None:
    image = torch.rand(size)
    network = trace(Code(text).eval(), image[None])
    output = network.names[""]
    base = base_values(network, image, [output])
    node = network.nodes[output]
    return lookup_of(node, node.refs[0], base)


@pytest.mark.parametrize(
    ("text", "rows", "columns"),
    [
        ("return F.interpolate(x, size=(2, 2))", [0, 2], [0, 2]),
        ("return F.interpolate(x, size=(5, 5), mode='area')", [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        ("return F.interpolate(x, size=(5, 5), mode='bilinear')", [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        ("return F.interpolate(x, size=(3, 1), mode='nearest-exact')", [0, 2, 4], [2]),
        ("return x[:, :, 1:4, ::2]", [1, 2, 3], [0, 2, 4]),
        ("return F.pad(x, (1, 0, -1, 1))", [1, 2, 3, 4, -1], [-1, 0, 1, 2, 3, 4]),
        ("return F.pad(x, (1, 0), value=float('inf'))", [0, 1, 2, 3, 4], [-1, 0, 1, 2, 3, 4]),
        ("return F.pad(x, (1, 0), value=float('nan'))", [0, 1, 2, 3, 4], [-1, 0, 1, 2, 3, 4]),
        ("return torch.flip(x, (3,))", [0, 1, 2, 3, 4], [4, 3, 2, 1, 0]),
    ],
)
def test_what_is_moved(text: str, rows: list[int], columns: list[int]) -> None:
    for channels in (1, 3):
        found = lookup(text, (channels, 5, 5))
        assert found is not None
        assert (found.rows.tolist(), found.columns.tolist()) == (rows, columns)


@pytest.mark.parametrize(
    "text",
    [
        "return F.pad(x, (0, 0, 0, 0, 1, -1))",
        "return F.pad(x, pad=(1, 1, 1, 1, 1, -1))",
        "return x[:, torch.tensor([1, 2, 0])]",
        "return torch.roll(x, 1, 1)",
        "return x.flip(1)",
    ],
)
def test_channels_that_change_places_are_none(text: str) -> None:
    assert lookup(text, (3, 5, 5)) is None


@pytest.mark.parametrize("padding", ["F.pad(x, (1, 2, 0, 1))", "F.pad(x, pad=[1, 2])", "self.layer(x)"])
def test_a_padding_is_tried_on_one_channel(padding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of EfficientNet-Lite0's wide maps that were a fifth of a map's time."""
    image = torch.rand(6, 5, 5)
    network = trace(Code(f"return {padding}", layer=nn.ZeroPad2d(1)).eval(), image[None])
    base = base_values(network, image, [network.names[""]])
    node = network.nodes[network.names[""]]
    tried, run = [], lookups._run

    def counted(node: Any, base: Any, source: Tensor, numbers: Tensor) -> Tensor | None:
        tried.append(numbers.shape[1])
        return run(node, base, source, numbers)

    monkeypatch.setattr(lookups, "_run", counted)
    assert lookup_of(node, node.refs[0], base) is not None and set(tried) == {1}
    one = memory_of_lookup(node, base)
    assert 0 < one == memory_of_lookup(node, {i: x[:, :1] for i, x in base.items()})


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize("side", [3, 5, 6, 7, 9])
@pytest.mark.parametrize(
    "how",
    [
        "size=(1, 1), mode='area'",
        "size=(1, 3), mode='area'",
        "size=(2, 2), mode='area'",
        "size=(1, 1), mode='bilinear', antialias=True",
        "scale_factor=1/3, mode='bilinear', antialias=True",
        "size=(4, 4), mode='bilinear', align_corners=True",
        "size=(4, 4), mode='bicubic'",
    ],
)
def test_what_is_computed(how: str, side: int, channels: int) -> None:
    assert lookup(f"return F.interpolate(x, {how})", (channels, side, side)) is None


def test_an_area_of_the_whole_map_is_its_mean() -> None:
    class Area(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 8, stride=8)
            self.head = nn.Linear(1, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv2(torch.relu(self.conv1(x)))
            return self.head(nn.functional.interpolate(x, size=(1, 1), mode="area").flatten(1))

    image = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    image[:, 16:24, 16:24] = 0  # the window in the middle changes nothing
    check(prepared(Area(), image), image, window=8, stride=8, method="auto")


@pytest.mark.parametrize("how", ["size=(20, 20), mode='bilinear'", "size=(20, 20), mode='bicubic'", "scale_factor=1"])
def test_a_copy_by_weights_makes_nan_of_infinity(how: str) -> None:
    class Resized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)
            self.resize = Code(f"return F.interpolate(x, {how})")

        def forward(self, x: Tensor) -> Tensor:
            x = self.resize(1 / torch.relu(self.conv(x)))
            return self.head(torch.nan_to_num(x, 7.0, 3.0, 1.0).clamp(0, 9).mean((2, 3)))

    image = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    more: dict[str, Any] = {"window": 6, "stride": 5}
    check(prepared(Resized(), image), image, **more)
