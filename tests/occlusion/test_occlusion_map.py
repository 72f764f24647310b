"""occlusion_map against a loop written by hand, its grid, its checks, and what it leaves untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import zfcuda
from zfcuda.occlusion import watched_model
from zfcuda.occlusion.incremental import footprint
from zfcuda.occlusion.incremental.reductions import FirstLinear
from zfcuda.occlusion.incremental.ways import ConvolutionStep
from zfcuda.occlusion.windows import grid, starts


class Net(nn.Module):
    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3)
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv1(x)).relu_()
        return self.head(self.conv2(x).relu().mean((2, 3)))


@pytest.fixture
def net(device: torch.device) -> nn.Module:
    return Net().to(device).eval()


def by_hand(net: nn.Module, image: Tensor, window: tuple, stride: tuple, fill: Tensor) -> Tensor:
    """One window at a time, as the definition reads."""
    rows, size = [], image.shape[1:]
    with torch.no_grad():
        for y in starts(size[0], window[0], stride[0]):
            row = []
            for x in starts(size[1], window[1], stride[1]):
                occluded = image.clone()
                place = (slice(None), slice(y, y + window[0]), slice(x, x + window[1]))
                occluded[place] = fill.expand_as(image)[place]
                row.append(net(occluded[None])[0])
            rows.append(torch.stack(row))
    return torch.stack(rows)


@pytest.mark.parametrize("window", [(8, 8), (5, 11), (1, 1), (23, 31)])
@pytest.mark.parametrize("stride", [(4, 4), (3, 7), (9, 12)])
def test_is_what_a_loop_gives(net: nn.Module, device: torch.device, window: tuple, stride: tuple) -> None:
    image = torch.randn(3, 23, 31, device=device)
    fill = torch.randn(3, 23, 31, device=device)
    result = zfcuda.occlusion_map(net, image, window=window, stride=stride, fill=fill, target=2)
    expected = by_hand(net, image, window, stride, fill)
    torch.testing.assert_close(result.logits, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(result.score, result.logits[..., 2])
    torch.testing.assert_close(result.probability, result.logits.softmax(-1)[..., 2])
    assert (result.label == result.logits.argmax(-1)).all() and result.label.dtype == torch.int64
    assert result.logits.device == result.origins.device == image.device
    assert result.method in ("batched", "incremental") and result.reason
    torch.testing.assert_close(result.base_logits, net(image[None])[0].detach())


def test_grid_is_captums() -> None:
    assert starts(224, 32, 8) == list(range(0, 193, 8))
    assert starts(23, 8, 4) == [0, 4, 8, 12, 16]  # the last one reaches past the border and is cut off
    assert starts(10, 10, 3) == [0]
    assert starts(10, 2, 4) == [0, 4, 8]
    assert starts(10, 1, 8) == [0, 8]
    assert starts(9, 1, 8) == [0, 8]
    assert starts(8, 1, 8) == [0]  # a stride beyond the window: none starts outside
    assert grid((10, 20), (4, 8), (3, 6)).shape == (3, 3, 2)
    assert grid((10, 20), (4, 8), (3, 6))[1, 2].tolist() == [3, 12]


def test_equals_captum(device: torch.device) -> None:
    captum = pytest.importorskip("captum.attr")
    net = Net().to(device).eval()
    image = torch.randn(1, 3, 23, 31, device=device)
    result = zfcuda.occlusion_map(net, image, window=(8, 5), stride=(3, 4), target=1)
    with torch.no_grad():
        expected = captum.Occlusion(net).attribute(image, (3, 8, 5), (3, 3, 4), target=1)
    torch.testing.assert_close(result.heatmap(), expected[0, 0], rtol=1e-4, atol=1e-6)


def test_heatmap_on_paper() -> None:
    # A 1x4 picture whose score is its sum; windows of 2 at 0 and 2 cover 1+2 and 3+4, so they cost 3 and 7.
    class Sum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).sum(1, keepdim=True)

    image = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    result = zfcuda.occlusion_map(Sum(), image, window=(1, 2), stride=(1, 2))
    assert result.score.tolist() == [[7, 3]]
    assert result.heatmap().tolist() == [[3, 3, 7, 7]]
    overlapping = zfcuda.occlusion_map(Sum(), image, window=(1, 2), stride=1).heatmap()
    assert overlapping.tolist() == [[3, 4, 6, 7]]  # costs 3, 5, 7; pixel 1 is in the first two: 4
    apart = zfcuda.occlusion_map(Sum(), image, window=1, stride=(1, 3)).heatmap()
    assert apart[0].isnan().tolist() == [False, True, True, False]
    assert result.heatmap(size=(2, 8)).shape == (2, 8)


def test_heatmap_keeps_a_score_that_is_no_number_in_its_window() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.flatten(1).sum(1, keepdim=True)
            for at, value in ((5, torch.nan), (6, torch.inf), (7, 1e17)):
                y = torch.where(x[:, 0, at, at : at + 1] == 0, value, y)
            return y

    image = torch.rand(3, 20, 23) + 1
    for window, stride in (((4, 5), (3, 2)), (3, 7), (2, 18)):
        result = zfcuda.occlusion_map(Odd(), image, window=window, stride=stride)
        height, width = result.window
        total, count = torch.zeros(2, 20, 23, dtype=torch.float64)
        for (y, x), score in zip(result.origins.flatten(0, 1).tolist(), result.score.flatten().double(), strict=True):
            total[y : y + height, x : x + width] += result.base_score - score
            count[y : y + height, x : x + width] += 1
        torch.testing.assert_close(result.heatmap(), (total / count).float(), rtol=1e-6, atol=1e-6, equal_nan=True)
    assert result.origins.shape[:2] == (2, 2) and result.heatmap()[2:18, 2:18].isnan().all()


@pytest.mark.parametrize("fill", [0.5, [0.1, 0.2, 0.3], "tensor"])
def test_fills(net: nn.Module, device: torch.device, fill: object) -> None:
    image = torch.randn(3, 20, 20, device=device)
    tensor = torch.randn(3, 1, 1, device=device)
    shape = {float: lambda: torch.full((3, 1, 1), 0.5), list: lambda: torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)}
    expected = tensor if fill == "tensor" else shape[type(fill)]().to(device)
    result = zfcuda.occlusion_map(net, image, window=6, stride=7, fill=tensor if fill == "tensor" else fill)
    torch.testing.assert_close(result.logits, by_hand(net, image, (6, 6), (7, 7), expected), rtol=1e-5, atol=1e-5)


def test_targets(net: nn.Module, device: torch.device) -> None:
    image = torch.randn(3, 20, 20, device=device)
    best = zfcuda.occlusion_map(net, image, window=8)
    assert best.target == int(net(image[None]).argmax())
    margin = zfcuda.occlusion_map(net, image, window=8, target=lambda z: z[:, 0] - z[:, 1])
    torch.testing.assert_close(margin.score, margin.logits[..., 0] - margin.logits[..., 1])
    torch.testing.assert_close(margin.base_score, margin.base_logits[0] - margin.base_logits[1])


def test_activity_is_of_the_layer_before_an_inplace_relu(net: nn.Module, device: torch.device) -> None:
    image = torch.randn(3, 20, 20, device=device)
    for layer in ("norm", "conv2", "head"):
        result = zfcuda.occlusion_map(net, image, window=8, stride=6, layer=layer)
        y, x = result.origins[1, 1].tolist()
        occluded = image.clone()
        occluded[:, y : y + 8, x : x + 8] = 0
        values = {}
        with torch.no_grad():
            values["norm"] = net.norm(net.conv1(occluded[None]))
            values["conv2"] = net.conv2(values["norm"].relu())
            values["head"] = net(occluded[None])
            whole = net.conv2(net.norm(net.conv1(image[None])).relu())
        expected = values[layer][0, result.unit].sum()
        torch.testing.assert_close(result.activity[1, 1], expected, rtol=1e-4, atol=1e-4)
        if layer == "conv2":
            assert result.unit == int(whole.sum((2, 3)).argmax())
    assert zfcuda.occlusion_map(net, image, window=8, layer="conv2", unit=3).unit == 3
    assert zfcuda.occlusion_map(net, image, window=8).activity is None


@pytest.mark.parametrize(
    ("head", "how"),
    [
        (nn.Linear(8, 1), "sigmoid"),
        (nn.Sequential(nn.Linear(8, 4), nn.Softmax(1)), "none"),
        (nn.Linear(8, 4), "softmax"),
    ],
)
def test_probability(head: nn.Module, how: str) -> None:
    net = Net().eval()
    net.head = head
    image = torch.randn(3, 20, 20)
    auto = zfcuda.occlusion_map(net, image, window=8)
    named = zfcuda.occlusion_map(net, image, window=8, probability=how)
    torch.testing.assert_close(auto.probability, named.probability)
    expected = {"sigmoid": torch.sigmoid, "none": lambda z: z, "softmax": lambda z: z.softmax(-1)}[how](auto.logits)
    torch.testing.assert_close(auto.probability, expected[..., auto.target])
    if how == "sigmoid":
        assert (auto.label == (auto.probability > 0.5)).all()


def test_chunks_change_nothing(net: nn.Module, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.randn(3, 20, 20, device=device)
    whole = zfcuda.occlusion_map(net, image, window=8, stride=2, method="batched")
    tight = zfcuda.occlusion_map(net, image, window=8, stride=2, memory_budget=1, method="batched")
    torch.testing.assert_close(whole.logits, tight.logits, rtol=1e-5, atol=1e-5)
    # Out of memory: the chunk is halved and the work goes on.
    sizes, real = [], watched_model.WatchedModel.__call__

    def scarce(self: watched_model.WatchedModel, pictures: Tensor) -> Tensor:
        if type(pictures) is Tensor and len(pictures) > 3:
            raise torch.OutOfMemoryError("out of memory")
        if type(pictures) is Tensor:  # not a stand-in
            sizes.append(len(pictures))
        return real(self, pictures)

    monkeypatch.setattr(watched_model.WatchedModel, "__call__", scarce)
    result = zfcuda.occlusion_map(net, image, window=8, stride=2, method="batched")
    torch.testing.assert_close(whole.logits, result.logits, rtol=1e-5, atol=1e-5)
    assert 1 < max(sizes) <= 3


def test_scarce_memory_in_the_engine(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory before or in the linear layers: smaller chunks, and the work goes on."""
    net = (
        nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(486, 5)).to(device).eval()
    )
    image = torch.randn(3, 20, 20, device=device)
    whole = zfcuda.occlusion_map(net, image, window=8, stride=2, method="incremental", memory_budget=60_000)
    for step in (ConvolutionStep, FirstLinear):
        sizes, real = [], step.run

        def scarce(self: Any, chunk: Any, real: Any = real, sizes: list[int] = sizes) -> Any:
            if len(chunk) > 3:
                raise torch.OutOfMemoryError("out of memory")
            sizes.append(len(chunk))
            return real(self, chunk)

        with monkeypatch.context() as patched:
            patched.setattr(step, "run", scarce)
            patched.setattr(footprint, "_WINDOWS", dict.fromkeys(("cpu", "cuda"), 3 if step is FirstLinear else 64))
            result = zfcuda.occlusion_map(net, image, window=8, stride=2, method="incremental")
        torch.testing.assert_close(whole.logits, result.logits, rtol=1e-5, atol=1e-5)
        assert 1 < max(sizes) <= 3


