"""OcclusionMapper: many images, one experiment; and what can be told without a GPU of how it runs on one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

import zfcuda
from tests.harness.fake_gpu import fake_gpu
from tests.harness.recorded import Recorded
from zfcuda import cuda_graph
from zfcuda.network import trace
from zfcuda.occlusion.choice import Choice
from zfcuda.occlusion.incremental import Plan, patches, sums
from zfcuda.occlusion.incremental.chunk import Base
from zfcuda.occlusion.incremental.footprint import Footprint
from zfcuda.occlusion.incremental.ways import WAYS, ConvolutionStep

SIZE = (3, 41, 37)
CPU = torch.device("cpu")
WINDOWS = {"window": 9, "stride": 7}


class Residual(nn.Module):
    """One of everything that the engine has a step of its own for."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 12, 5, 2, 2)
        self.pool1 = nn.MaxPool2d(3, 2, 1)
        self.norm1 = nn.LocalResponseNorm(5, 0.3, 0.75, 2.0)
        self.conv2 = nn.Conv2d(12, 16, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16, 16, 1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.reflected = nn.Conv2d(16, 8, 3, padding=1, padding_mode="reflect")
        self.pool2 = nn.AvgPool2d(2, 2, 1)
        self.fc = nn.Linear(8 * 6 * 6, 10)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(self.pool1(torch.relu(self.conv1(x))))
        y = torch.relu(self.bn2(self.conv2(x)))
        y = torch.relu(self.conv3(y) + y)
        y = self.pool2(self.reflected(self.depthwise(y)))
        return self.fc(y.flatten(1)) + self.head(y.mean((2, 3)))


@pytest.fixture
def model(device: torch.device) -> nn.Module:
    model = Residual().to(device)
    model.bn2.running_mean.uniform_(-1, 1)
    model.bn2.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.fixture(autouse=True)
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def picture(seed: int, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed), dtype=dtype).to(device)


def same_maps(a: zfcuda.OcclusionMap, b: zfcuda.OcclusionMap) -> None:
    for name in ("logits", "score", "probability", "activity", "base_logits", "heatmap"):
        x, y = getattr(a, name), getattr(b, name)
        if name == "heatmap":
            x, y = x(), y()
        assert (x is None) == (y is None), name
        if x is not None:
            torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5 * float(y.abs().max()) + 1e-7, msg=name)
    assert (a.target, a.unit, a.method, a.fill) == (b.target, b.unit, b.method, b.fill)
    assert torch.equal(a.origins, b.origins)


def check(model: nn.Module, device: torch.device, dtype: torch.dtype = torch.float32, **arguments: Any) -> None:
    mapper = zfcuda.OcclusionMapper(model, picture(0, device, dtype), **WINDOWS, **arguments)
    for seed in (0, 1, 2):
        image = picture(seed, device, dtype)
        same_maps(mapper(image), zfcuda.occlusion_map(model, image, **WINDOWS, **arguments))


# ---------------------------------------------------------------- the same numbers, picture after picture

ARGUMENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "layer": {"layer": "conv2"},
    "unit": {"layer": "conv3", "unit": 3, "target": 4},
    "target": {"target": lambda logits: logits[:, 1] - logits[:, 0]},
    "fill": {"fill": [0.5, -1.0, 2.0]},
    "mean": {"fill": "mean"},
    "blur": {"fill": "blur"},
    "noise": {"fill": "noise"},
    "output": {"output": lambda logits: logits.softmax(1)[:, 2:5], "layer": "conv2"},
    "batched": {"method": "batched"},
    "little memory": {"memory_budget": 320_000},  # what float64 just fits into
    "sigmoid": {"probability": "sigmoid"},
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_many_pictures(name: str, model: nn.Module, device: torch.device) -> None:
    check(model, device, **ARGUMENTS[name])


def test_the_first_picture_is_mapped_once(model: nn.Module, device: torch.device) -> None:
    image = picture(0, device)
    mapper = zfcuda.OcclusionMapper(model, image, **WINDOWS, layer="conv2")
    same_maps(mapper.first, zfcuda.occlusion_map(model, image, **WINDOWS, layer="conv2"))


def each_of_its_own(model: nn.Module, device: torch.device, **arguments: Any) -> None:
    """Maps with a target and a unit of each picture; then the mapper's own again."""
    arguments |= WINDOWS
    mapper = zfcuda.OcclusionMapper(model, picture(0, device), target=3, layer="conv2", unit=5, **arguments)
    for seed, (target, unit) in enumerate([(1, 2), (None, 7), (lambda x: x[:, 0] - x[:, 1], None), (None, None)]):
        image = picture(seed, device)
        expected = {"target": 3 if target is None else target, "unit": 5 if unit is None else unit}
        found = mapper(image, target=target, unit=unit)
        same_maps(found, zfcuda.occlusion_map(model, image, layer="conv2", **arguments, **expected))
    with pytest.raises(ValueError, match="target: "):
        mapper(picture(0, device), target=10)
    with pytest.raises(ValueError, match="unit: 'conv2' has units 0 to 15, got 16"):
        mapper(picture(0, device), unit=16)


