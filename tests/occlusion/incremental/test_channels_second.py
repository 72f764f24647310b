"""Parts of a network with channels last are taken for the same with channels second, and others are left alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.harness.random_networks import Code, normal, randomise
from tests.occlusion.incremental.definition import check, prepared
from zfcuda.network import trace
from zfcuda.network.calls import torchs
from zfcuda.occlusion.incremental.channels_second import with_channels_second

LAST, SECOND = "y = x.permute(0, 2, 3, 1)", "y.permute(0, 3, 1, 2)"


def parts() -> dict[str, Any]:
    return {
        "a": nn.Linear(6, 9),
        "b": nn.Linear(9, 6, bias=False),
        "n": nn.LayerNorm(6),
        "s": nn.Parameter(torch.ones(6)),
        "t": nn.Parameter(torch.ones(6, 1, 1)),
        "w": nn.Parameter(torch.ones(6, 6)),
    }


def permutations(text: str) -> int:
    """How many are left of a forward, whose value is the same."""
    model, image = randomise(Code(text, **parts()), 0), normal((2, 6, 5, 7), 1)
    network = trace(model)
    other = with_channels_second(network, [network.names[""]])
    with torch.no_grad():
        result = other.run(image, [other.names[""]])[other.names[""]]
        torch.testing.assert_close(result, model(image))
    nodes = other.ancestors([other.names[""]])
    return sum(node.kind == "other" and torchs(node.arguments["function"])[0] == "permute" for node in nodes)


UNDERSTOOD = [
    f"{LAST}; y = self.n(y); return {SECOND}",
    f"{LAST}; y = self.b(torch.relu(self.a(y))); return x + {SECOND}",
    f"{LAST}; y = y + self.s * self.n(y) + 0.5; return torch.cat([x, {SECOND}], 1)",
    f"{LAST}; y = self.b(F.gelu(self.a(y))).tanh(); return self.t * {SECOND}",
    f"{LAST}; y = F.layer_norm(y, (6,), self.s, eps=0.1); return {SECOND}.relu()",
    f"{LAST}; y = F.linear(y, self.w); x = {SECOND} + 1; {LAST}; y = F.linear(y, self.w); return {SECOND}",
    f"{LAST}; y = F.layer_norm(y, (6,), self.s); return {SECOND} * self.s.mean()",
    f"{LAST}; y = y * y.sigmoid(); z = {SECOND}; return z + {SECOND}",
    "y = torch.permute(x, (0, -2, -1, 1)); y = self.n(y); return torch.permute(y, [0, -1, 1, 2])",
]
LEFT = [
    f"{LAST}; y = F.softmax(y, 1); return {SECOND}",  # of a row
    f"{LAST}; y = self.n(y); return y",
    f"{LAST}; y = self.n(y); return {SECOND} + y.mean()",
    f"{LAST}; y = self.n(y) * y.shape[3]; return {SECOND}",
    f"{LAST}; y = F.layer_norm(y, (7, 6)); return {SECOND}",
    f"{LAST}; y = F.linear(y, self.w) + self.w.mean(); return {SECOND}",
    f"{LAST}; y = y + self.s; return {SECOND} + self.s.sum()",
    f"{LAST}; y = F.linear(y, self.w * 2); return {SECOND}",
    f"{LAST}; y = F.layer_norm(y, (6,), self.s) * self.s; return {SECOND}",  # s as it is, and with more sides
    f"{LAST}; y = F.linear(y, self.w, self.s) * self.s; return {SECOND}",
    "y = x.permute(0, 3, 2, 1); return y.relu().permute(0, 3, 2, 1)",
    f"{LAST}; y = self.n(y); z = self.b(self.a(y)).flatten(1, 2); return {SECOND} + z.mean(1)[..., None, None]",
]


@pytest.mark.parametrize("text", UNDERSTOOD)
def test_parts_that_are_understood_have_channels_second(text: str) -> None:
    assert permutations(text) == 0


@pytest.mark.parametrize("text", LEFT)
def test_other_parts_are_left_alone(text: str) -> None:
    assert permutations(text) > 0


def test_one_part_is_left_alone_and_another_is_not() -> None:
    text = f"{LAST}; y = self.n(y); x = {SECOND}; {LAST}; y = y.flip(1); return {SECOND}"
    assert permutations(text) == 2


class Block(nn.Module):
    """ConvNeXt's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.filter = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm, self.up = nn.LayerNorm(channels, eps=1e-6), nn.Linear(channels, 4 * channels)
        self.act, self.down = nn.GELU(), nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.filter(x).permute(0, 2, 3, 1)
        y = self.scale * self.down(self.act(self.up(self.norm(y))))
        return x + y.permute(0, 3, 1, 2)


class Norm(nn.LayerNorm):
    """That of ConvNeXt's maps."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def small(image: Tensor) -> nn.Module:
    layers = nn.Conv2d(3, 8, 4, 4), Norm(8), Block(8), Block(8), Norm(8), nn.Conv2d(8, 12, 2, 2), Block(12)
    head = nn.AdaptiveAvgPool2d(1), Norm(12), nn.Flatten(), nn.Linear(12, 5)
    return prepared(nn.Sequential(*layers, *head).to(image.device), image)


# The head's norm runs on vectors.
@pytest.mark.parametrize("layer", [None, "0", "1", "2", "2.norm", "2.down", "2.act", "4", "6"])
def test_a_small_convnext_stays_local(layer: str | None, device: torch.device) -> None:
    image = normal((3, 64, 72), 1).to(device)
    result = check(small(image), image, window=8, stride=8, layer=layer, together=8)
    inside = layer is not None and layer.startswith("2.")
    if device.type == "cpu":
        assert ("whole maps" in result.reason) == inside


def test_weights_that_are_trained_on_are_read_anew() -> None:
    image = normal((3, 64, 72), 1)
    model = small(image)
    mapper = zfcuda.OcclusionMapper(model, image, window=8, stride=16, method="incremental")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    expected = zfcuda.occlusion_map(model, image, window=8, stride=16, method="batched")
    torch.testing.assert_close(mapper(image).logits, expected.logits, rtol=1e-4, atol=1e-4)


def test_one_window_at_a_time() -> None:
    image = normal((3, 64, 72), 1)
    model = small(image)
    occluder = zfcuda.Occluder(model, image)
    covered = image.clone()
    covered[:, 10:30, 20:31] = 0
    with torch.no_grad():
        torch.testing.assert_close(occluder(10, 20, 20, 11), model(covered[None])[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_smaller_dtypes_are_as_near_as_the_loop(dtype: torch.dtype) -> None:
    image = normal((3, 64, 72), 1)
    model = small(image)
    exact = zfcuda.occlusion_map(model, image, window=8, stride=16, method="incremental")
    ours = zfcuda.occlusion_map(model, image, window=8, stride=16, method="incremental", dtype=dtype)
    loop = zfcuda.occlusion_map(model, image, window=8, stride=16, method="batched", dtype=dtype)
    assert "whole maps" not in ours.reason
    error, allowed = ((each.logits - exact.logits).abs().max() for each in (ours, loop))
    assert 0 < error <= 2 * allowed


def test_twice_the_precision() -> None:
    image = normal((3, 64, 72), 1).double()
    result = check(small(image.float()).double(), image, window=8, stride=16, together=8)
    assert "whole maps" not in result.reason
