"""Projector: many pictures, one projection; and what can be told without a GPU of how it runs on one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.harness.fake_gpu import fake_gpu
from tests.harness.recorded import Recorded
from zfcuda import cuda_graph
from zfcuda.backward import filters
from zfcuda.backward.rules import Rules
from zfcuda.backward.units import UnitSelection
from zfcuda.backward.walk import BackwardPath
from zfcuda.network import trace

CPU = torch.device("cpu")
SIZE = (3, 33, 29)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5, 2, 1)
        self.pool1 = nn.MaxPool2d(3, 2, 1)
        self.norm1 = nn.LocalResponseNorm(5, 0.3, 0.75, 2.0)
        self.conv2 = nn.Conv2d(8, 12, 3, 2, padding=1, groups=2)
        self.bn2 = nn.BatchNorm2d(12)
        self.pool2 = nn.AvgPool2d(2, 1)
        self.fc = nn.Linear(12 * 3 * 3, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(self.pool1(torch.relu(self.conv1(x))))
        x = self.pool2(torch.relu(self.bn2(self.conv2(x)) + 0.1))
        return self.fc(x.flatten(1))


class Moves(nn.Module):
    """Steps that are undone by the transpose of the very call, and one that is along the axes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 5, 2, 1, padding_mode="reflect"), nn.Conv2d(8, 12, 3, groups=2)
        self.last = nn.Conv2d(12, 7, 1)
        self.pad, self.act = nn.ZeroPad2d((0, 1, 2, 0)), nn.ReLU6(inplace=True)
        self.mean, self.std = nn.Parameter(torch.rand(3, 1, 1)), nn.Parameter(1 + torch.rand(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pad(self.act(self.conv1((x - self.mean) / self.std)))
        x = x.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2)
        x = torch.cat([x[:, 3:].float(), x.split([3, 5], 1)[0] * 2], 1)
        x = self.conv2(nn.functional.interpolate(x, scale_factor=2))
        return self.last(torch.stack([x.clamp(0, 1), x.flip(3)], 1).sum(1))


def network_for(name: str) -> Any:
    return (Moves() if name == "moves" else Net()).eval()


@pytest.fixture
def model(device: torch.device) -> nn.Module:
    return Net().to(device).eval()


@pytest.fixture(autouse=True)
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def picture(seed: int, device: torch.device = CPU) -> Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed)).to(device)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()) + 1e-8)


ARGUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "strongest": ("conv2", {}),
    "several": ("bn2", {"top": 3}),
    "unit": ("conv2", {"unit": 2, "top": 4}),
    "place": ("pool2", {"unit": 5, "position": (1, 2)}),
    "strongest there": ("conv1", {"position": (7, 0), "top": 2}),
    "whole map": ("conv2", {"position": "all", "top": 2}),
    "class": ("fc", {"lrn": "divide"}),
    "moves": ("last", {"top": 2}),
}


@pytest.mark.filterwarnings("ignore:project")
@pytest.mark.parametrize("name", ARGUMENTS)
def test_many_pictures(name: str, device: torch.device) -> None:
    model = network_for(name).to(device)
    layer, arguments = ARGUMENTS[name]
    projector = zfcuda.Projector(model, picture(0, device), layer, **arguments)
    for seed in (0, 1, 2):
        image = picture(seed, device)
        projections = projector(image)
        assert projections.shape == (arguments.get("top", 1), *SIZE)
        close(projections, zfcuda.project(model, image, layer, **arguments))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(-0.5)
    close(projector(picture(1, device)[None]), zfcuda.project(model, picture(1, device), layer, **arguments))


def test_what_is_silent_is_said(model: nn.Module, device: torch.device) -> None:
    projector = zfcuda.Projector(model, picture(0, device), "conv1")
    with torch.no_grad():
        model.conv1.weight.zero_()
        model.conv1.bias.fill_(-1)
    with pytest.warns(UserWarning, match=r"'conv1' the activation is not positive for unit 0 \(-1\)"):
        assert not projector(picture(1, device)).any()


