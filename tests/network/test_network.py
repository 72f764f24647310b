"""The graph of a network: every layer's value as the model itself computes it, whatever its style; receptive fields."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import zfcuda
from tests.harness.live_memory import LiveMemory
from zfcuda.models import zfnet
from zfcuda.network import calls, layers, receptive_field, receptive_fields, trace


class Styles(nn.Module):
    """The many ways to write the same layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding="same"), nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.conv3 = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.bn = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x), inplace=True)
        x = self.relu(self.bn(self.conv2(x)))  # self.relu is called twice
        identity = x
        x = self.drop(self.conv3(x))
        x += identity
        x = self.relu(x)
        x = F.max_pool2d(x, 3, 2, padding=1, ceil_mode=True)
        x = F.avg_pool2d(F.dropout(x, 0.3, self.training), 2, stride=1, padding=1, count_include_pad=False)
        x = F.batch_norm(
            x, self.bn.running_mean, self.bn.running_var, self.bn.weight, self.bn.bias, training=self.training
        )
        x = F.local_response_norm(torch.cat([x, x.relu()], 1)[:, :8], 5)
        x = F.adaptive_avg_pool2d(x, (1, 1)) + x.mean((2, 3), keepdim=True)
        return self.fc(x.view(x.size(0), -1))


class Aliased(nn.Module):
    """Values that are overwritten while others still look at them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.drop, self.same = nn.ReLU(True), nn.Dropout(inplace=True), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        also = self.same(self.drop(x)).detach()  # in eval mode the very same memory
        y = self.relu(x) + also  # so that this is relu(x) + relu(x)
        z = y
        z += x
        copy = y.clone()
        torch.sigmoid_(y)
        z = self.b(z) + copy
        n = z.size(1)
        m = n
        n += 1  # overwrites nothing
        z = z * (m / n)
        z[:, 1] = 0.5
        return F.leaky_relu(z, 0.1, True)


class Gated(nn.Module):
    """Channel attention, split and shuffled channels: things without a kind of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.down, self.up = nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.gate, self.norm, self.act = nn.Sigmoid(), nn.GroupNorm(2, 8), nn.Hardswish(inplace=True)
        self.register_buffer("scale", torch.tensor([0.5, 2.0]).repeat(4).view(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x * self.gate(self.up(self.down(x.mean([2, 3], True)).relu_()))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, -1, h, w)
        a, b = x.chunk(2, dim=1)
        return self.act(self.norm(torch.cat([b, a], 1)) * self.scale)


ZOO: dict[str, Any] = {"styles": Styles, "aliased": Aliased, "gated": Gated, "zfnet": lambda: zfnet(7, width=0.1)}


def randomised(model: nn.Module) -> nn.Module:
    """Gives a model batch norm statistics and weights that leave nothing 0 or 1."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model.eval()


def hooked_values(model: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """What every module returned at its last call, in torch's own forward."""
    values: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: values.__setitem__(name, output.clone()))
        for name, module in model.named_modules()
    ]
    with torch.no_grad():
        model(image.clone())
    for handle in handles:
        handle.remove()
    return values


@pytest.mark.parametrize("name", ZOO)
def test_every_layer_has_the_value_that_the_model_computes(name: str, device: torch.device) -> None:
    model = randomised(ZOO[name]()).to(device)
    image = torch.randn(2, 3, 224 if name == "zfnet" else 19, 224 if name == "zfnet" else 17, device=device)
    before = image.clone()
    expected = hooked_values(model, image)
    network = trace(model)
    values = network.run(image, network.names.values())
    assert set(network.names) == set(expected)
    for layer, index in network.names.items():
        torch.testing.assert_close(values[index], expected[layer], msg=lambda text, at=layer: f"{at}: {text}")
    assert torch.equal(image, before)


def test_kinds_of_all_styles() -> None:
    kinds = [node.kind for node in trace(Styles()).nodes if node.kind != "constant"]
    assert kinds == [
        "input",
        "conv",
        "relu",
        "conv",
        "batch_norm",
        "relu",
        "conv",
        "add",
        "relu",
        "max_pool",
        "avg_pool",
        "batch_norm",
        "relu",
        "cat",
        "channels",
        "lrn",
        "adaptive_avg_pool",
        "mean",
        "add",
        "other",
        "reshape",
        "linear",
    ]


def kinds_of(function: Any, image: Tensor) -> list[str]:
    """The kinds of what runs for a function of an image, whose value has to be right too."""

    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x)

    network = trace(Model())
    output = network.names[""]
    torch.testing.assert_close(network.run(image, [output])[output], function(image.clone()))
    return [node.kind for node in network.ancestors([output])][1:]


