"""Numbers that differences and Winograd's sums would lose: infinity inside a map, values beside much larger ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.harness.random_networks import Code
from tests.occlusion.incremental.definition import brute_force, deviation
from zfcuda.network import trace
from zfcuda.occlusion.incremental.outliers import limit, may_arise, within
from zfcuda.occlusion.incremental.reductions import differences_lose
from zfcuda.occlusion.incremental.ways import WAYS

INF, NAN = float("inf"), float("nan")
CHANNELS = 16


class Body(nn.Module):
    """Two convolutions around `middle`, and a head that is told as code on the map x."""

    def __init__(self, middle: str, head: str, positive: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(3, CHANNELS, 3, padding=1), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        if positive:  # no differences of infinities in the model itself
            for layer in (self.conv1, self.conv2):
                layer.weight.data.abs_()
        self.middle = Code(middle)
        self.head = Code(head, fc=nn.Linear(CHANNELS, 5), flat=nn.Linear(CHANNELS * 256, 5))
        self.head.flat.weight.data.abs_()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv2(self.middle(self.conv1(x))))


HEADS = {
    "mean": "return self.fc(torch.tanh(F.relu(x).mean((2, 3))))",
    "log of the mean": "return self.fc(torch.log(F.relu(x).mean((2, 3)) + 1e-3))",
    "adaptive": "return self.fc(torch.tanh(F.adaptive_avg_pool2d(F.relu(x), 1).flatten(1)))",
    "flat": "return torch.tanh(self.flat(F.max_pool2d(F.relu(x), 2).flatten(1)) * 1e-3)",
    "log of flat": "return torch.log(self.flat(F.max_pool2d(F.relu(x), 2).flatten(1)).abs() + 1e-3)",
    "saturated before": "return self.fc(torch.tanh(x * 1e-2).mean((2, 3)))",
    "beside": "return self.fc(torch.tanh(x[:, :, 8:16, 3:16]).mean((2, 3)))",
    "largest": "return self.fc(F.adaptive_max_pool2d(torch.tanh(x * 1e-2), 1).flatten(1))",
    "NaN replaced": "return self.fc(torch.nan_to_num(x, 0.5, 1, -1).clamp(-9, 9).mean((2, 3)))",
}
MIDDLES = {
    "plain": "return F.relu(x)",
    "exp": "return torch.exp(F.relu(x) * 3)",
    "log": "return -torch.log(F.relu(x))",
    "quotient": "return 1 / F.relu(x)",
    "power": "return F.relu(x) ** 4",
}


def bright(value: float, size: int = 4) -> Tensor:
    """Ordinary pixels, and a few that are not."""
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.5
    image[:, 6 : 6 + size, 7 : 7 + size] = value
    return image


IMAGES: dict[str, Tensor] = {"ordinary": bright(0.3), "1e3": bright(1e3), "1e6": bright(1e6), "1e12": bright(1e12, 2)}


def exact(model: nn.Module, image: Tensor, **more: Any) -> zfcuda.OcclusionMap:
    """The map by the engine, each window held against the model itself."""
    more = {"method": "incremental", "fill": 0.0, **more}
    expected, activity, _ = brute_force(model.eval(), image, (8, 8), (5, 4), more["fill"], more.get("layer"))
    result = zfcuda.occlusion_map(model, image, window=8, stride=(5, 4), **more)
    same = (result.logits == expected) | (result.logits.isnan() & expected.isnan())
    assert torch.equal(result.logits.isfinite(), expected.isfinite())
    assert same[~expected.isfinite()].all()
    finite = expected.isfinite()
    if finite.any():
        assert deviation(result.logits[finite], expected[finite]) <= 1, result.reason
    if activity is not None and result.activity is not None:
        of_unit = activity[..., result.unit].float()
        torch.testing.assert_close(
            result.activity, of_unit, rtol=1e-5, atol=1e-6 * float(of_unit.abs().min()), equal_nan=True
        )
    return result


def finite_base(model: nn.Module, image: Tensor) -> bool:
    with torch.no_grad():
        return bool(model(image[None]).isfinite().all())


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("middle", MIDDLES)
@pytest.mark.parametrize("head", HEADS)
def test_each_window(head: str, middle: str, positive: bool) -> None:
    tried = 0
    for image in IMAGES.values():
        model = Body(MIDDLES[middle], HEADS[head], positive)
        if finite_base(model, image):
            exact(model, image)
            tried += 1
    assert tried >= (0 if middle in ("log", "quotient") else 1)


@pytest.mark.parametrize("image", IMAGES)
def test_a_filter_that_leaves_the_outlier_out(image: str) -> None:
    model = Body(MIDDLES["plain"], HEADS["beside"])
    model.conv2.weight.data[..., [0, 0, 2, 2], [0, 2, 0, 2]] = 0
    model.conv2.weight.data[..., 1, :] = 0
    exact(model, IMAGES[image])


@pytest.mark.parametrize("fill", [1e3, 1e6, 1e12])
@pytest.mark.parametrize("head", ["saturated before", "largest", "flat"])
def test_the_fill_is_the_outlier(head: str, fill: float) -> None:
    exact(Body(MIDDLES["plain"], HEADS[head]), IMAGES["ordinary"], fill=fill)


STEEP = {
    "exp": "return torch.exp(x)",
    "power": "return x ** 2",
    "one over it": "return 1 / x",
    "quotient": "return x / (F.relu(x) + 1)",
    "product": "return x * F.relu(x)",
    "in place": "return F.relu(x).log_()",
    "before": "return F.relu(x.exp()) + 1",
}
EVEN = {
    "relu": "return F.relu(x)",
    "constant": "return x / 2 + x.mul(3) - 1",
    "activations": "return F.leaky_relu_(F.elu(F.gelu(F.relu6(F.hardtanh(x)))), 0.1)",
    "modules": "return nn.SiLU(inplace=True)(nn.Hardswish()(nn.ReLU6(inplace=True)(x)))",
    "pooling": "return F.max_pool2d(F.avg_pool2d(x, 2), 2)",
    "padding": "return F.pad(torch.cat([x, x + x], 1), (1, 1))",
    "lrn": "return F.local_response_norm(x, 3)",
}


@pytest.mark.parametrize("text", [*STEEP.values(), *EVEN.values()])
def test_where_windows_may_have_outliers_of_their_own(text: str) -> None:
    network = trace(Code(text).eval(), torch.rand(1, 3, 16, 16))
    found = may_arise(network.nodes, {node.index for node in network.nodes if node.kind != "constant"})
    assert (network.names[""] in found) is (text in STEEP.values())


def test_ordinary_convolutions_are_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = Body(MIDDLES["plain"], HEADS["mean"]).eval(), IMAGES["ordinary"]
    called: list[str] = []

    def noting(way: str, run: Callable[..., Any]) -> Callable[..., Any]:
        return lambda step, chunk: called.append(way) or run(step, chunk)

    for way, run in WAYS.items():
        monkeypatch.setitem(WAYS, way, noting(way, run))
    monkeypatch.setattr("zfcuda.occlusion.incremental.ways.within", lambda *_: pytest.fail("looked"))
    zfcuda.occlusion_map(model, image, window=8, method="incremental")
    assert set(called) == {"ragged"}
    called.clear()
    zfcuda.occlusion_map(model, IMAGES["1e6"], window=8, method="incremental")
    assert set(called) == {"dense"}


def test_limits() -> None:
    values = torch.rand(1, 3, 40, 50) + 1
    assert within(values, limit(values))
    for odd in (INF, -INF, NAN, 1e6, -1e6):
        spoilt = values.clone()
        spoilt[0, 2, 33, 44] = odd
        assert 1024 < limit(spoilt) < 1e5 and not within(spoilt, limit(spoilt))
    sparse = torch.zeros(1, 8, 30, 30)
    sparse[:, :, ::7, ::5] = 3
    assert within(sparse, limit(sparse))
    black = torch.zeros(1, 3, 9, 9)
    assert within(black, limit(black)) and within(black + 1, limit(black)) and not within(black + INF, limit(black))
    assert within(values[:, :, :0], 1.0)


def test_what_differences_lose() -> None:
    before = torch.ones(1, 100)
    maps = torch.stack([torch.ones(100), torch.full((100,), 1e-3), torch.full((100,), 0.5), torch.zeros(100)])
    answer = torch.zeros(1, 5)
    lost = differences_lose(maps, before, answer)
    assert lost is not None and lost.tolist() == [1, 3]
    assert differences_lose(maps * 0, before * 0, answer) is None
    for wrong in ((maps, before / 0, answer), (maps * NAN, before, answer), (maps, before, answer + INF)):
        everything = differences_lose(*wrong)
        assert everything is not None and everything.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("layer", ["conv1", "conv2", "middle"])
@pytest.mark.parametrize("image", IMAGES)
def test_activity(layer: str, image: str) -> None:
    for middle in ("plain", "quotient"):
        exact(Body(MIDDLES[middle], HEADS["NaN replaced"], positive=True), IMAGES[image], layer=layer, unit=1)


def test_sums_beyond_half_precision() -> None:
    """The mean of 49 numbers of float16 is one, though their sum is not."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.AvgPool2d(7, 2), nn.Flatten(), nn.Linear(8 * 169, 5)).half()
    nn.init.constant_(model[0].bias, 3e3)
    nn.init.normal_(model[3].weight, std=1e-4, generator=torch.Generator().manual_seed(0))
    exact_map = zfcuda.occlusion_map(model.eval(), IMAGES["ordinary"].half(), window=8, method="batched")
    result = zfcuda.occlusion_map(model, IMAGES["ordinary"].half(), window=8, method="incremental")
    assert exact_map.logits.isfinite().all()
    torch.testing.assert_close(result.logits, exact_map.logits, rtol=1e-2, atol=1e-2)
