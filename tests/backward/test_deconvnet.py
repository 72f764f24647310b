"""The deconvnet against cases worked out on paper, Captum, and the gradient where the network is linear."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.backward.networks import inception, resnet, trained, vgg, zfnet_without_lrn
from zfcuda.backward import UnprojectableError
from zfcuda.backward.deconvnet import Strongest, depends_on_image, project, projections, strongest
from zfcuda.backward.rules import Rules
from zfcuda.backward.walk import BackwardPath, walk_back
from zfcuda.models import zfnet
from zfcuda.network import receptive_field, trace

# ---------------------------------------------------------------- on paper

IMAGE = torch.tensor([[[1.0, 2, 0, 1], [0, 1, 3, 0], [2, 0, 1, 1], [1, 1, 0, 2]]])


def paper_network() -> nn.Sequential:
    """conv 2x2 -> ReLU -> overlapping 2x2 pooling, stride 1 -> conv 2x2 -> ReLU."""
    model = nn.Sequential(nn.Conv2d(1, 1, 2), nn.ReLU(), nn.MaxPool2d(2, stride=1), nn.Conv2d(1, 1, 2), nn.ReLU())
    for index, weight in ((0, [[1.0, 0], [0, -1]]), (3, [[1.0, 2], [-1, 3]])):
        model[index].weight.data = torch.tensor([[weight]])  # type: ignore[union-attr]
        nn.init.zeros_(model[index].bias)  # type: ignore[arg-type]
    return model


def test_worked_out_on_paper() -> None:
    # conv: p[y,x] - p[y+1,x+1]      ReLU         pooled, and where from
    #    0 -1  0                     0 0 0        0 at (0,0)   2 at (1,2)
    #    0  0  2                     0 0 2        1 at (2,0)   2 at (1,2)
    #    1  0 -1                     1 0 0
    # conv: 0*1 + 2*2 + 1*(-1) + 2*3 = 9, the activation, and the seed.
    # Back: 9 * weights = 9 18 / -9 27; unpooled (0,0) 9, (1,2) 18 + 27, (2,0) -9; rectified, the last is gone;
    # each leaves its value where it is and takes it away one down and to the right.
    expected = torch.tensor([[[[9.0, 0, 0, 0], [0, -9, 45, 0], [0, 0, 0, -45], [0, 0, 0, 0]]]])
    for layer in ("3", "4"):
        assert torch.equal(project(paper_network(), IMAGE, layer), expected)
    # From the pooled map: its strongest are the two 2s, both from (1,2).
    pooled = torch.tensor([[[[0.0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, -2], [0, 0, 0, 0]]]])
    assert torch.equal(project(paper_network(), IMAGE, "2", unit=0, top=2), pooled.repeat(2, 1, 1, 1))
    assert torch.equal(
        project(paper_network(), IMAGE, "2", position=(1, 0)),
        torch.tensor([[[[0.0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, -1, 0, 0]]]]),
    )
    # The whole map: 0, 2, 1 and 2 at once.
    everything = torch.tensor([[[[0.0, 0, 0, 0], [0, 0, 4, 0], [1, 0, 0, -4], [0, -1, 0, 0]]]])
    assert torch.equal(project(paper_network(), IMAGE, "2", position="all"), everything)


def test_lrn_divides_by_the_forward_scale() -> None:
    # Two maps, x = (2, 4) at the only pixel; size 2 sums a map and the one before: 4 and 4 + 16.
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.LocalResponseNorm(2, alpha=1.0, beta=1.0, k=1.0))
    model[0].weight.data = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)  # type: ignore[union-attr]
    image = torch.full((1, 1, 1), 2.0)
    value = 4 / (1 + 20 / 2)  # of unit 1
    assert strongest(model, image, "1", 2) == [(0, (0, 0), pytest.approx(2 / 3)), (1, (0, 0), pytest.approx(value))]
    assert project(model, image, "1", unit=1).item() == pytest.approx(value * 2)
    assert project(model, image, "1", unit=1, lrn="divide").item() == pytest.approx(value / 11 * 2)


# ---------------------------------------------------------------- against Captum


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    "vgg": (vgg, (30, 35)),
    "resnet": (lambda: resnet("modules"), (41, 50)),
    "inception": (inception, (33, 30)),
    "zfnet": (zfnet_without_lrn, (224, 224)),
}


def assert_parallel(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.abs().max() > 0
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("name", NETWORKS)
def test_parallel_to_captum(name: str, device: torch.device) -> None:
    captum = pytest.importorskip("captum.attr")
    build, size = NETWORKS[name]
    model = trained(build(), device)
    image = torch.randn(3, *size, device=device)
    network = trace(model)
    compared = 0
    with warnings.catch_warnings(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        warnings.simplefilter("ignore")  # Captum warns on each call
        for layer, module in model.named_modules():
            if not layer or layer not in network.names:
                continue
            units = strongest(network, image, layer, 2)
            ours = project(network, image, layer, top=2)
            oracle = captum.NeuronDeconvolution(model, module)
            for unit, projection in zip(units, ours, strict=True):
                theirs = oracle.attribute(image[None], (unit.unit, *(unit.position or ())))[0]
                if unit.value > 0:
                    assert_parallel(projection, theirs * unit.value)
                    compared += 1
    assert compared >= 10


# ---------------------------------------------------------------- styles


@pytest.mark.parametrize("style", ["functional", "shared", "in-place"])
def test_every_style_of_relu_is_the_module_version(style: str) -> None:
    model = trained(resnet("modules"), torch.device("cpu"))
    other = resnet(style).eval()
    other.load_state_dict(model.state_dict())
    image = torch.randn(3, 41, 50)
    for layer in ("0", "3", "4.conv2", "4", "5"):
        assert torch.equal(project(other, image, layer, top=2), project(model, image, layer, top=2))


def test_a_relu_in_place_is_what_later_readers_see() -> None:
    class Twice(nn.Module):
        def __init__(self, in_place: bool) -> None:
            super().__init__()
            self.conv, self.last, self.in_place = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 3, 3), in_place

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            if self.in_place:
                y = F.relu_(x)
            else:
                x = y = F.relu(x)
            return self.last(x + y)

    model, other = Twice(True), Twice(False)
    other.load_state_dict(model.state_dict())
    image = torch.randn(1, 9, 9)
    assert torch.equal(project(model, image, "last"), project(other, image, "last"))


def test_global_means_and_reshapes() -> None:
    class Head(nn.Module):
        def __init__(self, style: int) -> None:
            super().__init__()
            self.conv, self.fc, self.style = nn.Conv2d(3, 8, 3), nn.Linear(8, 4), style

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.conv(x))
            match self.style:
                case 0:
                    x = x.mean((2, 3))
                case 1:
                    x = torch.mean(x, -1).mean(dim=-1, keepdim=True).squeeze(2)
                case 2:
                    x = F.adaptive_avg_pool2d(x, 1).flatten(1)
                case 3:
                    x = F.avg_pool2d(x, x.size()[2:]).view(x.size(0), -1)
                case _:
                    x = torch.flatten(x.contiguous().mean([2, 3], keepdim=True), 1)
            return self.fc(x) + 1

    models = [Head(style) for style in range(5)]
    image = torch.randn(3, 12, 9)
    first = project(models[0], image, "", top=2)
    for model in models[1:]:
        model.load_state_dict(models[0].state_dict())
        torch.testing.assert_close(project(model, image, "", top=2), first)


# ---------------------------------------------------------------- properties


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_linear_network_gives_gradient_times_activation(data: st.DataObject) -> None:
    def draw(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    torch.manual_seed(draw(0, 10**6))
    groups = draw(1, 2)
    kernel, dilation = (draw(1, 4), draw(1, 4)), (draw(1, 2), draw(1, 3))
    padding: Any = (draw(0, 3), draw(0, 3))
    stride = (draw(1, 3), draw(1, 3))
    if draw(0, 3) == 0:
        padding, stride = "same", (1, 1)
    pooled = nn.MaxPool2d(draw(2, 3), draw(1, 3), 1, ceil_mode=bool(draw(0, 1)))
    model = nn.Sequential(
        nn.Conv2d(2, 4, kernel, stride, padding, dilation, groups),
        nn.BatchNorm2d(4),
        pooled,
        nn.AvgPool2d(draw(1, 2), ceil_mode=True),
        nn.Conv2d(4, 6, 1, draw(1, 2)),
        nn.AdaptiveAvgPool2d((draw(1, 4), draw(1, 4))),
        nn.Flatten(),
        nn.LazyLinear(5),
    ).double()
    image = torch.randn(1, 2, draw(13, 20), draw(13, 20), dtype=torch.float64, requires_grad=True)
    model.eval()(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of outputs that are not positive
        vectors = project(model, image, "7", top=5)
        maps = project(model, image, "4", top=2)
    for layer, ours, top in (("7", vectors, 5), ("4", maps, 2)):
        for projection, unit in zip(ours, strongest(model, image, layer, top), strict=True):
            value = model[: int(layer) + 1](image)[(0, unit.unit, *(unit.position or ()))]
            (gradient,) = torch.autograd.grad(value, image)
            torch.testing.assert_close(projection, gradient[0] * value.detach().clamp(min=0))
            assert unit.value == value.item()


@pytest.mark.parametrize("lrn", ["identity", "divide"])
def test_zfnet_is_deterministic_and_confined(lrn: str, device: torch.device) -> None:
    model = trained(zfnet(9, width=0.1), device)
    image = torch.randn(3, 224, 224, device=device)
    network = trace(model)
    first = project(model, image, "conv5", top=3, lrn=lrn)
    assert first.shape == (3, 3, 224, 224) and first.dtype == image.dtype and first.device == image.device
    assert torch.equal(first, project(network, image[None], "conv5", top=3, lrn=lrn))
    # A single projection, and many, give the same; only its receptive field is lit.
    field = receptive_field(model, "conv5", image.shape)
    for unit, projection in zip(strongest(model, image, "conv5", 3), first, strict=True):
        assert unit.position is not None
        alone = project(model, image, "conv5", unit=unit.unit, position=unit.position, lrn=lrn)[0]
        torch.testing.assert_close(alone, projection)
        top, left, bottom, right = field.rectangle(*unit.position)
        outside = projection.clone()
        outside[:, top:bottom, left:right] = 0
        assert projection.abs().max() > 0 and outside.abs().max() == 0


def test_identity_ignores_lrn_and_divide_does_not() -> None:
    model = trained(zfnet(9, width=0.1), torch.device("cpu"))
    image = torch.randn(3, 224, 224)
    passed, divided = (project(model, image, "norm1", lrn=lrn) for lrn in ("identity", "divide"))
    unit = strongest(model, image, "norm1", 1)[0]
    norm = model.norm1
    with torch.no_grad():
        x = model[:3](image[None])
    squares = sum(
        float(x[(0, c, *unit.position)]) ** 2  # type: ignore[misc]
        for c in range(max(0, unit.unit - 2), min(x.shape[1], unit.unit + 3))
    )
    scale = (norm.k + norm.alpha / norm.size * squares) ** norm.beta
    torch.testing.assert_close(passed, divided * scale)


# ---------------------------------------------------------------- seeds


def small() -> nn.Sequential:
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(4)).eval()
    model(torch.zeros(1, 3, 10, 12))
    return model


def test_strongest_and_seeds() -> None:
    model, image = small(), torch.randn(3, 10, 12)
    with torch.no_grad():
        maps = model[0](image[None])[0]
        vector = model(image[None])[0]
    units = strongest(model, image, "0", 6)
    assert [f.value for f in units] == sorted(maps.amax((1, 2)).tolist(), reverse=True)
    assert all(maps[(f.unit, *f.position)].item() == f.value for f in units)  # type: ignore[misc]
    assert strongest(model, image, "4", 1) == [Strongest(int(vector.argmax()), None, float(vector.max()))]
    # Strongest at one place; of one unit at its strongest places; its whole map is the sum of all its places.
    y, x = 2, 3
    at = project(model, image, "0", position=(y, x))
    torch.testing.assert_close(at, project(model, image, "0", unit=int(maps[:, y, x].argmax()), position=(y, x)))
    places = maps[2].flatten().argsort(descending=True)[:2].tolist()
    expected = [project(model, image, "0", unit=2, position=divmod(p, 10)) for p in places]
    torch.testing.assert_close(project(model, image, "0", unit=2, top=2), torch.cat(expected))
    positive = int((maps[2] > 0).sum())
    torch.testing.assert_close(
        project(model, image, "0", unit=2, position="all")[0], project(model, image, "0", unit=2, top=positive).sum(0)
    )


def test_a_seed_that_is_not_positive_gives_zero_with_a_warning() -> None:
    model, image = small(), torch.randn(3, 10, 12)
    maps = model[0](image[None])[0]
    y, x = divmod(int(maps[1].argmin()), maps.shape[2])
    with pytest.warns(UserWarning, match=r"layer '0' the activation is not positive for unit 1 \(-"):
        projection = project(model, image, "0", unit=1, position=(y, x))
    assert projection.shape == (1, 3, 10, 12) and not projection.any()


@pytest.mark.parametrize("layer", ["0", "4"])
def test_one_forward_pass_serves_projections_and_strongest_units(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, image, passes = small(), torch.randn(3, 10, 12), 0
    with torch.no_grad():
        model[0].bias[:2] = -100  # type: ignore[index]
        model[4].bias.copy_(torch.tensor([5.0, -100, 5, 5]))  # type: ignore[operator]
    units = strongest(model, image, layer, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = project(model, image, layer, top=4)
    forward = BackwardPath.forward

    def counted(path: BackwardPath, batch: Tensor) -> Any:
        nonlocal passes
        passes += 1
        return forward(path, batch)

    monkeypatch.setattr(BackwardPath, "forward", counted)
    projected = projections(model, image, layer, top=4)
    assert passes == 1 and torch.equal(projected.images, images)
    places = [None] * 4 if projected.positions is None else [(y, x) for y, x in projected.positions.tolist()]
    listed = zip(projected.units.tolist(), places, projected.values.tolist(), strict=True)
    assert [Strongest(*one) for one in listed] == units


@pytest.mark.parametrize("arguments", [{"top": 6}, {"unit": 1, "position": "all"}, {"unit": 1}])
def test_what_is_not_positive_is_left_out_in_silence(arguments: dict[str, Any]) -> None:
    model, image = small(), torch.randn(3, 10, 12)
    with torch.no_grad():
        model[0].bias[1:3] = -100  # type: ignore[index]
    units = [unit.unit for unit in strongest(model, image, "0", 6) if unit.value > 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        projected = projections(model, image, "0", positive=True, **arguments)
    assert projected.units.tolist() == ([] if "unit" in arguments else units)
    assert projected.images.shape == (len(projected.units), 3, 10, 12)
    if len(projected.units):
        assert torch.equal(projected.images, project(model, image, "0", top=len(units)))


def test_many_seeds_go_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = small(), torch.randn(3, 10, 12)
    expected = project(model, image, "0", top=6)
    monkeypatch.setattr("zfcuda.backward.walk._CHUNK", 1500)
    torch.testing.assert_close(project(model, image, "0", top=6), expected)


# ---------------------------------------------------------------- leaving things alone


def test_the_model_is_left_as_it_was() -> None:
    model = trained(resnet("shared"), torch.device("cpu")).train()
    model[3].bn1.eval()  # type: ignore[union-attr]
    state = copy.deepcopy(model.state_dict())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    image = torch.randn(3, 41, 50, requires_grad=True)
    first = project(model, image, "4")
    assert not first.requires_grad and image.grad is None
    with pytest.raises(ValueError):
        project(model, image[:, :2, :2], "4.conv2", unit=99)
    with torch.inference_mode():
        assert torch.equal(project(model, image, "4"), first)
    with torch.no_grad():
        assert torch.equal(project(model, image.detach(), "4"), first)
    assert model.training and model[4].bn1.training and not model[3].bn1.training  # type: ignore[union-attr]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(p.requires_grad and bool((p.grad == 1).all()) for p in model.parameters())  # type: ignore[operator]
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in model.modules())
    model(torch.randn(2, 3, 41, 50)).sum().backward()  # autograd still works on what inference mode has touched


def test_dtypes_and_layouts(device: torch.device) -> None:
    model = trained(resnet("shared"), device)
    image = torch.randn(3, 41, 50, device=device)
    expected = project(model, image, "4", top=3)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = image[None].to(memory_format=torch.channels_last)
    torch.testing.assert_close(project(last, batch, "4", top=3), expected, rtol=1e-3, atol=1e-3)
    precise = project(copy.deepcopy(model).double(), image.double(), "4", top=3)
    assert precise.dtype == torch.float64
    torch.testing.assert_close(precise.float(), expected, rtol=1e-3, atol=1e-3)
    rough = project(
        copy.deepcopy(model).bfloat16(), image.bfloat16(), "4", unit=strongest(model, image, "4", 1)[0].unit
    )
    assert rough.dtype == torch.bfloat16 and rough.isfinite().all()


def test_a_compiled_model_is_unwrapped() -> None:
    model = trained(resnet("modules"), torch.device("cpu"))
    image = torch.randn(3, 41, 50)
    assert torch.equal(project(torch.compile(model), image, "4"), project(model, image, "4"))  # type: ignore[arg-type]


def test_hooks_that_only_look_are_fine_and_others_are_refused() -> None:
    model, image = small(), torch.randn(3, 10, 12)
    expected = project(model, image, "4")
    seen: list[Tensor] = []
    model[0].register_forward_hook(lambda _, __, output: seen.append(output))
    assert torch.equal(project(model, image, "4"), expected) and isinstance(seen[0], Tensor)
    handle = model[0].register_forward_hook(lambda _, __, output: output * 2)
    with pytest.raises(ValueError, match=r"model: a hook changes what '4' gives \(there are hooks on 0\)"):
        project(model, image, "4")
    handle.remove()


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
def test_weights_that_a_hook_renews() -> None:
    model, image = small(), torch.randn(3, 10, 12)
    doubled = copy.deepcopy(model)
    torch.nn.utils.weight_norm(model[0])
    with torch.no_grad():
        model[0].weight_g *= 2  # type: ignore[operator]  # weight itself is stale until the next forward
        doubled[0].weight *= 2  # type: ignore[operator]
    torch.testing.assert_close(project(model, image, "1"), project(doubled, image, "1"))


# ---------------------------------------------------------------- other methods, other images


def test_projections_by_the_rules_of_another_method() -> None:
    torch.manual_seed(0)
    model, image, rules = trained(vgg(), torch.device("cpu")), torch.randn(3, 30, 35), Rules("guided", "exact")
    ours = projections(model, image, "7", unit=2, position=(3, 4), rules=rules)

    def seeds(activation: Tensor) -> Tensor:
        seed = torch.zeros_like(activation)
        seed[2, 3, 4] = activation[2, 3, 4].clamp(min=0)
        return seed[None]

    assert ours.images.any() and torch.equal(ours.images, walk_back(model, image, "7", seeds, rules))
    assert not torch.equal(ours.images, projections(model, image, "7", unit=2, position=(3, 4)).images)


def test_only_switches_depend_on_the_image() -> None:
    torch.manual_seed(0)
    model, size = trained(inception(), torch.device("cpu")), (3, 33, 30)
    network = trace(model)
    assert [name for name in network.layers if depends_on_image(network, name)][:3] == ["2.pool", "2.c", "2.rc"]

    def one(activation: Tensor) -> Tensor:
        seed = torch.zeros_like(activation)
        seed[:, 2, 3] = 1
        return seed[None]

    for layer in ("0", "2.a", "2.c", "7"):
        shown = [walk_back(model, torch.randn(size), layer, one, Rules()) for _ in range(2)]
        assert all(signal.any() for signal in shown)
        assert torch.equal(*shown) != depends_on_image(network, layer), layer
    with pytest.raises(ValueError, match="layer: Sequential has no layer 'conv9'"):
        depends_on_image(network, "conv9")


# ---------------------------------------------------------------- refusals


class Through(nn.Module):
    """A convolution, something, a convolution, something else."""

    def __init__(self, something: Callable[[Tensor], Tensor], act: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.last, self.something = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), something
        self.act = act or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.last(self.something(self.act(self.first(x)))), 1)


@pytest.mark.parametrize(
    ("something", "act", "named"),
    [
        (torch.sigmoid, None, r"torch\.sigmoid in the model's forward"),
        (lambda x: x, nn.GELU(), r"layer 'act' \(GELU\)"),
        (lambda x: x * x.mean((2, 3), keepdim=True), None, "mul in the model's forward"),
        (lambda x: F.max_pool2d(x, 2, dilation=2), None, "max_pool2d in the model's .*: pooling with dilation 2"),
        (lambda x: x, nn.AdaptiveMaxPool2d(2), r"layer 'act' \(AdaptiveMaxPool2d\)"),
        (lambda x: x, nn.BatchNorm2d(4, track_running_stats=False), r"layer 'act' \(BatchNorm2d\)"),
        (lambda x: x, nn.SiLU(inplace=True), r"layer 'act' \(SiLU\)"),
        (
            lambda x: x,
            nn.LeakyReLU(0.1),
            r"'act' \(LeakyReLU\) .*: it lets negative values through, for which the deconv",
        ),
        (
            lambda x: x.clamp(-1, 1),
            None,
            "clamp in the model's .*: it lets negative values through, for which the deconv",
        ),
        (lambda x: x.clamp(0.5, 1), None, "clamp in the model's forward .*: it ends at 0.5, not at zero"),
        (lambda x: x.clamp(torch.zeros(())), None, "clamp in the model's forward .*: its ends are tensors"),
        (lambda x: torch.div(x, 2, rounding_mode="floor"), None, "div in the model's forward"),
        (lambda x: 1 / x, None, "truediv in the model's forward .*: its weights or settings depend"),
        (lambda x: x.int().float(), None, r"Tensor\.int in the model's forward"),
        (lambda x: x.to(torch.int32).float(), None, r"Tensor\.to in the .*: not all of its values are floating"),
        (lambda x: torch.maximum(x, -x), None, r"torch\.maximum in the model's forward"),
        (lambda x: x, nn.GroupNorm(2, 4), r"layer 'act' \(GroupNorm\)"),
        (lambda x: F.dropout(x), None, "dropout in the model's forward"),
        (
            lambda x: F.conv2d(x, x.transpose(0, 1)),
            None,
            "conv2d in the model's forward .*: its weights or settings depend",
        ),
        (lambda x: F.conv2d(x, x), None, "conv2d in the model's forward .*: its weights or settings depend"),
        (lambda x: x.view(torch.int32).view(torch.float32), None, "it makes torch.int32 of torch.float32"),
        (lambda x: (x[:, :1].relu_(), x)[1], None, r"what Tensor\.relu_ in the model's forward may have overwritten"),
    ],
)
def test_what_cannot_be_projected_is_refused_by_name(something: Any, act: nn.Module | None, named: str) -> None:
    model, image = Through(something, act).eval(), torch.randn(3, 10, 10)
    with pytest.raises(UnprojectableError, match=f"layer: 'last' cannot be projected, because .*({named})"):
        project(model, image, "last")
    assert project(model, image, "first").shape == (1, 3, 10, 10)  # what comes after the layer does not matter


def test_bad_arguments() -> None:
    model, image = small(), torch.randn(3, 10, 12)

    def refused(error: type[Exception], match: str, *args: Any, **kwargs: Any) -> None:
        with pytest.raises(error, match=match):
            project(*args, **kwargs)

    refused(ValueError, "layer: Sequential has no layer 'conv5'; there are: 0, 1, 2, 3, 4", model, image, "conv5")
    refused(ValueError, "unit: expected 0 to 5, the units of layer '0', got 6", model, image, "0", unit=6)
    refused(ValueError, "unit: expected 0 to 5, .* got -1", model, image, "0", unit=-1)
    refused(TypeError, "unit: expected an integer, got 1.5", model, image, "0", unit=1.5)
    refused(TypeError, "unit: expected an integer, got True", model, image, "0", unit=True)
    refused(
        ValueError,
        r"position: expected a place on the 8 x 10 map of layer '0', got \(8, 0\)",
        model,
        image,
        "0",
        position=(8, 0),
    )
    refused(ValueError, "position: expected .* got 'peak'", model, image, "0", position="peak")
    refused(ValueError, "position: expected .* got 3", model, image, "0", position=3)
    refused(
        ValueError,
        r"position: expected None, as layer '4' is a vector, got \(0, 0\)",
        model,
        image,
        "4",
        position=(0, 0),
    )
    refused(ValueError, "top: expected at least 1, got 0", model, image, "0", top=0)
    refused(ValueError, "top: expected 1 to 6, the units of layer '0', got 7", model, image, "0", top=7)
    refused(
        ValueError,
        r"top: expected at most 1 for unit 1 of layer '0', got 2",
        model,
        image,
        "0",
        unit=1,
        top=2,
        position="all",
    )
    refused(ValueError, "lrn: expected 'identity' or 'divide', got 'skip'", model, image, "0", lrn="skip")
    refused(TypeError, "image: expected a Tensor .*, got list", model, image.tolist(), "0")
    refused(TypeError, "image: expected a floating dtype, got torch.uint8", model, image.byte(), "0")
    refused(
        ValueError,
        r"image: expected \[C,H,W\] or \[1,C,H,W\], got shape \[2, 3, 10, 12\]",
        model,
        image.expand(2, 3, 10, 12),
        "0",
    )
    refused(ValueError, r"image: expected .*, got shape \[10, 12\]", model, image[0], "0")
    refused(
        TypeError, "image: expected the model's dtype, torch.float32, got torch.float64", model, image.double(), "0"
    )
    refused(ValueError, "image: expected finite values", model, image / 0, "0")
    refused(ValueError, r"image: \[1,1,10,12\] does not fit layer '0' \(Conv2d\): .*3 channels", model, image[:1], "0")
    refused(ValueError, r"image: \[1,3,12,14\] does not fit layer '4'", model, torch.randn(3, 12, 14), "4")
    refused(TypeError, "model: expected a torch.nn.Module, got str", "zfnet", image, "0")
    refused(
        ValueError,
        r"layer: expected a map .* or a vector .*, got \[1,1,3,10,12\] from '0'",
        nn.Sequential(nn.Unflatten(1, (1, 3))),
        image,
        "0",
    )


def test_a_layer_that_does_not_see_the_image() -> None:
    class Blind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)
            self.register_buffer("fixed", torch.ones(1, 2))

        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3))[:, :2] + self.fc(self.fixed)

    with pytest.raises(ValueError, match="layer: expected one that depends on the image, got 'fc'"):
        project(Blind(), torch.randn(3, 4, 4), "fc")
