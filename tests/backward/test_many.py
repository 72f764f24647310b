"""The walk with a batch: what each image gets alone, its stages as their steps, and what is held against the model."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from tests.backward.networks import inception, mobile, resnet, trained, vgg
from tests.backward.test_rules import EXACT, assert_exact, gradients
from tests.backward.test_walk import Head, small_zfnet
from zfcuda.backward import many, walk
from zfcuda.backward.many import walk_each
from zfcuda.backward.rules import LRN, RELU, Rules
from zfcuda.backward.walk import BackwardPath, walk_back
from zfcuda.network import trace
from zfcuda.ops import reference

CPU = torch.device("cpu")
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    "vgg": (vgg, (30, 35)),
    "resnet": (lambda: resnet("in place"), (41, 50)),
    "inception": (inception, (33, 30)),
    "mobile": (mobile, (31, 26)),
    "head": (Head, (12, 15)),
    "zfnet": (small_zfnet, (224, 224)),
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def of_each(model: nn.Module, batch: Tensor, seeds: Tensor) -> Tensor:
    """By torch.autograd, image by image."""
    pairs = zip(batch, seeds, strict=True)
    return torch.cat([gradients(model, image[None], seed[None]) for image, seed in pairs])


def both(model: nn.Module, batch: Tensor, layer: str = "", rules: Rules = EXACT) -> tuple[Tensor, Tensor]:
    """The walk of a batch, and seeds that it began with."""
    with torch.no_grad():
        seeds = torch.stack([torch.randn_like(model(image[None])[0]) for image in batch])
    return walk_each(model, batch, layer, lambda _, images: seeds[images], rules), seeds


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_of_a_batch_is_that_of_autograd(name: str, device: torch.device) -> None:
    build, size = NETWORKS[name]
    model = trained(build(), device, torch.float64)
    batch = torch.randn(3, 3, *size, dtype=torch.float64, device=device)
    found, seeds = both(model, batch)
    assert_exact(found, of_each(model, batch, seeds))


@pytest.mark.parametrize("relu", RELU)
def test_a_batch_is_its_images_under_all_rules(relu: str, device: torch.device) -> None:
    model = trained(small_zfnet(), device, torch.float64)[:16]  # type: ignore[index]
    batch = torch.randn(2, 3, 224, 224, dtype=torch.float64, device=device)
    for lrn in LRN:
        found, seeds = both(model, batch, "", Rules(relu, lrn))
        alone = [
            walk_back(model, x, "", lambda _, s=s: s[None], Rules(relu, lrn)) for x, s in zip(batch, seeds, strict=True)
        ]
        assert_exact(found, torch.cat(alone))


class Centred(nn.Module):
    """Takes the mean of the whole batch away, as a model for one image may."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x - x.mean()))
        y: Tensor = self.head(x.mean((2, 3)))
        return y