def test_each_picture_may_have_a_target_and_a_unit_of_its_own(model: nn.Module, device: torch.device) -> None:
    each_of_its_own(model, device)
    without = zfcuda.OcclusionMapper(model, picture(0, device), **WINDOWS)
    with pytest.raises(ValueError, match="unit: 2 of which layer"):
        without(picture(0, device), unit=2)


def test_in_double_precision(model: nn.Module, device: torch.device) -> None:
    check(model.double(), device, torch.float64)


def test_the_model_learns_on(model: nn.Module, device: torch.device) -> None:
    image = picture(1, device)
    mapper = zfcuda.OcclusionMapper(model, picture(0, device), **WINDOWS)
    mapper(image)
    with torch.no_grad():
        model.conv2.weight.mul_(-1)
        model.bn2.running_mean.add_(1)
    same_maps(mapper(image), zfcuda.occlusion_map(model, image, **WINDOWS))
    model.conv1.weight = nn.Parameter(torch.randn_like(model.conv1.weight))
    same_maps(mapper(image), zfcuda.occlusion_map(model, image, **WINDOWS))


class Switched(nn.Module):
    """A model with all that may change between two images beside its weights; it counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.act, self.fc, self.calls = nn.ReLU(), nn.Linear(8, 10), 0
        self.settings: dict[str, Any] = {"scale": [1.0, 2.0]}
        self.function = torch.tanh
        self.register_buffer("order", torch.arange(SIZE[2]))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = self.conv2(F.relu(self.conv1(x)))[:, :, :, self.order]
        x = self.function(self.act(x)) * self.settings["scale"][0]
        return self.fc(F.max_pool2d(x, 4, 3)[:, :, 2:, :4].mean((2, 3)))


CHANGES: dict[str, Callable[[Any], Any]] = {
    "module": lambda m: setattr(m, "act", nn.LeakyReLU(1e-3)),
    "setting": lambda m: m.settings["scale"].__setitem__(0, 1.0001),
    "function": lambda m: setattr(m, "function", lambda x: torch.tanh(x) * 1.0001),
    "index": lambda m: m.order.copy_(m.order.flip(0)),
    "module's setting": lambda m: setattr(m.conv2, "padding_mode", "circular"),
    "shape": lambda m: setattr(m, "fc", nn.Linear(8, 10, bias=False)),
    "patched forward": lambda m: setattr(m.act, "forward", lambda x: x.clamp(min=1e-3)),
}


@pytest.mark.parametrize("replayed", [False, True], ids=["step by step", "replayed"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_model_becomes_another(change: str, replayed: bool, request: pytest.FixtureRequest) -> None:
    recorded = request.getfixturevalue("recorded") if replayed else None
    model, more = Switched().eval(), {**WINDOWS, "method": "incremental"}
    mapper = zfcuda.OcclusionMapper(model, picture(0, CPU), **more)
    image = picture(1, CPU)
    for _ in range(2):
        same_maps(mapper(image), zfcuda.occlusion_map(model, image, **more))
    if recorded is not None:
        assert recorded.made == 1
    try:
        CHANGES[change](model)
        for _ in range(2):
            expected = zfcuda.occlusion_map(model, image, **{**more, "method": "batched"})
            torch.testing.assert_close(mapper(image).logits, expected.logits, rtol=1e-6, atol=1e-6)
    except RuntimeError as error:
        assert "incremental" in str(error)


def test_a_hook_that_comes_later(model: nn.Module, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfcuda.occlusion.prepared.predicted", lambda _: Choice(True, "cheaper"))
    image = picture(1, device)
    mapper = zfcuda.OcclusionMapper(model, picture(0, device), **WINDOWS)
    assert mapper(image).method == "incremental"
    handle = model.conv3.register_forward_hook(lambda module, inputs, output: output * 2)
    found = mapper(image)
    assert found.method == "batched" and "hook" in found.reason
    same_maps(found, zfcuda.occlusion_map(model, image, **WINDOWS))
    handle.remove()


def test_training_mode_is_kept(model: nn.Module, device: torch.device) -> None:
    model.train()
    mapper = zfcuda.OcclusionMapper(model, picture(0, device), **WINDOWS)
    mapper(picture(1, device))
    assert all(module.training for module in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_reduced_precision_says_how_far_it_is_off(model: nn.Module, device: torch.device) -> None:
    mapper = zfcuda.OcclusionMapper(model, picture(0, device), dtype=torch.bfloat16, method="incremental", **WINDOWS)
    found = mapper(picture(1, device))
    exact = zfcuda.occlusion_map(model, picture(1, device), **WINDOWS)
    assert "in bfloat16 the outputs of 10 windows" in found.reason
    assert (found.logits - exact.logits).abs().max() < 0.1 * exact.logits.abs().max()


BAD: dict[str, Callable[[zfcuda.OcclusionMapper, Tensor], Any]] = {
    "image: expected torch.float32 .3, 41, 37. on cpu, as the first one": lambda m, x: m(x[:, :40]),
    "image: expected the model's dtype": lambda m, x: m(x.double()),
    "image: expected finite values": lambda m, x: m(x / 0 * 0),
    "image: expected a Tensor": lambda m, x: m(x.numpy()),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_pictures(message: str) -> None:
    image = picture(0, torch.device("cpu"))
    mapper = zfcuda.OcclusionMapper(Residual(), image, **WINDOWS)
    with pytest.raises((ValueError, TypeError), match=message):
        BAD[message](mapper, image)
    assert mapper(image).logits.isfinite().all()


class Joined(nn.Module):
    """Its last steps run on several chunks together: the first linear layer, and a branch that moves a map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc, self.turned, self.head = nn.Linear(8 * 400, 5), nn.Conv2d(8, 6, 3), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv2(F.max_pool2d(torch.relu(self.conv1(x)), 2)))
        y = self.fc(x.flatten(1))
        return y + self.head(self.turned(torch.flip(x, (3,))).mean((2, 3)))


