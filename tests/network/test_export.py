"""Models that branch on shapes: the same graph as that of torch.fx, for images of one shape."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from tests.network.test_network import ZOO, hooked_values, randomised
from zfcuda.network import Network, receptive_field, trace

SHAPE = (3, 16, 14)


class OfSize(nn.Module):
    """Wraps a model that torch.fx records in a forward that it refuses."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] > 10:
            x = self.model(x)
        return x


class Written(nn.Module):
    """A forward given as a function of the model and the image."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 1)
        self.relu = nn.ReLU(inplace=True)
        self.scale = torch.linspace(0.5, 1.5, 6).view(6, 1, 1)  # no buffer
        self.register_buffer("count", torch.ones(()))
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def value(network: Network, image: Tensor, layer: str = "") -> Any:
    with torch.no_grad():
        return network.run(image, [network.names[layer]])[network.names[layer]]


def check(model: nn.Module, network: Network, *shape: int) -> None:
    """Compares the values of all layers, for any number of images."""
    for n in (1, 2, 5):
        image = torch.randn(n, *shape)
        expected = hooked_values(copy.deepcopy(model), image)
        before = image.clone()
        values = network.run(image, network.names.values())
        assert set(network.names) == set(expected)
        for layer, index in network.names.items():
            torch.testing.assert_close(
                values[index], expected[layer], rtol=1e-6, atol=1e-6, msg=lambda text, at=layer: f"{at}: {text}"
            )
        assert torch.equal(image, before)


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.filterwarnings("error")
def test_every_layer_has_the_value_that_the_model_computes(name: str) -> None:
    model = OfSize(randomised(ZOO[name]())).eval()
    shape = (3, 224, 224) if name == "zfnet" else (3, 19, 17)
    check(model, trace(model, torch.randn(1, *shape)), *shape)


def of_shape(model: Any, x: Tensor) -> Tensor:
    x = model.conv(x)
    return model.last(x * model.scale) if x.shape[-1] > 10 else model.last(x)


def loop(model: Any, x: Tensor) -> Tensor:
    n, _, h, w = x.shape
    assert h >= w
    x = model.conv(x)
    for i in range(h // 4):
        x = x + i * x.mean((2, 3), keepdim=True)
    return x.reshape(n, 2, 3, h, w).transpose(1, 2).reshape(n, -1, h, w)


def in_place(model: Any, x: Tensor) -> Tensor:
    x = model.conv(x)
    same = x
    x += model.count
    if x.shape[1] == 6:
        model.relu(x)
    x *= 2
    return model.relu(model.last(x + same)) + F.relu_(same).flatten(2).sum()


def through_views(model: Any, x: Tensor) -> Tensor:
    x = model.conv(x)
    if x.shape[1] > 2:
        x[:, 1] = 0.5
        x[:, 2:4].sigmoid_()
    return model.last(x)


def on_the_picture(model: Any, x: Tensor) -> Tensor:
    if x.shape[1] == 3:
        x.sub_(torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1))
    return model.conv(x[:, [2, 1, 0]])


def in_parts(model: Any, x: Tensor) -> Tensor:
    x = model.conv(x)
    a, b, c = x.chunk(3, 1) if x.shape[1] == 6 else x
    d, e = x.split([1, 5], dim=1)
    f, g, _ = torch.split(x, 2, 1)
    return torch.cat([b, a, c, e, d, f * g.softmax(1), x[:, -2:], F.channel_shuffle(x, 3), x[:, 2].unsqueeze(1)], 1)


@pytest.mark.parametrize("function", [of_shape, loop, in_place, through_views, on_the_picture, in_parts])
def test_branches_loops_and_writes(function: Callable[[Any, Tensor], Tensor]) -> None:
    model = Written(function).eval()
    with pytest.raises(ValueError, match=r"the forward of Written cannot be recorded by torch\.fx"):
        trace(model)
    check(model, trace(model, torch.randn(2, *SHAPE)), *SHAPE)


def kinds(network: Network) -> list[str]:
    return [node.kind for node in network.ancestors([network.names[""]]) if node.kind != "constant"]


def test_kinds_are_those_of_torch_fx() -> None:
    example = torch.randn(1, 3, 19, 17)
    model = ZOO["styles"]()
    model.conv3.padding_mode = "zeros"  # any other is recorded as two steps
    exported = trace(OfSize(model), example)
    # Where one way to ask for the size has one step less.
    assert [kind for kind in kinds(exported) if kind != "other"] == [k for k in kinds(trace(model)) if k != "other"]
    assert kinds(trace(Written(in_place), example)) == [
        "input",
        "conv",
        "add",
        "relu",
        "mul",
        "add",
        "conv",
        "relu",
        "relu",
        "reshape",
        "other",
        "add",
    ]
    parts = kinds(trace(Written(in_parts), example))
    assert parts.count("channels") == 10 and "softmax" in parts and "other" not in parts
    assert kinds(trace(Written(on_the_picture), example))[-2:] == ["channels", "conv"]


def test_labels_and_names() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu, self.unused = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.ReLU()

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.relu(self.conv(self.relu(x)))
            return (y, torch.tanh(y)) if x.shape[-1] > 10 else (y, x)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Block()
            self.also = self.block.conv

        def forward(self, x: Tensor) -> Tensor:
            return self.also(self.block(x)[1]) + self.block.conv.bias.sum()

    model = Model().eval()
    network = trace(model, torch.randn(1, *SHAPE))
    assert network.layers == ["block.relu", "block.conv", "also"]
    assert network.names["also"] == network.names["block.conv"]  # one module under two names, its last call
    with pytest.raises(ValueError, match=r"'block' returns a tuple, not a tensor"):
        network.node("block")
    with pytest.raises(ValueError, match=r"'block\.unused' is not called in the forward pass"):
        network.node("block.unused")
    labels = [node.label for node in network.nodes if node.kind != "constant"]
    assert labels == [
        "the picture",
        "layer 'block.relu' (ReLU)",
        "layer 'block.conv' (Conv2d)",
        "layer 'block.relu' (ReLU)",
        "tanh in layer 'block'",
        "layer 'block.conv' (Conv2d)",
        "sum in the model's forward",
        "add in the model's forward",
    ]
    image = torch.randn(2, *SHAPE)
    torch.testing.assert_close(value(network, image), model(image))


def test_training_on_is_seen() -> None:
    inner = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4), nn.ReLU())
    model = OfSize(inner)
    network = trace(model, torch.randn(1, *SHAPE))
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    model(torch.randn(4, *SHAPE)).square().sum().backward()
    optimiser.step()
    with torch.no_grad():
        inner[1].running_mean = torch.randn(4)  # another tensor
    check(model.eval(), network, *SHAPE)


def test_wrappers_layouts_and_modes() -> None:
    model = OfSize(nn.Sequential(torch.compile(nn.Conv2d(3, 4, 3)), nn.Flatten(), nn.LazyLinear(2))).eval()  # type: ignore[arg-type]
    example = torch.randn(1, *SHAPE)
    model.model[0] = model.model[0]._orig_mod
    model(example)
    expected = model(example)
    model.model[0] = torch.compile(model.model[0])
    with torch.inference_mode(), torch.autocast("cpu"):
        network = trace(torch.compile(model), example)  # type: ignore[arg-type]
    assert network.layers == ["model.0", "model.1", "model.2", "model"]
    torch.testing.assert_close(value(network, example.contiguous(memory_format=torch.channels_last)), expected)


def test_the_model_is_left_as_it_was() -> None:
    calls: list[str] = []

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()
            self.bn.eval()  # frozen by its owner
            self.features: Any = None
            self.register_buffer("count", torch.zeros(()))

        def train(self, mode: bool = True) -> Model:
            raise AssertionError("not to be called")

        def forward(self, x: Tensor) -> Tensor:
            self.features = self.conv(x)
            self.extra = 1
            self.count += 1
            if x.shape[-1] == 13:
                raise ValueError("13")
            # Statistics of the batch, which would be counted.
            y = F.batch_norm(self.features, self.bn.running_mean, self.bn.running_var, training=True)
            return self.drop(self.bn(y)) if x.shape[-1] > 10 else x

    model = Model()
    model.conv.register_forward_hook(lambda *_: calls.append("leaf"))
    model.register_forward_pre_hook(lambda *_: calls.append("root"))
    handle = nn.modules.module.register_module_forward_hook(lambda *_: calls.append("everywhere"))
    attributes = {id(module): dict(module.__dict__) for module in model.modules()}
    hooks = {id(module): dict(module._forward_hooks) for module in model.modules()}
    state = {name: x.clone() for name, x in model.state_dict().items()}
    network = trace(model, torch.randn(1, *SHAPE))
    network.run(torch.ones(2, *SHAPE), network.names.values())
    with pytest.raises(ValueError, match=r"; nor by torch\.export for images \[3,16,13\]: 13"):
        trace(model, torch.randn(1, 3, 16, 13))
    handle.remove()
    assert calls == []
    assert {id(module): dict(module.__dict__) for module in model.modules()} == attributes
    assert {id(module): dict(module._forward_hooks) for module in model.modules()} == hooks
    assert model.training and model.drop.training and not model.bn.training
    assert all(torch.equal(x, state[name]) for name, x in model.state_dict().items())


def test_pictures_of_another_shape_are_refused() -> None:
    model = Written(of_shape).eval()
    network = trace(model, torch.randn(1, *SHAPE))
    message = r"expected images of \[3,16,14\], which Written was traced for, got "
    with pytest.raises(ValueError, match=rf"image: {message}\[1,3,16,9\]; trace it with an example of this shape"):
        value(network, torch.randn(1, 3, 16, 9))
    with pytest.raises(ValueError, match=rf"image: {message}\[1,3,16,9\]"):
        zfcuda.project(network, torch.randn(3, 16, 9), "conv")
    with pytest.raises(ValueError, match=rf"input_size: {message}\[3,16,9\]"):
        receptive_field(network, "conv", (16, 9))
    assert receptive_field(network, "", SHAPE).size == (3, 3)
    assert zfcuda.project(network, torch.randn(SHAPE), "conv").shape == (1, *SHAPE)
    assert zfcuda.project(network, torch.randn(SHAPE), "last").shape == (1, *SHAPE)


def of_values(model: Any, x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


def of_one(model: Any, x: Tensor) -> Tensor:
    return model.conv(x) if x.shape[0] == 1 else model.conv(-x)


def of_few(model: Any, x: Tensor) -> Tensor:
    return model.conv(x) if x.shape[0] <= 4 else model.conv(-x)


def of_length(model: Any, x: Tensor) -> Tensor:
    return model.conv(x).view(len(x), -1)  # a plain number, unlike x.shape[0]


def of_two(model: Any, x: Tensor) -> Tensor:
    return torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,)) if len(x.shape) == 4 else x


@pytest.mark.parametrize(
    "function, reason",
    [
        (of_values, "Could not guard on data-dependent expression"),
        (of_one, r"the batch dimension cannot be made dynamic: .* != 1"),
        (of_few, r"the batch dimension cannot be made dynamic: .* <= 4"),
        (of_length, "the batch dimension cannot be made dynamic: .* constant"),
        (of_two, "its forward contains cond"),
    ],
)
def test_what_torch_export_refuses_too(
    function: Callable[[Any, Tensor], Tensor], reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    message = rf"Written cannot be recorded by torch\.fx .*; nor by torch\.export for images \[3,16,14\]: {reason}"
    with pytest.raises(ValueError, match=message):
        trace(Written(function), torch.randn(1, *SHAPE))
    assert capfd.readouterr() == ("", "")


def test_attention_asks_for_a_batch_of_one_in_vain() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.attention = nn.Conv2d(3, 8, 4, 4), nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x).flatten(2).transpose(1, 2)
            return self.attention(x, x, x, need_weights=False)[0].mean(1)

    model = Pooled().eval()
    network = trace(model, torch.randn(1, *SHAPE))
    for n in (1, 2, 5):
        image = torch.randn(n, *SHAPE)
        torch.testing.assert_close(value(network, image), model(image), rtol=1e-6, atol=1e-6)


def test_errors() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    assert trace(model, torch.randn(1, *SHAPE)).shape is None  # torch.fx is enough
    with pytest.raises(ValueError, match=r"example: expected \[N,C,H,W\], got \[3,16,14\]"):
        trace(model, torch.randn(SHAPE))
    with pytest.raises(TypeError, match=r"example: expected a floating torch\.Tensor, got torch\.uint8"):
        trace(model, torch.zeros(1, *SHAPE, dtype=torch.uint8))
    with pytest.raises(TypeError, match=r"example: expected a floating torch\.Tensor, got tuple"):
        trace(model, SHAPE)  # type: ignore[arg-type]
