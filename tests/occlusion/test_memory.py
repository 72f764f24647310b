"""memory_budget: what a call takes beyond one forward of the model, by all tensors that are alive at once."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from tests.harness.live_memory import LiveMemory
from zfcuda.memory.forward import ForwardMemory
from zfcuda.network import trace
from zfcuda.occlusion import watched_model
from zfcuda.occlusion.incremental import footprint
from zfcuda.occlusion.incremental.lookups import lookup_of, memory_of_lookup

MIB = 1 << 20
SIDE = 64  # a map of 16 channels takes a quarter of 1 MiB
WINDOWS = {"window": 16, "stride": 16}
SMALL = 2 * MIB  # less than the maps, and a few forwards
LARGE = 12 * MIB


class Modules(nn.Module):
    """One map after the other, 16 in all."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.body = nn.Sequential(
            *(layer for _ in range(15) for layer in (nn.ReLU(inplace=True), nn.Conv2d(16, 16, 3, padding=1)))
        )
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.body(self.first(x))).mean((2, 3)))


class Functions(Modules):
    """The same without a call of a module."""

    def forward(self, x: Tensor) -> Tensor:
        layers = [self.first, *(layer for layer in self.body if isinstance(layer, nn.Conv2d))]
        for layer in layers:
            x = F.relu(F.conv2d(x, layer.weight, layer.bias, padding=1))
        return F.linear(x.mean((2, 3)), self.head.weight, self.head.bias)


def measured(model: nn.Module) -> LiveMemory:
    return LiveMemory(*model.parameters())


def of_one_forward(model: nn.Module, images: Tensor) -> int:
    with measured(model) as live, torch.inference_mode():
        model(images.clone())
    return live.peak


@pytest.fixture
def image(device: torch.device) -> Tensor:
    return torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(device)


@pytest.mark.parametrize("budget", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    "arguments", [{}, {"method": "batched"}, {"dtype": torch.bfloat16}, {"layer": "first"}], ids=str
)
@pytest.mark.parametrize("kind", [Modules, Functions])
def test_a_map_stays_within_its_budget(
    kind: type[nn.Module], arguments: dict[str, Any], budget: int, image: Tensor
) -> None:
    if kind is not Modules and "layer" in arguments:
        pytest.skip("it calls no layer")
    torch.manual_seed(0)
    model = kind().to(image.device).eval()
    allowed = budget + of_one_forward(model, image[None])
    with measured(model) as live:
        found = zfcuda.occlusion_map(model, image, **WINDOWS, **arguments, memory_budget=budget)
    assert live.peak <= allowed, f"{found.method}: {live.peak / MIB:.1f} of {allowed / MIB:.1f} MiB"
    fits = budget == LARGE and "method" not in arguments
    assert found.method == ("incremental" if fits else "batched"), found.reason
    if budget == SMALL and "method" not in arguments:
        assert "memory_budget" in found.reason


@pytest.mark.parametrize("budget", [SMALL, LARGE], ids=["small", "large"])
def test_a_mapper_stays_within_its_budget(budget: int, image: Tensor) -> None:
    torch.manual_seed(0)
    model = Modules().to(image.device).eval()
    allowed = budget + of_one_forward(model, image[None])
    with measured(model) as live:
        mapper = zfcuda.OcclusionMapper(model, image, **WINDOWS, memory_budget=budget)
        if image.device.type == "cpu":
            assert live.alive < MIB // 4, "maps of the last image are held"
        for _ in range(2):
            found = mapper(image)
    assert live.peak <= allowed, f"{found.method}: {live.peak / MIB:.1f} of {allowed / MIB:.1f} MiB"