def test_products_softmax_and_channels() -> None:
    image = torch.randn(2, 6, 5, 4)
    assert kinds_of(lambda x: torch.multiply(2 * x, x).mul_(3), image) == ["mul"] * 3
    assert kinds_of(lambda x: torch.mul(x, x, out=torch.empty(2, 6, 5, 4)), image) == ["pointwise"]
    assert kinds_of(lambda x: F.softmax(x, 1) + nn.Softmax(1)(x).softmax(dim=-1), image) == ["softmax"] * 3 + ["add"]
    for part in (
        lambda x: x[:, 1:-1],
        lambda x: x[:, [5, 0], ..., :],
        lambda x: torch.chunk(x, 4, 1)[2],
        lambda x: x.chunk(4, dim=1)[1],
        lambda x: x.split(4, 1)[1],
        lambda x: torch.split(x, [1, 2, 3], dim=1)[1],
        lambda x: torch.split(x, [1, 2, 3], dim=1)[-2],
        lambda x: torch.split(x, 4, 1)[-1],
        lambda x: x.chunk(4, 1)[-2],
        lambda x: F.channel_shuffle(x, 2),
        nn.ChannelShuffle(3),
        lambda x: torch.unsqueeze(x[:, 1], 1),
        lambda x: x[:, -1].unsqueeze(dim=1),
        lambda x: x.select(1, 4).unsqueeze(1),
    ):
        assert kinds_of(part, image) == ["channels"]
    for not_again in (lambda x: x[:, 1].unsqueeze(2), lambda x: x[1].unsqueeze(1), lambda x: x[:, [2]].unsqueeze(1)):
        assert kinds_of(not_again, image)[-1] == "reshape"
    for other in (lambda x: x[:, 1], lambda x: x[:, :2, 1:], lambda x: x[1:], lambda x: x[..., 1:2]):
        assert kinds_of(other, image) == ["other"]
    for pieces in (lambda x: x.chunk(2)[0], lambda x: x.split([3, 2], 2)[1]):
        assert kinds_of(pieces, image) == ["other", "other"]
    with pytest.raises(
        ValueError, match=r"cannot follow what Tensor\.relu_ in the model's forward may have overwritten"
    ):
        kinds_of(lambda x: (lambda parts, _: parts[1])(x.chunk(2, 1), x.relu_()), image)


def test_torchvisions_stochastic_depth_does_nothing_in_eval_mode() -> None:
    def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
        return input

    def kind(training: Any) -> str:
        return calls.of_function(stochastic_depth, (torch.ones(1), 0.1, "row"), {"training": training}).kind

    assert kind(False) == "other"  # a function of the user's own
    stochastic_depth.__module__ = "torchvision.ops.stochastic_depth"
    assert (kind(False), kind(True)) == ("identity", "other")


def test_a_view_of_a_picture_of_another_layout() -> None:
    class Viewed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(x.size(0), -1).view(torch.int32).view(torch.float32)

    image = torch.randn(2, 6, 5, 4)
    network = trace(Viewed())
    value = network.run(image.contiguous(memory_format=torch.channels_last), [network.names[""]])[network.names[""]]
    assert torch.equal(value, image.flatten(1))


def test_in_place_write_reaches_every_later_reader() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            out = self.relu(x)
            return out + x

    network = trace(Model())
    relu = network.node("relu").index
    assert network.node("conv").kind == "conv"  # as of its return
    assert network.node("").refs == [relu, relu]


def test_write_through_a_view_is_not_followed() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.last = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            x[:, :1].relu_()
            return self.last(x)

    network = trace(Model())
    assert network.nodes[network.node("last").refs[0]].kind == "ambiguous"
    with pytest.raises(ValueError, match=r"Tensor\.relu_ in the model's forward may have overwritten"):
        network.run(torch.ones(1, 1, 2, 2), [network.node("last").index])


