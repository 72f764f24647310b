"""Guided backpropagation and the deconvnet from class scores: Captum's where that is right, else a plain network's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from tests.backward.networks import Residual, resnet, trained, vgg, zfnet_without_lrn
from tests.backward.test_walk import Guided, small_zfnet
from tests.harness.random_networks import Code
from zfcuda.backward import UnprojectableError
from zfcuda.backward.deconvnet import deconvnet_rules
from zfcuda.backward.from_class import walk_from_class
from zfcuda.methods import METHODS

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def images(count: int, *size: int, device: torch.device = CPU) -> Tensor:
    return torch.randn(count, 3, *size, dtype=torch.float64, device=device)


def assert_same(found: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert expected.abs().max() > 0
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


# ---------------------------------------------------------------- against Captum


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    "vgg": (vgg, (30, 35)),
    "resnet": (lambda: resnet("modules"), (41, 50)),
    "zfnet": (small_zfnet, (224, 224)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_equal_to_captum(name: str, device: torch.device) -> None:
    captum = pytest.importorskip("captum.attr")
    build, size = NETWORKS[name]
    model = trained(build(), device, torch.float64)
    batch, targets = images(3, *size, device=device), [2, 0, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Captum warns on each call
        expected = captum.GuidedBackprop(model).attribute(batch, targets).detach()
        unguided = captum.Saliency(model).attribute(batch, targets, abs=False).detach()
    assert_same(zfcuda.guided_backprop(model, batch, target=targets), expected)
    assert (expected - unguided).abs().max() > 0.1 * expected.abs().max()


@pytest.mark.parametrize(
    ("build", "size"), [(vgg, (30, 35)), (lambda: resnet("modules"), (41, 50)), (zfnet_without_lrn, (224, 224))]
)
def test_the_deconvnet_from_a_class_is_captums(
    build: Callable[[], nn.Module], size: tuple[int, int], device: torch.device
) -> None:
    captum = pytest.importorskip("captum.attr")
    model = trained(build(), device, torch.float64)
    batch, targets = images(3, *size, device=device), [1, 3, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = captum.Deconvolution(model).attribute(batch, targets).detach()
    found = walk_from_class(model, batch, targets, deconvnet_rules("identity"))
    assert_same(found, expected)
    # Neither the logit's size nor its sign plays a part.
    last = next(module for module in reversed(list(model.modules())) if isinstance(module, nn.Linear))
    with torch.no_grad():
        last.bias.sub_(1000)
    assert_same(walk_from_class(model, batch, targets, deconvnet_rules("identity")), expected)


# ---------------------------------------------------------------- a ReLU in every form


class Plain(nn.Module):
    """Two convolutions, each with what a rectifier is written as, and a classifier; the rectifier runs twice."""

    def __init__(self, rectifier: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.act = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3), rectifier
        self.classify = nn.Linear(8 * 2 * 3, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.act(self.first(x)), 3, 2)
        x = self.act(self.second(x) + 0.05)
        y: Tensor = self.classify(x.flatten(1))
        return y


def oracle(model: Plain, high: float, batch: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of the same network whose rectifier is a torch.autograd.Function that guides."""
    other = Plain(Guided(high)).to(batch)
    other.load_state_dict(model.state_dict(), strict=False)
    leaf = batch.clone().requires_grad_()
    return torch.autograd.grad(score(other(leaf)).sum(), leaf)[0]