@pytest.mark.parametrize("budget", [SMALL, LARGE], ids=["small", "large"])
def test_captums_face_stays_within_a_quarter_of_what_is_free(
    budget: int, image: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfcuda.memory.budget._free", lambda device: 4 * budget)
    torch.manual_seed(0)
    model, images = Functions().to(image.device).eval(), torch.stack([image, image.flip(2)])
    allowed = budget + of_one_forward(model, images)
    with measured(model) as live:
        zfcuda.Occlusion(model).attribute(images, (3, 16, 16), strides=(3, 16, 16), target=1)
    assert live.peak <= allowed, f"{live.peak / MIB:.1f} of {allowed / MIB:.1f} MiB"


def test_what_the_engine_needs_is_named_and_enough(image: Tensor) -> None:
    torch.manual_seed(0)
    model = Modules().to(image.device).eval()
    how = {**WINDOWS, "method": "incremental"}
    with pytest.raises(RuntimeError, match=r"memory_budget.*1 bytes") as refused:
        zfcuda.occlusion_map(model, image, **how, memory_budget=1)
    number = re.search(r"needs ([\d,]+) bytes \([\d.]+ MiB\)", str(refused.value))
    assert number is not None
    need = int(number[1].replace(",", ""))
    assert 4 * MIB < need < LARGE
    tight = zfcuda.occlusion_map(model, image, **how, memory_budget=need)
    torch.testing.assert_close(tight.logits, zfcuda.occlusion_map(model, image, **how).logits, rtol=1e-4, atol=1e-5)
    with pytest.raises(RuntimeError, match="memory_budget"):
        zfcuda.occlusion_map(model, image, **how, memory_budget=need - 1)


def test_the_first_step_of_the_bar_is_early(image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, real = [], watched_model.WatchedModel.__call__

    def counted(self: watched_model.WatchedModel, images: Tensor) -> Tensor:
        if type(images) is Tensor:  # not a stand-in
            sizes.append(len(images))
        return real(self, images)

    model = Modules().to(image.device).eval()
    monkeypatch.setattr(watched_model.WatchedModel, "__call__", counted)
    zfcuda.occlusion_map(model, image, window=16, stride=12, method="batched", progress=True)
    first = sizes[-3:]
    assert first == ([2, 16, 8] if image.device.type == "cpu" else first)


# ---------------------------------------------------------------- what one forward takes


def taken(function: Any, image: Tensor) -> ForwardMemory:
    with torch.inference_mode(), ForwardMemory(image) as found:
        function(image)
    return found


def test_a_forward_is_measured_op_by_op(device: torch.device) -> None:
    image, weight = torch.zeros(1, 1, 16, 16, device=device), torch.zeros(64, 256, device=device)
    size = image.nbytes
    kept = taken(lambda x: x.exp().sin().cos(), image)
    assert (kept.peak, kept.step, kept.written) == (3 * size, 2 * size, 3 * size)
    in_place = taken(lambda x: x.exp().sin_().cos_(), image)
    assert (in_place.peak, in_place.step, in_place.written) == (2 * size, 2 * size, 3 * size)
    all_kept = taken(lambda x: torch.cat([x.exp(), x.sin(), x.cos()]), image)
    assert (all_kept.peak, all_kept.step) == (7 * size, 6 * size)
    views = taken(lambda x: (x.flatten(1)[:, 3:].t(), weight.t()[1:]), image)
    assert (views.peak, views.step, views.written) == (size, size, 0)
    linear = taken(lambda x: F.linear(x.flatten(1), weight), image)
    assert (linear.peak, linear.step) == (size + 256, size + 256)


def test_a_convolution_in_float64_unfolds_its_image() -> None:
    image, weight = torch.zeros(1, 2, 8, 8, dtype=torch.float64), torch.zeros(4, 2, 3, 3, dtype=torch.float64)
    found = taken(lambda x: F.conv2d(x, weight, padding=1), image)
    assert found.step == image.nbytes + 2 * image.nbytes + 9 * image.nbytes
    assert found.peak == image.nbytes + 2 * image.nbytes


def test_what_cannot_be_measured_runs_one_by_one(image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnlyPlain(Modules):
        def forward(self, x: Tensor) -> Tensor:
            if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
                raise RuntimeError("not under a dispatch mode")
            return super().forward(x)

    sizes, real = [], watched_model.WatchedModel.__call__

    def counted(self: watched_model.WatchedModel, images: Tensor) -> Tensor:
        if type(images) is Tensor:  # not a stand-in
            sizes.append(len(images))
        return real(self, images)

    monkeypatch.setattr(watched_model.WatchedModel, "__call__", counted)
    found = zfcuda.occlusion_map(OnlyPlain().to(image.device).eval(), image, **WINDOWS, method="batched")
    assert found.logits.shape == (4, 4, 4) and set(sizes) == {1}


def test_tables_for_more_images_are_bounded(image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapper keeps tables of its windows; of many windows not all."""
    monkeypatch.setattr(footprint, "_WINDOWS", {"cpu": 4, "cuda": 4})
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).to(image.device).eval()
    how = {"window": 4, "stride": 2, "method": "incremental"}
    for budget, every in ((1 << 18, False), (1 << 28, True)):
        mapper = zfcuda.OcclusionMapper(model, image, **how, memory_budget=budget)
        first, second = mapper(image), mapper(image)
        assert torch.equal(first.logits, second.logits)
        plan = mapper._prepared.plan
        kept = sum(places.memory() for places in plan._places.values())
        assert len(plan._places) > 1
        assert (len(plan._places) == -(-len(first.logits.flatten(0, 1)) // 4)) is every
        assert kept <= budget // 4


class Padded(nn.Module):
    """Pads a map by a function, which is found out by trying it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 16, 3), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(F.pad(F.relu(x), (3, 2, 1, 0))).mean((2, 3)))


def test_finding_out_what_a_function_moves_is_counted(image: Tensor) -> None:
    model = Padded().to(image.device).eval()
    network = trace(model)
    with torch.inference_mode():
        values = network.run(image[None], [network.names[""]])
        (pad,) = [node for node in network.nodes if node.kind == "other"]
        with LiveMemory(*values.values()) as live:
            assert lookup_of(pad, pad.refs[0], values) is not None
    need = memory_of_lookup(pad, values)
    assert need // 3 < live.peak <= need
    assert "memory_budget" in zfcuda.occlusion_map(model, image, **WINDOWS, memory_budget=need - 1).reason
    enough = zfcuda.occlusion_map(model, image, **WINDOWS, memory_budget=need + 16 * MIB)
    assert "memory_budget" not in enough.reason