@pytest.mark.parametrize("layer", ["conv1", "conv2", "turned"])
def test_chunks_of_another_size_at_each_picture(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine whose free memory changes, or runs out amid a map: tables of chunks that were cut elsewhere are
    not for these.
    """
    model = Joined().eval()
    more: dict[str, Any] = {"window": 6, "stride": 2, "method": "incremental", "layer": layer, "unit": 2}
    size, run, room, calls = (3, 40, 40), ConvolutionStep.run, 0, 0

    def short(self: ConvolutionStep, chunk: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 3 and len(chunk) > room and "conv" in self.conv.label:
            raise torch.OutOfMemoryError("out of memory")
        return run(self, chunk)

    mapper = zfcuda.OcclusionMapper(model, torch.rand(size), **more)
    for seed, (windows, least) in enumerate([(100, 100), (30, 30), (100, 100), (100, 20), (7, 7), (30, 30), (30, 8)]):
        image = torch.rand(size, generator=torch.Generator().manual_seed(seed))
        expected = zfcuda.occlusion_map(model, image, **more)
        room, calls = least, 0
        with monkeypatch.context() as context:
            context.setattr(Footprint, "chunk", lambda *_, size=windows: size)
            context.setattr(ConvolutionStep, "run", short)
            same_maps(mapper(image), expected)


def test_bad_arguments() -> None:
    image = picture(0, torch.device("cpu"))
    with pytest.raises(ValueError, match=r"method: .*'fast'"):
        zfcuda.OcclusionMapper(Residual(), image, method="fast")
    with pytest.raises(TypeError, match="speed"):
        zfcuda.OcclusionMapper(Residual(), image, speed=3)


# ---------------------------------------------------------------- what a CUDA graph would replay


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Recorded]]:
    monkeypatch.setattr(cuda_graph, "Recording", Recorded)
    monkeypatch.setattr(cuda_graph, "_has_graphs", lambda picture: True)
    Recorded.made = 0
    # What is decided by a map's values is decided where the CPU's own kernels are chosen, never on a GPU.
    monkeypatch.setattr(Base, "limit", lambda self, index: 1e30)
    monkeypatch.setattr("zfcuda.occlusion.incremental.engine.within", lambda values, most: True)
    monkeypatch.setattr("zfcuda.occlusion.incremental.reductions.differences_lose", lambda *_: None)
    yield Recorded


REPLAYED = [name for name in ARGUMENTS if name != "batched"]


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, torch.float32) for name in REPLAYED), ("plain", torch.float64)], ids=str
)
def test_a_replay_is_right_for_another_picture(name: str, dtype: torch.dtype, recorded: type[Recorded]) -> None:
    model = Residual().to(dtype).eval()
    maps = zfcuda.OcclusionMapper(model, picture(0, CPU, dtype), **WINDOWS, method="incremental", **ARGUMENTS[name])
    for seed in (0, 1):
        image = picture(seed, CPU, dtype)
        found = maps(image)
        assert found.reason.endswith("replayed from a CUDA graph") and not found.logits.is_inference()
        same_maps(found, zfcuda.occlusion_map(model, image, **WINDOWS, method="incremental", **ARGUMENTS[name]))
    assert recorded.made == 1


def test_a_replay_is_asked_about_another_target_and_unit(recorded: type[Recorded]) -> None:
    each_of_its_own(Residual().eval(), CPU, method="incremental")
    assert recorded.made == 1


def test_a_replay_reads_the_weights(recorded: type[Recorded]) -> None:
    model, image = Residual().eval(), picture(1, CPU)
    incremental = {**WINDOWS, "method": "incremental"}
    maps = zfcuda.OcclusionMapper(model, picture(0, CPU), **incremental)
    maps(image)
    with torch.no_grad():
        model.conv2.weight.mul_(-1)
        model.fc.bias.add_(1)
    same_maps(maps(image), zfcuda.occlusion_map(model, image, **incremental))
    assert recorded.made == 1
    model.conv1.weight = nn.Parameter(torch.randn_like(model.conv1.weight))
    same_maps(maps(image), zfcuda.occlusion_map(model, image, **incremental))
    assert recorded.made == 2


def test_what_cannot_be_recorded_runs_step_by_step(recorded: type[Recorded], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Recorded, *_: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Recorded, "__init__", refuse)
    model = Residual().eval()
    maps = zfcuda.OcclusionMapper(model, picture(0, CPU), **WINDOWS, method="incremental")
    found = maps(picture(1, CPU))
    assert "CUDA graph" not in found.reason
    same_maps(found, zfcuda.occlusion_map(model, picture(1, CPU), **WINDOWS, method="incremental"))


def test_a_replay_that_is_wrong_is_refused(recorded: type[Recorded], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two windows are run through the model itself at each image."""
    model, image = Residual().eval(), picture(1, CPU)
    maps = zfcuda.OcclusionMapper(model, picture(0, CPU), **WINDOWS, method="incremental")
    replay = Recorded.__call__

    def spoilt(self: Recorded, *inputs: Tensor) -> list[Tensor]:
        base, logits, exact, held, own = replay(self, *inputs)
        return [base, logits + 1, exact + 1, held + 1, own]

    monkeypatch.setattr(Recorded, "__call__", spoilt)
    found = maps(image)
    assert "CUDA graph" not in found.reason
    same_maps(found, zfcuda.occlusion_map(model, image, **WINDOWS, method="incremental"))


# ---------------------------------------------------------------- the steps of a GPU, on the CPU


def test_patches_of_all_sizes_in_one_matrix_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does with float32."""
    model, image = Residual().eval(), picture(0, CPU)
    expected = zfcuda.occlusion_map(model, image, **WINDOWS, method="batched")
    called = []

    by_product = WAYS["product"]

    def product(step: ConvolutionStep, chunk: Any) -> Any:
        called.append(step.index)
        return by_product(step, chunk)

    for way in ("ragged", "pointwise"):
        monkeypatch.setitem(WAYS, way, product)
    found = zfcuda.occlusion_map(model, image, **WINDOWS, method="incremental")
    assert len(set(called)) == 3
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("budget", [1 << 30, 800_000], ids=["at_once", "in_chunks"])
def test_the_engine_never_waits_for_a_gpu(dtype: torch.dtype, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On tensors that are said to be on a GPU and hold nothing: whoever asks for a value fails, and so does who mixes
    devices. The second picture copies no table to the GPU, so that it can be captured.
    """
    model, image = Residual().eval(), picture(0, CPU)
    with torch.inference_mode():
        network = trace(model, image[None])
        values = network.run(image[None], [network.names[""], network.names["conv3"]])
        plan = Plan(network, values, SIZE[1:], (9, 9), (7, 7), network.names["conv3"])
    copies = 0

    def copied(table: np.ndarray, device: torch.device) -> Tensor:
        nonlocal copies
        copies += 1
        return torch.empty(table.shape, dtype=torch.int64, device=device)

    monkeypatch.setattr(patches, "on_device", copied)
    monkeypatch.setattr(sums, "on_device", copied)
    with fake_gpu() as on_gpu:
        there = {i: on_gpu(values[i]) for i in plan.needed}
        for first in (True, False):
            copies = 0
            fill = on_gpu(torch.zeros(SIZE))
            result = plan.run(fill, there, dtype, budget, tqdm(disable=True), repeated=True)
            assert (copies > 0) is first
        assert result.activity is not None
        assert result.logits.device.type == result.activity.device.type == "cuda"
        assert result.logits.shape == (plan.grid[0] * plan.grid[1], 10)