FORMS = [
    "F.relu(x)",
    "torch.relu(x)",
    "x.relu()",
    "F.relu(x, inplace=True)",
    "F.relu_(x)",
    "x.relu_()",
    "x.clamp(min=0)",
    "x.clamp(0)",
    "torch.clamp(x, min=0)",
    "x.clamp_(min=0)",
    "x.clamp_min(0)",
    "torch.clamp_min(x, 0.0)",
    "x.clip(min=0)",
    "torch.maximum(x, torch.zeros_like(x))",
    "torch.maximum(self.zero, x)",
    "torch.max(x, x.new_zeros(()))",
    "x.maximum(self.zero)",
    "F.threshold(x, 0, 0)",
    "F.leaky_relu(x, 0.0)",
]
SIXES = ["F.relu6(x)", "F.hardtanh(x, 0, 6)", "x.clamp(0, 6)", "F.relu(x).clamp(max=6)", "F.relu6(x, inplace=True)"]
MODULES = {
    "ReLU": (nn.ReLU, torch.inf),
    "ReLU in place": (lambda: nn.ReLU(inplace=True), torch.inf),
    "Threshold": (lambda: nn.Threshold(0, 0), torch.inf),
    "ReLU6": (nn.ReLU6, 6.0),
    "ReLU6 in place": (lambda: nn.ReLU6(inplace=True), 6.0),
    "Hardtanh": (lambda: nn.Hardtanh(0, 6), 6.0),
    **{text: (lambda text=text: Code(f"return {text}", zero=torch.zeros(())), torch.inf) for text in FORMS},
    **{text: (lambda text=text: Code(f"return {text}"), 6.0) for text in SIXES},
}


@pytest.mark.parametrize("form", MODULES)
def test_every_form_of_a_relu(form: str, device: torch.device) -> None:
    build, high = MODULES[form]
    model = Plain(build()).to(device, torch.float64)
    with torch.no_grad():
        model.first.weight.mul_(20)  # some beyond 6
    batch = images(2, 11, 13, device=device)
    expected = oracle(model, high, batch, lambda logits: logits[:, 3])
    assert_same(zfcuda.guided_backprop(model, batch, target=3), expected)
    assert_same(walk_from_class(model, batch, 3, deconvnet_rules("identity")), deconvolved(model, batch, 3))


@pytest.mark.parametrize("form", ["x.clamp(min=0)", "x.clamp_(0, 6)", "torch.clamp_min(x, 0)"])
def test_an_activation_of_exactly_zero_passes_nothing(form: str) -> None:
    """Autograd's derivative of clamp is one there, that of ReLU zero."""
    model = Plain(Code(f"return {form}")).double()
    with torch.no_grad():
        model.first.bias.zero_()
    batch = images(2, 11, 13)
    batch[:, :, :6] = 0
    other = Plain(nn.ReLU()).double()
    other.load_state_dict(model.state_dict())
    assert_same(zfcuda.guided_backprop(model, batch, target=3), zfcuda.guided_backprop(other, batch, target=3))


def deconvolved(model: Plain, batch: Tensor, target: int) -> Tensor:
    """By hand: each signal rectified where the rectifier is."""
    with torch.no_grad():
        first = model.first(batch)
        pooled, index = F.max_pool2d(model.act(first.clone()), 3, 2, return_indices=True)
        assert pooled.shape[2:] == (4, 5)
        signal = model.classify.weight[target].view(1, 8, 2, 3).expand(len(batch), -1, -1, -1)
        signal = F.conv_transpose2d(signal.relu(), model.second.weight)
        whole = torch.zeros_like(first).flatten(2)
        whole.scatter_add_(2, index.flatten(2), signal.flatten(2))
        return F.conv_transpose2d(whole.view_as(first).relu(), model.first.weight)