def test_leaves_the_model_alone(net: nn.Module, device: torch.device) -> None:
    net.train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    image = torch.randn(3, 20, 20, device=device)
    result = zfcuda.occlusion_map(net, image, window=8, layer="conv2")
    assert all(m.training for m in net.modules())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert not any(m._forward_hooks for m in net.modules())
    (
        result.logits * torch.ones_like(result.logits, requires_grad=True)
    ).sum().backward()  # no inference tensors come out
    with pytest.raises(ValueError, match="unit"):
        zfcuda.occlusion_map(net, image, window=8, layer="conv2", unit=99)
    assert not any(m._forward_hooks for m in net.modules()) and net.training
    with torch.inference_mode():
        zfcuda.occlusion_map(net, image, window=8)


def test_channels_last_and_compiled_models() -> None:
    net, image = Net().eval(), torch.randn(3, 20, 20)
    expected = zfcuda.occlusion_map(net, image, window=8).logits
    compiled = torch.compile(net, backend="eager")
    torch.testing.assert_close(zfcuda.occlusion_map(compiled, image, window=8).logits, expected, rtol=1e-5, atol=1e-5)
    net = net.to(memory_format=torch.channels_last)
    torch.testing.assert_close(zfcuda.occlusion_map(net, image, window=8).logits, expected, rtol=1e-5, atol=1e-5)