def test_the_model_is_left_as_it_was() -> None:
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
            return self.drop(self.bn(self.features))

    model = Model()
    calls: list[str] = []
    model.conv.register_forward_hook(lambda *_: calls.append("leaf"))
    model.register_forward_pre_hook(lambda *_: calls.append("root"))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    network = trace(model)
    network.run(torch.ones(1, 3, 5, 5), network.names.values())
    assert model.features is None and model.count == 0 and not hasattr(model, "extra") and calls == []
    assert model.training and model.drop.training and not model.bn.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_names() -> None:
    shared = nn.Conv2d(3, 3, 1)
    model = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared, nn.ReLU()), "unused": nn.ReLU()})
    model.forward = lambda x: (model["b"](model["a"](x)), x)  # type: ignore[method-assign, assignment]
    network = trace(model)
    assert layers(network) == ["a", "b.1", "b", "b.0"]
    assert network.names["a"] == network.names["b.0"] != network.nodes[0].index  # the last of two calls, either name
    with pytest.raises(ValueError, match=r"layer: ModuleDict has no layer 'c'; there are: a, b\.1, b, b\.0"):
        network.node("c")
    with pytest.raises(ValueError, match="'unused' is not called in the forward pass"):
        network.node("unused")
    with pytest.raises(ValueError, match="'' returns a tuple, not a tensor"):
        network.node("")
    with pytest.raises(TypeError, match="layer: expected the dotted name of a submodule, got 3"):
        network.node(3)  # type: ignore[arg-type]


def test_wrappers_are_looked_through() -> None:
    plain = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Conv2d(4, 2, 1))
    names = ["0.0", "0.1", "0", "1"]
    assert layers(torch.compile(plain)) == names  # type: ignore[arg-type]
    assert layers(nn.DataParallel(plain)) == names
    assert layers(nn.Sequential(torch.compile(plain[0]), plain[1])) == names  # type: ignore[arg-type]


def test_derived_and_parametrised_modules() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return self._conv_forward(x, weight, self.bias)

    class Named(nn.BatchNorm2d):
        pass

    normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1))
    model = randomised(nn.Sequential(Standardised(3, 4, 3), Named(4), normed, torch.fx.symbolic_trace(nn.ReLU())))
    image = torch.randn(1, 3, 6, 6)
    network = trace(model)
    assert [network.node(str(i)).kind for i in range(4)] == ["conv", "batch_norm", "conv", "relu"]
    torch.testing.assert_close(network.run(image, [network.names[""]])[network.names[""]], model(image))


def test_untraceable_models() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match=r"model: the forward of Branching cannot be recorded by torch\.fx"):
        trace(Branching())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match=r"model: \w+ is compiled by torch\.jit; pass the module that it was made of"):
        trace(scripted)
    with pytest.raises(TypeError, match=r"model: expected a torch\.nn\.Module, got str"):
        trace("zfnet")  # type: ignore[arg-type]


@pytest.mark.parametrize("inner", [False, True])
def test_statistics_that_a_forward_keeps_are_left_alone(inner: bool) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            mean, variance = self.bn.running_mean, self.bn.running_var
            if inner:
                return torch.batch_norm(x, None, None, mean, variance, True, 0.1, 1e-5, False)
            return F.batch_norm(x, mean, variance, training=True)

    model, image = Model(), torch.randn(4, 3, 5, 5)
    network = trace(model)
    output = network.run(image, [network.names[""]])[network.names[""]]
    assert torch.equal(model.bn.running_mean, torch.zeros(3)) and torch.equal(model.bn.running_var, torch.ones(3))
    torch.testing.assert_close(output, model(image))


# ---------------------------------------------------------------- receptive fields


def test_receptive_fields_of_zfnet() -> None:
    # Worked out by hand: size += (kernel - 1) * stride so far.
    fields = receptive_fields(zfnet(width=0.05), (3, 224, 224))
    expected = {"conv1": (7, 2), "pool1": (11, 4), "conv2": (27, 8), "pool2": (43, 16), "conv3": (75, 16)}
    expected |= {"conv4": (107, 16), "relu5": (139, 16), "pool5": (171, 32)}
    assert {name: (fields[name].size[0], fields[name].stride[1]) for name in expected} == expected
    assert fields["conv1"].rectangle(0, 0) == (0, 0, 6, 6)  # 7 pixels, the first of them padding
    assert fields["conv1"].rectangle(1, 109) == (1, 217, 8, 224)
    assert fields["fc8"].rectangle() == fields["flatten"].rectangle() == (0, 0, 224, 224)
    with pytest.raises(ValueError, match=r"position: expected one in a map of 13 x 13, got \(13, 0\)"):
        fields["conv5"].rectangle(13, 0)


def test_of_many_layers_those_are_named_that_come_near() -> None:
    model = nn.Sequential(*(nn.ReLU() for _ in range(20)), nn.Sequential(nn.Conv2d(3, 2, 1)))
    with pytest.raises(ValueError) as caught:
        zfcuda.project(model, torch.zeros(3, 4, 4), "20.00")
    assert str(caught.value).endswith("has no layer '20.00'; zfcuda.network.layers lists all 22; did you mean 20.0?")
    with pytest.raises(ValueError, match=r"has no layer 'xx'; there are: 0, 1, .*, 11, \.\.\.; zfcuda.network.layers"):
        zfcuda.project(model, torch.zeros(3, 4, 4), "xx")