class Single(Centred):
    """Fits one image only."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x)).reshape(1, 4, -1)
        y: Tensor = self.head(x.mean(2))
        return y


@pytest.mark.parametrize("kind", [Centred, Single])
def test_a_model_that_couples_its_images_gets_them_one_by_one(kind: type[nn.Module]) -> None:
    model = kind().double()
    batch = torch.randn(3, 3, 9, 8, dtype=torch.float64) * torch.tensor([1.0, 10, 100]).view(3, 1, 1, 1)
    found, seeds = both(model, batch)
    assert_exact(found, of_each(model, batch, seeds))
    guided = zfcuda.guided_backprop(model, batch, target=[4, 0, 2])
    alone = [zfcuda.guided_backprop(model, x, target=t) for x, t in zip(batch, [4, 0, 2], strict=True)]
    assert_exact(guided, torch.cat(alone))


def test_a_large_batch_goes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained(vgg(), CPU, torch.float64)
    batch = torch.randn(5, 3, 12, 14, dtype=torch.float64)
    whole = zfcuda.guided_backprop(model, batch, target=[0, 1, 2, 3, 0])
    sizes, forward = [], BackwardPath.forward

    def counted(path: BackwardPath, part: Tensor) -> Any:
        sizes.append(len(part))
        return forward(path, part)

    monkeypatch.setattr(BackwardPath, "forward", counted)
    monkeypatch.setattr(many, "_PIXELS", 2 * 12 * 14)
    assert_exact(zfcuda.guided_backprop(model, batch, target=[0, 1, 2, 3, 0]), whole)
    called = zfcuda.guided_backprop(model, batch, target=lambda logits: logits[:, 1])
    assert sizes == [2, 2, 1] * 2
    assert_exact(called, zfcuda.guided_backprop(model, batch, target=1))


# ---------------------------------------------------------------- stages


def stage(norm: bool, window: tuple[Any, ...]) -> nn.Sequential:
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(*window[:3], ceil_mode=window[3])]
    if norm:
        layers.append(nn.LocalResponseNorm(4, 0.7, 0.6, 1.5))
    return trained(nn.Sequential(*layers, nn.Conv2d(6, 4, 1)), CPU, torch.float64)  # type: ignore[return-value]


WINDOWS = [(2, 2, 0, False), (3, 2, 1, True), (3, 1, 1, False), ((3, 2), (1, 2), (1, 0), False)]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("relu", RELU)
def test_a_stage_is_its_steps(
    relu: str, norm: bool, window: tuple[Any, ...], device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = stage(norm, window).to(device)
    with torch.no_grad():
        model[0].weight.round_()  # type: ignore[operator]
        model[0].bias.round_().sub_(2)  # type: ignore[operator]
    batch = torch.randint(-1, 2, (2, 3, 11, 12), device=device).double()  # ties, and windows with nothing positive
    for lrn in LRN:
        rules = Rules(relu, lrn)
        found, seeds = both(model, batch, "", rules)
        with monkeypatch.context() as patch:
            patch.setattr(walk, "stages", lambda *_: [])
            steps = walk_each(model, batch, "", lambda _, images, s=seeds: s[images], rules)
        assert_exact(found, steps)
    kinds = [node.kind for node in BackwardPath.of(trace(model), "", EXACT).nodes]
    assert "stage" in kinds and not {"relu", "max_pool", "lrn"} & set(kinds)


@pytest.mark.parametrize("relu", RELU)
def test_a_stage_is_that_of_the_reference(relu: str) -> None:
    model = stage(True, (3, 2, 1, False))
    batch = torch.randn(2, 3, 11, 12, dtype=torch.float64)
    found, seeds = both(model, batch, "", Rules(relu, "exact"))
    settings: Any = (4, 0.7, 0.6, 1.5)
    with torch.no_grad():
        first = model[0](batch)
        pooled, switches = reference.max_pool2d_with_switches(first, [3, 3], [2, 2], [1, 1], False, True)
        signal = F.conv_transpose2d(seeds, model[4].weight)  # type: ignore[arg-type]
        signal = reference.local_response_norm_backward(signal, pooled, *settings)
        signal = reference.max_unpool2d(signal, switches, [3, 3], [2, 2], [1, 1], list(first.shape[2:]))
        signal = signal if relu == "gradient" else signal.relu()
        signal = signal if relu == "deconvnet" else signal * (first > 0)
        assert_exact(found, F.conv_transpose2d(signal, model[0].weight))  # type: ignore[arg-type]


class Read(nn.Module):
    """Something inside a stage is read by another as well."""

    def __init__(self, which: str) -> None:
        super().__init__()
        self.conv, self.which = nn.Conv2d(3, 4, 3), which
        self.relu, self.pool, self.norm = nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.LocalResponseNorm(3, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        y = self.pool(x)
        z: Tensor = self.norm(y)
        if self.which == "relu":
            return z + F.avg_pool2d(x, 3, 2, 1)
        return z + y if self.which == "pool" else z


@pytest.mark.parametrize(
    ("which", "left"), [("relu", {"relu", "max_pool", "lrn"}), ("pool", {"stage", "lrn"}), ("none", {"stage"})]
)
def test_what_others_read_is_made(which: str, left: set[str]) -> None:
    model = Read(which).double()
    batch = torch.randn(2, 3, 10, 11, dtype=torch.float64)
    found, seeds = both(model, batch)
    assert_exact(found, of_each(model, batch, seeds))
    network = trace(model)
    kinds = {node.kind for node in BackwardPath.of(network, "", EXACT).nodes}
    assert left <= kinds and ("stage" in kinds) == ("stage" in left)
    for layer in ("relu", "pool", "norm"):  # inside of it
        assert zfcuda.project(network, batch[0], layer).any()
    assert "relu" in {node.kind for node in BackwardPath.of(network, "relu", EXACT).nodes}
    assert "lrn" not in {node.kind for node in BackwardPath.of(network, "pool", EXACT).nodes}


def test_maps_are_let_go() -> None:
    """A value that nothing reads any more, neither on the way forward nor back, is not kept."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 1))
    made: list[weakref.ref[Tensor]] = []
    alive: list[int] = []
    path = BackwardPath.of(trace(model), "3", EXACT)
    ways = dict(path.ways)
    for index, way in ways.items():

        def run(values: Any, run: Any = way.run) -> Any:
            alive.append(sum(ref() is not None for ref in made))
            value, back = run(values)
            made.append(weakref.ref(value))
            return value, back

        path.ways[index] = type(way)(way.sources, run)  # type: ignore[index]
    with torch.no_grad():
        path.forward(torch.randn(1, 3, 12, 12))
    assert alive == [0, 1, 1, 1]