def test_reduced_precision() -> None:
    net, image = Net().eval(), torch.randn(3, 20, 20)
    exact = zfcuda.occlusion_map(net, image, window=8)
    rough = zfcuda.occlusion_map(net, image, window=8, dtype=torch.bfloat16)
    assert rough.logits.dtype == torch.float32
    assert not torch.equal(exact.logits, rough.logits)
    torch.testing.assert_close(exact.logits, rough.logits, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_precision_that_the_device_computes_slowly(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.dtype] = []
    monkeypatch.setattr("zfcuda.occlusion.experiment.is_fast", lambda dtype, device: bool(asked.append(dtype)))
    net, image = Net().eval(), torch.randn(3, 20, 20)
    found, expected = (zfcuda.occlusion_map(net, image, window=8, dtype=d) for d in (dtype, None))
    assert asked == [dtype] and torch.equal(found.logits, expected.logits)
    name = str(dtype).removeprefix("torch.")
    assert found.reason == f"{expected.reason}; not in {name}, which this device computes slowly, but in float32"


def test_save(tmp_path: Path) -> None:
    result = zfcuda.occlusion_map(Net().eval(), torch.randn(3, 20, 20), window=8, layer="conv1")
    result.save(tmp_path / "map.npz")
    with np.load(tmp_path / "map.npz") as file:
        assert np.array_equal(file["logits"], result.logits.numpy())
        assert (
            file["window"].tolist() == [8, 8]
            and str(file["method"]) == result.method
            and int(file["target"]) == result.target
        )
        assert np.array_equal(file["activity"], result.activity.numpy())
    assert [p.name for p in tmp_path.iterdir()] == ["map.npz"]
    (tmp_path / "plain").touch()
    assert (tmp_path / "map.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode


IMAGE = torch.zeros(3, 20, 20)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image": torch.zeros(2, 3, 20, 20)}, ValueError, r"image: .*\[2, 3, 20, 20\]"),
        ({"image": np.zeros((3, 20, 20))}, TypeError, "image: .*ndarray"),
        ({"image": IMAGE.long()}, TypeError, "image: .*int64"),
        ({"image": IMAGE.double()}, TypeError, "image: .*float64"),
        ({"image": IMAGE / 0}, ValueError, "image: expected finite values"),
        ({"window": 0}, ValueError, "window: .*0"),
        ({"window": (4, 5, 6)}, ValueError, "window: .*4, 5, 6"),
        ({"window": 21}, ValueError, "window: 21 x 21 is larger than the image, 20 x 20"),
        ({"stride": -1}, ValueError, "stride: .*-1"),
        ({"fill": [1.0, 2.0]}, ValueError, "fill: .*3 numbers.*2"),
        ({"fill": torch.zeros(7)}, ValueError, r"fill: shape \[7\]"),
        ({"fill": float("nan")}, ValueError, "fill: it holds NaN"),
        ({"target": 4}, ValueError, "target: .*0 to 3, got 4"),
        ({"target": "dog"}, ValueError, "target: .*'dog'"),
        ({"target": lambda z: z}, ValueError, "target: "),
        ({"layer": "conv9"}, ValueError, "layer: .*'conv9'.*conv1, norm, conv2, head"),
        ({"unit": 1}, ValueError, "unit: 1 of which layer"),
        ({"layer": "conv1", "unit": 6}, ValueError, "unit: .*0 to 5, got 6"),
        ({"method": "magic"}, ValueError, "method: .*'magic'"),
        ({"probability": "odds"}, ValueError, "probability: .*'odds'"),
        ({"dtype": torch.int8}, ValueError, "dtype: .*int8"),
        ({"memory_budget": 0}, ValueError, "memory_budget: .*0"),
    ],
)
def test_bad_input_is_named(arguments: dict, error: type[Exception], message: str) -> None:
    image = arguments.pop("image", IMAGE)
    arguments = {"window": 8, **arguments}
    with pytest.raises(error, match=message):
        zfcuda.occlusion_map(Net().eval(), image, **arguments)


def test_random_models_are_refused() -> None:
    class Random(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + torch.randn_like(x))

    with pytest.raises(ValueError, match="model: two runs"):
        zfcuda.occlusion_map(Random().eval(), torch.randn(3, 20, 20), window=8)