REFUSED = {
    "x * (x > 0)": "gt in layer 'act' lies between it and the pixels",
    "(x > 0) * x": "gt in layer 'act'",
    "x * (x.detach() > 0).double()": "in layer 'act'",
    "torch.where(x > 0, x, 0.0)": "gt in layer 'act'",
    "x.masked_fill(x < 0, 0.0)": "lt in layer 'act'",
    "x * torch.heaviside(x, self.zero)": "heaviside in layer 'act'",
    "torch.fmax(x, self.zero)": "fmax in layer 'act'",
    "x * x.sign().clamp(min=0)": "in layer 'act'",
    "(x + x.abs()) / 2": "Tensor.abs in layer 'act'",
    "F.silu(x)": "silu in layer 'act'",
    "F.gelu(x)": "gelu in layer 'act'",
    "x * torch.sigmoid(x)": "'act'",
    "F.elu(x)": "elu in layer 'act'",
    "F.softplus(x)": "softplus in layer 'act'",
    "F.leaky_relu(x, 0.1)": "lets negative values through, for which guided backpropagation has no rule",
    "torch.maximum(x, 0.1 * x)": "both of its operands depend on the image",
    "torch.maximum(x, self.zero - 1)": "its other operand is not zero",
    "F.threshold(x, 0.1, 0.0)": "it gives 0.0 up to 0.1, not zero up to zero",
    "F.threshold(x, 0, -1)": "it gives -1 up to 0, not zero up to zero",
    "x.clamp(min=0.1)": "it ends at 0.1, not at zero",
    "-(-x).clamp(max=0)": "lets negative values through, for which guided backpropagation has no rule",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_has_no_rule_is_refused_by_name(text: str) -> None:
    model = Plain(Code(f"return {text}", zero=torch.zeros(())))
    with pytest.raises(UnprojectableError, match=f"model: its output cannot be projected, because .*{REFUSED[text]}"):
        zfcuda.guided_backprop(model.double(), images(1, 11, 13))


def test_a_write_to_what_is_negative_is_refused() -> None:
    model = Plain(Code("x = x.clone(); x[x < 0] = 0; return x")).double()
    with pytest.raises(UnprojectableError, match="lt in layer 'act'"):
        zfcuda.guided_backprop(model, images(1, 11, 13))


@pytest.mark.parametrize("module", [nn.SiLU(), nn.GELU(), nn.Hardswish(), nn.PReLU()])
def test_smooth_modules_are_refused_by_name(module: nn.Module) -> None:
    name = type(module).__name__
    with pytest.raises(UnprojectableError, match=rf"because layer 'act' \({name}\) lies between it and the pixels"):
        zfcuda.guided_backprop(Plain(module).double(), images(1, 11, 13))


# ---------------------------------------------------------------- what it starts from


@pytest.fixture
def model() -> Plain:
    model: Any = Plain(nn.ReLU()).double().eval()
    model.classes = ["ant", "bee", "cat", "dog", "elk"]
    return model  # type: ignore[no-any-return]


def test_targets(model: Plain) -> None:
    batch = images(4, 11, 13)
    with torch.no_grad():
        most = model(batch).argmax(1).tolist()
    assert len(set(most)) > 1
    found = zfcuda.guided_backprop(model, batch)
    assert_same(found, oracle(model, torch.inf, batch, lambda logits: logits.gather(1, torch.tensor(most)[:, None])))
    assert torch.equal(zfcuda.guided_backprop(model, batch, target=most), found)
    assert torch.equal(zfcuda.guided_backprop(model, batch, target=torch.tensor(most)), found)
    named = zfcuda.guided_backprop(model, batch, target="cat")
    assert torch.equal(named, zfcuda.guided_backprop(model, batch, target=2))
    assert torch.equal(zfcuda.guided_backprop(model, batch, target=["cat", 2, "cat", 2]), named)

    def margin(logits: Tensor) -> Tensor:
        return logits[:, 0] ** 2 - 3 * logits[:, 4]

    assert_same(zfcuda.guided_backprop(model, batch, target=margin), oracle(model, torch.inf, batch, margin))


def test_a_target_that_looks_at_the_whole_batch_gets_the_images_one_by_one(model: Plain) -> None:
    def mixing(logits: Tensor) -> Tensor:
        return logits[:, 0] * logits.square().mean()

    def writing(logits: Tensor) -> Tensor:
        return logits.mul_(2)[:, 0]

    batch = images(3, 11, 13)
    for target in (mixing, writing):
        alone = torch.cat([zfcuda.guided_backprop(model, image, target=target) for image in batch])
        assert_same(zfcuda.guided_backprop(model, batch, target=target), alone)
    assert_same(
        zfcuda.guided_backprop(model, batch, target=writing), 2 * zfcuda.guided_backprop(model, batch, target=0)
    )
    with pytest.raises(ValueError, match="the score is expected to be finite"):
        zfcuda.guided_backprop(model, batch, target=lambda logits: logits[:, 0].log() * torch.nan)


@pytest.mark.parametrize("arguments", [{}, {"unit": 4}, {"position": (1, 2)}, {"unit": 3, "position": "all"}])
def test_activations(model: Plain, arguments: dict[str, Any]) -> None:
    batch = images(3, 11, 13)
    other = Plain(Guided(torch.inf)).double()
    other.load_state_dict(model.state_dict())
    leaf = batch.clone().requires_grad_()
    maps = other.second(F.max_pool2d(other.act(other.first(leaf)), 3, 2))
    unit, position = arguments.get("unit"), arguments.get("position")
    values = []
    for each in maps:
        chosen = each if unit is None else each[unit : unit + 1]
        values.append(chosen.sum() if position == "all" else (chosen[:, 1, 2] if position else chosen).max())
    expected = torch.autograd.grad(sum(values), leaf)[0]
    assert_same(zfcuda.guided_backprop(model, batch, layer="second", **arguments), expected)


def test_a_seed_is_one_whatever_the_activation(model: Plain) -> None:
    batch = images(1, 11, 13)
    with torch.no_grad():
        model.second.bias.sub_(1000)  # type: ignore[union-attr]
    assert zfcuda.guided_backprop(model, batch, layer="second").any()
    assert not zfcuda.guided_backprop(model, batch, layer="act").any()  # nothing behind the ReLU is active
    assert not zfcuda.guided_backprop(model, batch).any()


BAD: dict[str, dict[str, Any]] = {
    "unit: expected None without layer=, got 3": {"unit": 3},
    r"position: expected None without layer=, got \(1, 2\)": {"position": (1, 2)},
    "target: expected None with layer='second', .* got 2": {"layer": "second", "target": 2},
    "target: expected 2, one for each image, got 3": {"target": [1, 2, 3]},
    "target: the model has classes 0 to 4, got 5": {"target": 5},
    "target: no class 'cow'": {"target": "cow"},
    "target: expected it to turn": {"target": lambda logits: logits},
    "target: expected a score that can be differentiated": {"target": lambda logits: logits.argmax(1).double()},
    "layer: Plain has no layer 'third'": {"layer": "third"},
    "unit: expected 0 to 7": {"layer": "second", "unit": 8},
    r"position: expected a place on the 2 x 3 map of layer 'second', got \(2, 0\)": {
        "layer": "second",
        "position": (2, 0),
    },
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments(model: Plain, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        zfcuda.guided_backprop(model, images(2, 11, 13), **BAD[message])


def test_bad_images_and_models(model: Plain) -> None:
    for image, message in (
        (images(2, 11, 13) / 0, "image: expected finite values"),
        (images(2, 11, 13)[0, 0], r"image: expected \[C,H,W\] or \[N,C,H,W\]"),
        ([], "image: expected at least one image"),
        (images(2, 4, 5), "image: "),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            zfcuda.guided_backprop(model, image)
    with pytest.raises(TypeError, match=r"model: expected a torch\.nn\.Module"):
        zfcuda.guided_backprop("resnet", images(2, 11, 13))  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"model: expected it to return scores \[N,classes\] for 2 images, got .*\[2, 6, 9, 11\]"
    ):
        zfcuda.guided_backprop(model.first, images(2, 11, 13))
    with pytest.raises(UnprojectableError, match=r"its output cannot be projected, because layer '1' \(Softmax"):
        zfcuda.guided_backprop(nn.Sequential(model, nn.Softmax(1)), images(2, 11, 13))


# ---------------------------------------------------------------- batches


def test_a_batch_gives_what_each_image_gives(device: torch.device) -> None:
    for style in ("modules", "functional", "shared", "in place"):
        model = trained(resnet(style), device, torch.float64)
        batch, targets = images(3, 41, 50, device=device), [1, 4, 2]
        found = zfcuda.guided_backprop(model, batch, target=targets)
        alone = [zfcuda.guided_backprop(model, x, target=t) for x, t in zip(batch, targets, strict=True)]
        assert all(one.shape == (1, 3, 41, 50) for one in alone)
        assert_same(found, torch.cat(alone), 1e-12)
        assert_same(zfcuda.guided_backprop(model, list(batch), target=targets), found, 1e-12)
        none = zfcuda.guided_backprop(model, batch[:0], target=[])
        assert none.shape == (0, 3, 41, 50) and none.dtype == torch.float64
        with pytest.raises(ValueError, match="target: expected 0, one for each image, got 1"):
            zfcuda.guided_backprop(model, batch[:0], target=[1])


def test_ties(device: torch.device) -> None:
    """Windows that hold their maximum twice, activations of exactly zero."""
    model = Plain(nn.ReLU()).to(device, torch.float64)
    with torch.no_grad():
        for conv in (model.first, model.second):
            conv.weight.sign_()
            conv.bias.zero_()  # type: ignore[union-attr]
    batch = torch.randint(-1, 2, (4, 3, 11, 13), device=device).double()
    assert (model.first(batch) == 0).any()
    found = zfcuda.guided_backprop(model, batch, target=1)
    assert_same(found, oracle(model, torch.inf, batch, lambda logits: logits[:, 1]))


def test_the_methods_take_the_largest_magnitude_of_the_channels(model: Plain) -> None:
    batch, targets = images(3, 11, 13), [4, 0, 2]
    signals = {
        "guided": zfcuda.guided_backprop(model, batch, target=targets),
        "deconvnet": walk_from_class(model, batch, targets, deconvnet_rules("identity")),
    }
    for name, signal in signals.items():
        method = METHODS[name]
        maps = method.compute(model, batch, targets)
        assert not method.signed and torch.equal(maps, signal.abs().amax(1)) and maps.any()
        assert method.compute(model, batch[:0], []).shape == (0, 11, 13)


def test_other_dtypes_and_modes(model: Plain, device: torch.device) -> None:
    model = model.to(device)
    batch = images(2, 11, 13, device=device)
    expected = zfcuda.guided_backprop(model, batch, target=1)
    with torch.inference_mode():
        assert_same(zfcuda.guided_backprop(model, batch.clone(), target=lambda logits: logits[:, 1]), expected)
    swapped = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert_same(zfcuda.guided_backprop(swapped, batch.to(memory_format=torch.channels_last), target=1), expected)
    rough = zfcuda.guided_backprop(model.bfloat16(), batch.bfloat16(), target=1)
    assert rough.dtype == torch.bfloat16
    assert (rough.double() - expected).norm() < 0.3 * expected.norm()


def test_the_model_is_left_alone(model: Plain) -> None:
    model.train().requires_grad_(True)
    batch = images(2, 11, 13).requires_grad_()
    found = zfcuda.guided_backprop(model, batch)
    assert model.training and model.act.training and not found.requires_grad
    assert batch.grad is None and all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


def test_residual_blocks_keep_their_relus() -> None:
    """A ReLU that two read is not taken together with the pooling behind it."""

    class Two(nn.Module):
        def __init__(self, act: nn.Module) -> None:
            super().__init__()
            self.block, self.act, self.head = Residual(3, 6, "modules"), act, nn.Linear(6, 4)
            self.block.relu1, self.block.relu2 = act, act

        def forward(self, x: Tensor) -> Tensor:
            x = self.act(self.block(x))
            x = F.max_pool2d(x, 2) + F.avg_pool2d(x, 2)
            y: Tensor = self.head(x.mean((2, 3)))
            return y

    model = trained(Two(nn.ReLU()), CPU, torch.float64)
    other = Two(Guided(torch.inf)).double().eval()
    other.load_state_dict(model.state_dict(), strict=False)
    batch = images(2, 17, 20)
    leaf = batch.clone().requires_grad_()
    expected = torch.autograd.grad(other(leaf)[:, 1].sum(), leaf)[0]
    assert_same(zfcuda.guided_backprop(model, batch, target=1), expected)