BAD: dict[str, Callable[[zfcuda.Projector], Any]] = {
    r"image: expected torch.float32 \[1, 3, 33, 29\] on cpu, as the first one, got .*29, 33": lambda p: p(
        picture(0).transpose(1, 2)
    ),
    "image: .* got torch.float64": lambda p: p(picture(0).double()),
    "image: .* got str": lambda p: p("cat.png"),
    "image: expected finite values": lambda p: p(picture(0) / 0),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_pictures(message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        BAD[message](zfcuda.Projector(Net(), picture(0), "conv2"))


@pytest.mark.parametrize(
    "message, layer, arguments",
    [
        ("unit: expected 0 to 11", "conv2", {"unit": 12}),
        (r"position: expected a place .*, got \(99, 0\)", "conv2", {"position": (99, 0)}),
        ("layer: .*'conv9'", "conv9", {}),
        ("top: expected at least 1", "conv2", {"top": 0}),
        ("lrn: expected", "conv2", {"lrn": "multiply"}),
    ],
)
def test_bad_arguments(message: str, layer: str, arguments: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError), match=message):
        zfcuda.Projector(Net(), picture(0), layer, **arguments)


# ---------------------------------------------------------------- what a CUDA graph would replay


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Recorded]]:
    monkeypatch.setattr(cuda_graph, "Recording", Recorded)
    monkeypatch.setattr(cuda_graph, "_has_graphs", lambda batch: True)
    monkeypatch.setattr(filters, "_where_it_is", filters._in_full)  # as on a GPU
    Recorded.made = 0
    yield Recorded


@pytest.mark.filterwarnings("ignore:project")
@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_replay_is_right_for_another_picture(name: str, recorded: type[Recorded]) -> None:
    model = network_for(name)
    layer, arguments = ARGUMENTS[name]
    replayed = zfcuda.Projector(model, picture(0), layer, **arguments)
    for seed in (0, 1, 2):
        close(replayed(picture(seed)), zfcuda.project(model, picture(seed), layer, **arguments))
    with torch.no_grad():
        model.conv1.weight.mul_(-1)
    close(replayed(picture(1)), zfcuda.project(model, picture(1), layer, **arguments))
    assert recorded.made == 1 and not replayed._replay.refused
    model.conv1.weight = nn.Parameter(torch.randn_like(model.conv1.weight))
    close(replayed(picture(1)), zfcuda.project(model, picture(1), layer, **arguments))
    assert recorded.made == 2


def test_a_replay_still_checks(recorded: type[Recorded]) -> None:
    model = Net().eval()
    replayed = zfcuda.Projector(model, picture(0), "conv2")
    with pytest.raises(ValueError, match="image: expected finite values"):
        replayed(picture(0) / 0)
    with torch.no_grad():
        model.conv2.bias.fill_(torch.inf)
    with pytest.raises(ValueError, match="expected finite values from 'conv2', got NaN"):
        replayed(picture(0))
    handle = model.conv2.register_forward_hook(lambda module, inputs, output: output * 0 + 1)
    with pytest.raises(ValueError, match="conv2"):
        replayed(picture(0))
    handle.remove()
    assert recorded.made == 1


@pytest.mark.parametrize("relu, lrn", [("deconvnet", None), ("gradient", "exact"), ("guided", "exact")])
# The transposes of "moves" are torch.autograd's, for which there is no pretending; that they read no value, the test of
# the replay shows.
@pytest.mark.parametrize("name", sorted(ARGUMENTS.keys() - {"moves"}))
def test_a_projection_never_waits_for_a_gpu(name: str, relu: str, lrn: str | None) -> None:
    layer, arguments = ARGUMENTS[name]
    model = network_for(name)
    network = trace(model)
    path = BackwardPath.of(network, layer, Rules(relu, lrn or arguments.get("lrn", "identity")))
    selection = UnitSelection(layer, arguments.get("unit"), arguments.get("position"), arguments.get("top", 1))
    with warnings.catch_warnings(), torch.no_grad(), fake_gpu() as on_gpu:
        for module in model.modules():
            for key, tensor in [*module._parameters.items(), *module._buffers.items()]:
                if tensor is not None:
                    delattr(module, key)
                    setattr(module, key, on_gpu(tensor))
        forward = path.forward(on_gpu(picture(0)[None]))
        selected = selection.chosen(forward.activation[0])
        result = forward.projections(selection.seeds(forward.activation[0], selected))
        assert result.device.type == "cuda" and result.shape == (selection.top, *SIZE)


@pytest.mark.parametrize("wait", [lambda x: bool(x.any()), lambda x: x.max().item()])
def test_who_waits_for_the_gpu_is_caught(wait: Callable[[Tensor], Any]) -> None:
    """The test of the test above."""
    with fake_gpu() as on_gpu, pytest.raises(Exception, match="_local_scalar_dense"):
        wait(on_gpu(torch.ones(3)))
    with fake_gpu() as on_gpu, pytest.raises(Exception, match="device"):
        on_gpu(torch.ones(3)) + torch.ones(3)