def test_receptive_field_errors() -> None:
    model = nn.Sequential(nn.Conv2d(4, 2, 3), nn.Conv2d(2, 2, 9))
    assert receptive_field(model, "1", (20, 30)).size == (11, 11)
    with pytest.raises(ValueError, match=r"there are: 0, 1"):
        receptive_field(model, "conv1", (20, 30))
    with pytest.raises(ValueError, match=r"input_size: \(4, 5, 5\) does not fit layer '1' \(Conv2d\)"):
        receptive_field(model, "1", (5, 5))
    with pytest.raises(ValueError, match=r"input_size: expected \(H, W\) or \(C, H, W\), got \(7,\)"):
        receptive_field(model, "1", (7,))


class Branches(nn.Module):
    def __init__(self, kernel: int, stride: int, padding: int, dilation: int, pool: int, out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 1, kernel, stride, padding, dilation)
        self.wide, self.same = nn.Conv2d(1, 1, 5, padding=2), nn.Conv2d(1, 1, 4, padding="same")
        self.pool = nn.AvgPool2d(pool, padding=pool // 2, ceil_mode=True)
        self.adaptive = nn.AdaptiveAvgPool2d(out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = torch.cat([self.wide(x), self.same(x) + x], 1)[:, :2] * x
        return self.adaptive(self.pool(x))


@settings(max_examples=40, deadline=None)
@given(*(st.integers(1, n) for n in (5, 3, 3, 2, 3, 4)), st.integers(12, 30), st.integers(12, 30))
def test_rectangles_are_what_a_gradient_reaches(
    kernel: int, stride: int, padding: int, dilation: int, pool: int, out: int, height: int, width: int
) -> None:
    padding = min(padding, kernel - 1)
    model = Branches(kernel, stride, padding, dilation, pool, out).double()
    for parameter in model.parameters():
        nn.init.ones_(parameter)  # so that nothing cancels
    image = torch.ones(1, 1, height, width, dtype=torch.float64, requires_grad=True)
    output = model(image)
    field = receptive_field(model, "", (height, width))
    for y in range(output.shape[2]):
        for x in range(output.shape[3]):
            (gradient,) = torch.autograd.grad(output[0, :, y, x].sum(), image, retain_graph=True)
            ys, xs = gradient[0, 0].nonzero(as_tuple=True)
            assert field.rectangle(y, x) == (int(ys.min()), int(xs.min()), int(ys.max()) + 1, int(xs.max()) + 1)


def test_lets_values_go() -> None:
    """What is not kept leaves its outline after its last reader, and no two maps are alive that need not be."""
    model = nn.Sequential(
        *(layer for _ in range(8) for layer in (nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())),
        nn.Flatten(),
        nn.Linear(4096, 2),
    ).eval()
    network, image = trace(model), torch.randn(1, 4, 32, 32)
    output, kept = network.names[""], network.names["7"]
    with torch.no_grad():
        every = network.run(image, [output])
        with LiveMemory(image, *model.parameters()) as live:
            some = network.run(image, [output], keep={kept})
    assert live.peak <= 3 * image.nbytes + 1024
    assert some.keys() == every.keys()
    for index, value in every.items():
        assert some[index].shape == value.shape and some[index].dtype == value.dtype
        whole = index in (output, kept) or network.nodes[index].kind == "constant"
        assert some[index].untyped_storage().nbytes() == (value.untyped_storage().nbytes() if whole else 4)
        if whole:
            assert torch.equal(some[index], value)


def test_lets_pieces_go() -> None:
    class Pieces(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            a, b = torch.unbind(x.exp(), 1)
            return (a + b).flatten(1)[:, :3] * x.shape[2]

    network, image = trace(Pieces()), torch.randn(1, 2, 8, 8)
    output = network.names[""]
    some, every = network.run(image, [output], keep=()), network.run(image, [output])
    assert torch.equal(some[output], every[output])
    for index, value in every.items():
        pieces = value if isinstance(value, tuple) else (value,)
        assert type(some[index]) is type(value)
        found = some[index] if isinstance(value, tuple) else (some[index],)
        for a, b in zip(found, pieces, strict=True):
            assert a.shape == b.shape if isinstance(b, Tensor) else a == b