# ---------------------------------------------------------------- what is held against the model


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The sizes of the batches that a model itself was run with."""
    seen: list[int] = []
    own = walk.own_value

    def counted(network: Any, image: Tensor, layer: str) -> Any:
        seen.append(len(image))
        return own(network, image, layer)

    monkeypatch.setattr(walk, "own_value", counted)
    yield seen


def test_the_models_own_run_comes_once(runs: list[int]) -> None:
    model = trained(vgg(), CPU)
    batch = torch.randn(3, 3, 12, 14)
    ask = zfcuda.guided_backprop

    def ran(*arguments: Any, **named: Any) -> int:
        before = len(runs)
        ask(*arguments, **named)
        return len(runs) - before

    assert ran(model, batch) == 1 and runs == [3]
    assert ran(model, batch + 1, target=2) == 0
    assert ran(model, batch[:2]) == 1 and ran(model, batch) == 0
    assert ran(model, batch, layer="3") == 1 and ran(model, batch, layer="3", unit=1) == 0
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    assert ran(model, batch) == 1 and ran(model, batch) == 0
    model[1] = nn.ReLU6()  # type: ignore[operator]
    assert ran(model, batch) == 1 and ran(model, batch) == 0
    network = trace(model)  # it may be older than the model
    assert ran(network, batch) == 1 and ran(network, batch) == 1
    model[0].register_forward_hook(lambda module, inputs, output: None)  # type: ignore[index]
    assert ran(model, batch) == 1 and ran(model, batch) == 1
    before = len(runs)
    zfcuda.project(model, batch[0], "3")
    assert len(runs) == before + 1


def test_a_hook_that_changes_a_value_is_noticed_later_too() -> None:
    model = trained(vgg(), CPU)
    batch = torch.randn(2, 3, 12, 14)
    zfcuda.guided_backprop(model, batch)
    model[0].register_forward_hook(lambda module, inputs, output: output * 2)  # type: ignore[index]
    with pytest.raises(ValueError, match="model: a hook changes what '' gives"):
        zfcuda.guided_backprop(model, batch)


def test_every_image_is_held_against_the_model() -> None:
    """A small image's error counts beside a large one's values."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 3))

    def shift(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        output = output.clone()
        output[1] *= 1.5
        return output

    model[0].register_forward_hook(shift)
    batch = torch.randn(2, 3, 8, 8) * torch.tensor([1e6, 1.0]).view(2, 1, 1, 1)
    with pytest.raises(ValueError, match="a hook changes what"):
        zfcuda.guided_backprop(model, batch, target=0)


def test_what_is_random_is_refused() -> None:
    class Noisy(Centred):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + random.random()

    model = Noisy()
    for _ in range(2):
        with pytest.raises(ValueError, match="something outside of them changes it, or it is random"):
            zfcuda.guided_backprop(model, torch.randn(2, 3, 9, 8))


def test_nothing_holds_the_model() -> None:
    model = trained(vgg(), CPU)
    zfcuda.guided_backprop(model, torch.randn(2, 3, 12, 14))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
