"""What holds for every function that runs a user's model: the model stays the user's, and all take the same models."""

from __future__ import annotations

import copy
import re
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.autograd import module_of
from zfcuda.backward.deconvnet import strongest
from zfcuda.data import Parts, Preprocess
from zfcuda.faithfulness import deletion, insertion, part_importance, randomization
from zfcuda.models.accounts.memory import memory_need
from zfcuda.network import evaluating, layers, receptive_field, trace
from zfcuda.network.intact import deterministic, restoring
from zfcuda.occlusion import dispatch, prepared
from zfcuda.occlusion.choice import Choice
from zfcuda.report.layers import conv_layers
from zfcuda.synthesis import diversity, inversions, logit, optimise, unit
from zfcuda.synthesis.parameterization import Pixels
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.texture.gram import gram_textured
from zfcuda.train.style.loss import LossNetwork

IMAGE = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(0))
IMAGES = torch.stack([IMAGE, IMAGE.flip(2)])
WINDOWS: dict[str, Any] = {"window": 6, "stride": 6}


def _style_losses(model: nn.Module) -> Any:
    """What a style network learns from, and its gradient."""
    inner = module_of(model)
    loss = LossNetwork(inner, PixelRange.of(inner), [IMAGE[None]], content_layer=None, style_layers=None, size=12)
    drawn = IMAGES.clone().requires_grad_()
    with loss.watched() as watched:
        found = loss.losses(watched, IMAGES, drawn, torch.tensor([0, 0]))
        torch.stack(found).sum().backward(inputs=[drawn])
    return found


def _texture(model: nn.Module) -> Any:
    """Makes a texture by a network, which then needs a preprocess; it has none before and after."""
    inner = module_of(model)
    inner.preprocess = Preprocess(12, 12)
    try:
        sample = Image.fromarray((255 * IMAGE).byte().permute(1, 2, 0).numpy())
        return gram_textured(sample, (12, 12), model, ["body.0"], 0, steps=2)
    finally:
        del inner.preprocess


def _fooled(model: nn.Module) -> Any:
    """Fools it into one of two classes, of which it says one already at most."""
    try:
        return zfcuda.fool(model, IMAGE, 0, steps=2)
    except ValueError as error:
        if "already" not in str(error):
            raise
        return zfcuda.fool(model, IMAGE, 1, steps=2)


# Each runs a model whose layer "body.0" is a convolution, on IMAGE.
FACES: dict[str, Callable[[nn.Module], Any]] = {
    "occlusion_map": lambda model: zfcuda.occlusion_map(model, IMAGE, **WINDOWS),
    "batched": lambda model: zfcuda.occlusion_map(model, IMAGE, method="batched", **WINDOWS),
    "mapper": lambda model: zfcuda.OcclusionMapper(model, IMAGE, **WINDOWS)(IMAGE),
    "Occluder": lambda model: zfcuda.Occluder(model, IMAGE)([0, 3], [2, 0], [6, 1], 4),
    "Occlusion": lambda model: zfcuda.Occlusion(model.eval()).attribute(IMAGE[None], (3, 6, 6), (3, 6, 6), target=0),
    "project": lambda model: zfcuda.project(model, IMAGE, "body.0"),
    "Projector": lambda model: zfcuda.Projector(model, IMAGE, "body.0")(IMAGE),
    "guided_backprop": lambda model: zfcuda.guided_backprop(model, IMAGE),
    "guided_backprop of a layer": lambda model: zfcuda.guided_backprop(
        model, IMAGE.expand(2, -1, -1, -1), layer="body.0"
    ),
    "gradient": lambda model: zfcuda.gradient(model, IMAGE),
    "gradient of a layer": lambda model: zfcuda.gradient(model, IMAGE, layer="body.0"),
    "saliency": lambda model: zfcuda.saliency(model, IMAGES, target=[0, 1]),
    "integrated_gradients": lambda model: zfcuda.integrated_gradients(model, IMAGE, steps=3),
    "smooth_grad": lambda model: zfcuda.smooth_grad(model, IMAGE, samples=2),
    "grad_cam": lambda model: zfcuda.grad_cam(model, IMAGES),
    "grad_cam of a layer": lambda model: zfcuda.grad_cam(model, IMAGE, layer="body.0"),
    "strongest": lambda model: strongest(model, IMAGE, "body.0", top=2),
    "activations": lambda model: zfcuda.activations(model, IMAGE, ["body.0", "head"]),
    "dead_units": lambda model: zfcuda.dead_units(model, IMAGE[None], layers=["body.1", "head"]),
    "codes": lambda model: zfcuda.codes(model, IMAGE[None], "body.0"),
    "filters": lambda model: zfcuda.filters(model, "body.0"),
    "receptive_field": lambda model: receptive_field(model, "body.0", (12, 12)),
    "summary": lambda model: zfcuda.models.summary(model, (3, 12, 12)),
    "deletion": lambda model: deletion(model, IMAGE, IMAGE[0], steps=3),
    "insertion": lambda model: insertion(model, IMAGE, IMAGE[0], steps=3),
    "part_importance": lambda model: part_importance(model, Parts(size=32), 0, preprocess=Preprocess.parts(12)),
    "randomization": lambda model: randomization(model, IMAGE, "occlusion"),
    "memory_need": lambda model: memory_need(model, (3, 12, 12)),
    "grams": lambda model: zfcuda.synthesis.grams(model, IMAGES, ["body.0", "body.1"]),
    "transfer_style": lambda model: zfcuda.transfer_style(
        model, IMAGE, IMAGES[1], content_layer="body.0", style_layers=["body.0"], steps=2
    ),
    "maximize": lambda model: zfcuda.maximize(model, "body.0:1", size=12, steps=2),
    "deep_dream": lambda model: zfcuda.deep_dream(model, IMAGE, "body.0", octaves=2, steps=2),
    "invert": lambda model: zfcuda.invert(model, IMAGE, "body.0", steps=3),
    "inversions": lambda model: inversions(model, IMAGE, ["body.0", "body.3"], steps=2),
    "fool": lambda model: _fooled(model),
    "adversarial": lambda model: zfcuda.adversarial(model, IMAGE, epsilon=0.01, steps=2),
    "adversaries": lambda model: zfcuda.synthesis.adversaries(model, IMAGES, method="fgsm", epsilon="smallest"),
    "maximize several": lambda model: zfcuda.maximize(
        model, unit("body.1", 1) - 0.1 * logit(0) + diversity("body.0"), size=12, count=2, steps=2
    ),
    "maximize pixels": lambda model: zfcuda.maximize(model, "head:1", size=12, steps=2, parameterization="pixels"),
    "optimise": lambda model: optimise(model, unit("body.0", 0), Pixels(IMAGES, PixelRange()), steps=2),
    "texture": lambda model: _texture(model),
    "style_losses": lambda model: _style_losses(model),
    "strongest_patches": lambda model: zfcuda.strongest_patches(model, IMAGE[None], ["body.0"], top=2),
}
face = pytest.mark.parametrize("face", FACES.values(), ids=FACES)


class Net(nn.Module):
    """A small network, whose subclasses have habits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.body(x).mean((2, 3)))
        return y


class Lazy(Net):
    """Makes a grid at its first call, and keeps it."""

    grid: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        if self.grid is None:
            self.grid = torch.linspace(0, 1, x.shape[-1], device=x.device)
        y: Tensor = self.head((x * self.grid).mean((2, 3)))
        return y


@face
def test_what_a_model_makes_and_keeps_can_be_trained_with(face: Callable[[nn.Module], Any]) -> None:
    model = Lazy()
    face(model)
    image = IMAGE[None].clone().requires_grad_()
    model(image).sum().backward()
    assert image.grad is not None and model.head.weight.grad is not None


class Record:
    """Something of the user's that is no module."""

    def __init__(self) -> None:
        self.last: Any = None
        self.all: list[Any] = []


class Recorder(Record):
    """The same that can be called."""

    def __call__(self, x: Any) -> None:
        self.all.append(x)


class Passing(nn.Module):
    """Keeps what it passes on."""

    last: Any = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = x
        return x


class Keeping(Net):
    """Keeps what passes in all kinds of places."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Any] = []
        self.seen: dict[str, Any] = {"first": 1}
        self.nested: dict[str, list[Any]] = {"a": [], "b": [[]]}
        self.queue: deque[Any] = deque([0], maxlen=2)
        self.once: set[Any] = set()
        self.record, self.recorder = Record(), Recorder()
        self.unregistered = [Passing()]
        self.last: Any = None

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        self.log.append(x)
        self.seen["first"] = self.seen["second"] = x
        self.nested["b"][0].append(x)
        self.queue.append(x)
        self.once.add(x)
        self.record.last = self.last = x
        self.record.all += [x]
        self.recorder(self.unregistered[0](x))
        y: Tensor = self.head(x.mean((2, 3)))
        return y

    def kept(self) -> list[Any]:
        nested = self.nested["b"][0]
        record = [self.record.last, *self.record.all, *self.recorder.all, self.unregistered[0].last]
        return [*self.log, *self.seen.values(), *nested, *self.queue, *self.once, *record, self.last]


class Sized(Keeping):
    """Such a model whose forward asks for a shape, so that torch.export has to follow it."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != 3:
            raise ValueError("three channels, please")
        return super().forward(x)


@pytest.mark.parametrize("kind", [Keeping, Sized])
def test_no_stand_in_stays_in_the_model(kind: type[Keeping]) -> None:
    for face in FACES.values():
        model, names = kind(), set(dir(kind()))
        if face is not FACES["receptive_field"]:
            face(model)
        else:
            layers(Keeping())
        kinds = {type(value).__name__ for value in model.kept()}
        assert kinds <= {"Tensor", "int", "NoneType"}, kinds
        assert set(dir(model)) == names and model.training is not (face is FACES["Occlusion"])


# ---------------------------------------------------------------- what passes by the layers


class Foreach(Net):
    """Rectifies by a write to a list of tensors."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.body[0](x)
        torch._foreach_clamp_min_([x], 0.0)
        y: Tensor = self.head(self.body[3](F.max_pool2d(x, 2)).mean((2, 3)))
        return y


def patched() -> Net:
    model = Net()
    own = model.body[3]._conv_forward
    model.body[3]._conv_forward = lambda x, weight, bias: own(x, 2 * weight, bias)
    return model


def doubled(model: nn.Module) -> Net:
    twin = Net()
    twin.load_state_dict(model.state_dict())
    with torch.no_grad():
        twin.body[3].weight.mul_(2)
    return twin


class Stateful(Net):
    """Gives something else at each call."""

    shift = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.shift += 1
        y: Tensor = super().forward(x + self.shift)
        return y


def test_writes_to_a_list_of_tensors_are_not_overlooked() -> None:
    model = Foreach()
    for ask in (zfcuda.project, strongest):
        with pytest.raises(ValueError, match=r"cannot|does not fit"):
            ask(model, IMAGE, "body.3")
    assert zfcuda.occlusion_map(model, IMAGE, **WINDOWS).method == "batched"


def test_a_replaced_method_is_followed() -> None:
    model = patched()
    twin = doubled(model)
    torch.testing.assert_close(zfcuda.project(model, IMAGE, "body.3"), zfcuda.project(twin, IMAGE, "body.3"))
    assert [unit.value for unit in strongest(model, IMAGE, "body.3", 3)] == pytest.approx(
        [unit.value for unit in strongest(twin, IMAGE, "body.3", 3)]
    )
    found = zfcuda.occlusion_map(model, IMAGE, method="incremental", **WINDOWS)
    torch.testing.assert_close(found.logits, zfcuda.occlusion_map(twin, IMAGE, method="batched", **WINDOWS).logits)


def test_a_layer_is_held_against_the_model_itself() -> None:
    network = trace(Stateful())
    with torch.no_grad():
        network.model(IMAGE[None])  # by now it is another function
    for ask in (zfcuda.project, strongest):
        with pytest.raises(ValueError, match=r"what Stateful itself gives for 'body.3' is not what its layers compute"):
            ask(network, IMAGE, "body.3")
    model = Stateful()
    projector = zfcuda.Projector(model, IMAGE, "body.3")
    projector(IMAGE)
    with torch.no_grad():
        model(IMAGE[None])
    with pytest.raises(ValueError, match="is not what its layers compute"):
        projector(IMAGE)


class Repeated(Net):
    """Calls a layer twice, counts its runs, and cleans up behind itself."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        self.log.append("entered")
        x = self.body[1](self.body[0](x))
        y: Tensor = self.head(self.body[3](self.body[1](x - 0.1)).mean((2, 3)))
        self.log.pop()
        return y


def test_the_model_runs_up_to_the_last_call_of_a_layer() -> None:
    model = Repeated()
    with torch.no_grad():
        first = model.body[0](IMAGE[None]).relu()
    expected = (first - 0.1).relu().amax((2, 3))[0].sort(descending=True).values[:2].tolist()
    assert [unit.value for unit in strongest(model, IMAGE, "body.1", 2)] == pytest.approx(expected)
    assert sum(name == "body.1" for name, _ in trace(model).calls) == 2 and model.runs == 0 and model.log == []


def test_what_fails_behind_a_layer_does_not_matter() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(7, 2))
    expected = zfcuda.project(model[:2], IMAGE, "1", top=2)
    torch.testing.assert_close(zfcuda.project(model, IMAGE, "1", top=2), expected)
    with pytest.raises(ValueError, match="does not fit layer '3'"):
        zfcuda.project(model, IMAGE, "3")


# ---------------------------------------------------------------- several threads


def together(*work: Callable[[], None]) -> None:
    """Runs functions in threads of their own, and raises what they raise."""
    with ThreadPoolExecutor(len(work)) as pool:
        for future in [pool.submit(each) for each in work]:
            future.result()


def normalised() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    )


def test_threads_share_a_model_in_training_mode() -> None:
    model = normalised().train()
    model[2].eval()
    mean = model[1].running_mean.clone()
    expected = {
        method: zfcuda.occlusion_map(copy.deepcopy(model), IMAGE, layer="2", method=method, **WINDOWS)
        for method in ("batched", "incremental")
    }
    projection = zfcuda.project(copy.deepcopy(model), IMAGE, "3")

    def maps(method: str, layer: str | None) -> None:
        for _ in range(15):
            found = zfcuda.occlusion_map(model, IMAGE, layer=layer, method=method, **WINDOWS)
            torch.testing.assert_close(found.logits, expected[method].logits)
            if layer is not None:
                torch.testing.assert_close(found.activity, expected[method].activity)

    def projections() -> None:
        for _ in range(15):
            torch.testing.assert_close(zfcuda.project(model, IMAGE, "3"), projection)
            zfcuda.models.summary(model, (3, 12, 12))

    together(
        lambda: maps("batched", None),
        lambda: maps("batched", "2"),
        lambda: maps("incremental", "2"),
        projections,
    )
    assert torch.equal(model[1].running_mean, mean)
    assert [module.training for module in model.modules()] == [True, True, True, False, True, True, True]
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("first", [0, 1])
def test_a_mode_that_another_thread_holds_is_set_back_by_that_one(first: int) -> None:
    model = normalised().train()
    model[2].eval()
    held = [evaluating(model), restoring(model)]
    for context in held:
        context.__enter__()
    assert not model.training
    for context in (held[first], held[1 - first]):
        context.__exit__(None, None, None)
    assert [module.training for module in model.modules()] == [True, True, True, False, True, True, True]


def test_a_recording_leaves_other_threads_alone() -> None:
    model, image = Net().eval(), IMAGE[None]
    with torch.no_grad():
        expected = model(image)
    started, done = threading.Event(), threading.Event()

    class Slow(Net):
        def forward(self, x: Tensor) -> Tensor:
            started.set()
            done.wait(10)
            return super().forward(x)

    def others() -> None:
        started.wait(10)
        with torch.no_grad():
            outputs = [model(image) for _ in range(3)]
        done.set()
        assert all(torch.equal(output, expected) for output in outputs)

    together(lambda: trace(Slow()) and None, others)
    call = nn.Module.__call__
    together(*[lambda: [trace(Net()) for _ in range(5)] and None] * 3)
    assert nn.Module.__call__ is call


# ---------------------------------------------------------------- wrappers


def wrapped() -> dict[str, nn.Module]:
    inside = Net()
    inside.body = nn.DataParallel(inside.body)  # type: ignore[assignment]
    partly = Net()
    partly.body = torch.compile(partly.body, backend="eager")  # type: ignore[assignment]
    both = nn.DataParallel(torch.compile(Net()))  # type: ignore[arg-type]
    return {"": Net(), "module.": nn.DataParallel(Net()), "module._orig_mod.": both, "i": inside, "p": partly}


@pytest.mark.parametrize("wrapper", wrapped())
def test_layers_have_one_name_whatever_wraps_the_model(wrapper: str) -> None:
    model = wrapped()[wrapper].eval()
    names = layers(model)
    first = "body.module.0" if wrapper == "i" else "body.0"
    assert first in names and "head" in names
    own = {"": [], "p": ["body._orig_mod.0"], "i": []}.get(wrapper, [wrapper + "body.0"])
    for name in [first, *own]:
        assert len(zfcuda.project(model, IMAGE, name)) == 1
        assert len(strongest(model, IMAGE, name, 2)) == 2
        assert receptive_field(model, name, (12, 12)).size == (3, 3)
        for method in ("batched", "incremental"):
            found = zfcuda.occlusion_map(model, IMAGE, layer=name, method=method, **WINDOWS)
            assert found.activity is not None and found.method == method
    with pytest.raises(ValueError, match=f"has no layer 'heed'; there are: {re.escape(', '.join(sorted(names)[:1]))}"):
        zfcuda.occlusion_map(model, IMAGE, layer="heed", **WINDOWS)


# ---------------------------------------------------------------- dtypes


class Tempered(Net):
    """One number is in float64, before all others."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x) / self.temperature.float()
        return y


class Converting(Net):
    """Takes images of float32 into layers of float64."""

    def __init__(self) -> None:
        super().__init__()
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x.double()).float()
        return y


class Writing(Net):
    """Writes to its image, as a ReLU in place does that comes first."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(2))


@face
def test_the_image_is_left_as_it_was(face: Callable[[nn.Module], Any]) -> None:
    before, both = IMAGE.clone(), IMAGES.clone()
    try:
        with suppress(ValueError):  # brute force refuses such a model, by name
            face(Writing())
        assert torch.equal(IMAGE, before) and torch.equal(IMAGES, both)
    finally:
        IMAGE.copy_(before), IMAGES.copy_(both)


@face
def test_one_number_in_another_dtype_does_not_matter(face: Callable[[nn.Module], Any]) -> None:
    face(Tempered())
    face(Keeping())


def test_the_answers_of_models_of_several_dtypes() -> None:
    for model in (Tempered().eval(), Converting().eval()):
        with torch.no_grad():
            expected = model(IMAGE[None])[0]
        for method in ("auto", "batched"):
            found = zfcuda.occlusion_map(model, IMAGE, method=method, **WINDOWS)
            torch.testing.assert_close(found.base_logits, expected)
        assert zfcuda.Occlusion(model).attribute(IMAGE[None], (3, 6, 6), (3, 6, 6), target=0).isfinite().all()
        assert len(zfcuda.models.summary(model, (3, 12, 12))) == 5
    for refused in (Net().double(), Net().half()):
        with pytest.raises(TypeError, match=rf"image: expected the model's dtype, {refused.head.weight.dtype}, got"):
            zfcuda.occlusion_map(refused, IMAGE, **WINDOWS)


class Answering(Net):
    """Returns what a function makes of the scores."""

    def __init__(self, answer: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(super().forward(x))


@pytest.mark.parametrize(
    ("answer", "dtype"),
    [
        (lambda x: x.argmax(1), torch.int64),
        (lambda x: x > 0, torch.bool),
        (lambda x: (10 * x).to(torch.uint8), torch.uint8),
        (torch.fft.fft, torch.complex64),
    ],
)
def test_answers_that_are_no_scores(answer: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    model = Answering(answer).eval()
    expected = f"model: expected it to return scores of a floating dtype, got {dtype}"
    for method in ("auto", "batched", "incremental"):
        with pytest.raises(ValueError, match=expected):
            zfcuda.occlusion_map(model, IMAGE, method=method, **WINDOWS)
    with pytest.raises(ValueError, match=expected):
        zfcuda.OcclusionMapper(model, IMAGE, **WINDOWS)
    with pytest.raises(ValueError, match=expected):
        conv_layers(model, IMAGE[None])
    attribute = zfcuda.Occlusion(model).attribute
    if dtype in (torch.bool, torch.complex64):
        with pytest.raises(RuntimeError, match=f"forward_func: expected it to return real numbers, got {dtype}"):
            attribute(IMAGE[None], (3, 6, 6), (3, 6, 6))
    else:  # as Captum does
        assert attribute(IMAGE[None], (3, 6, 6), (3, 6, 6)).shape[1:] == IMAGE.shape


class Spectrum(Net):
    """A layer gives complex numbers, another one whole ones."""

    def __init__(self) -> None:
        super().__init__()
        self.fourier, self.counting = Applying(torch.fft.fft2), Applying(lambda x: (x > 0).long())

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        y: Tensor = self.head((x * self.counting(x) + self.fourier(x).abs()).mean((2, 3)))
        return y


class Applying(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def test_layers_of_no_floating_numbers() -> None:
    model = Spectrum()
    for layer, dtype in (("fourier", torch.complex64), ("counting", torch.int64)):
        with pytest.raises(ValueError, match=f"layer: expected floating values, got {dtype} from '{layer}'"):
            strongest(model, IMAGE, layer)
    with pytest.raises(ValueError, match=r"layer: expected real values, got torch.complex64 from 'fourier'"):
        zfcuda.occlusion_map(model, IMAGE, layer="fourier", **WINDOWS)
    assert zfcuda.occlusion_map(model, IMAGE, layer="counting", **WINDOWS).activity is not None


# ---------------------------------------------------------------- what the engine does not take


def by_brute_force(model: nn.Module, image: Tensor, side: int) -> Tensor:
    """The outputs for windows of 6 x 6, one by one: [rows * columns,classes]."""
    outputs = []
    with torch.no_grad():
        for y in range(0, side, 6):
            for x in range(0, side, 6):
                occluded = image.clone()
                occluded[:, y : y + 6, x : x + 6] = 0
                outputs.append(model(occluded[None])[0])
    return torch.stack(outputs)


class Scaled(Net):
    """Divides its image by a number of no dimension."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x / x.max())
        return y


class Constant(Net):
    """Such a number that does not depend on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x * self.scale.exp()) + self.scale.neg()
        return y


def test_values_of_no_dimension() -> None:
    image = torch.rand(3, 18, 18)
    for model, method in ((Scaled().eval(), "batched"), (Constant().eval(), "incremental")):
        expected = by_brute_force(model, image, 18)
        found = zfcuda.occlusion_map(model, image, method="auto" if method == "batched" else method, **WINDOWS)
        assert found.method == method
        torch.testing.assert_close(found.logits.flatten(0, 1), expected, rtol=1e-3, atol=1e-4)
        zfcuda.Occlusion(model).attribute(image[None], (3, 6, 6), (3, 6, 6), target=1)
        zfcuda.OcclusionMapper(model, image, **WINDOWS)(image)
        zfcuda.models.summary(model, (3, 18, 18))
    with pytest.raises(RuntimeError, match=r"max mixes the images of a batch"):
        zfcuda.occlusion_map(Scaled(), image, method="incremental", **WINDOWS)


def test_scripted_models() -> None:
    model = normalised().eval()
    expected = zfcuda.occlusion_map(model, IMAGE, method="batched", **WINDOWS).logits
    scripted = torch.jit.script(model)
    kinds = (scripted, torch.jit.trace(model, IMAGE[None]), torch.jit.freeze(torch.jit.script(model)))
    for kind in (*kinds, nn.Sequential(torch.jit.script(model[:3]), model[3:])):
        found = zfcuda.occlusion_map(kind, IMAGE, **WINDOWS)
        # torch before 2.13 cannot show that such a model computes its images independently, and says that instead.
        assert found.method == "batched" and any(word in found.reason for word in ("torch.jit", "TorchScript"))
        torch.testing.assert_close(found.logits, expected)
        torch.testing.assert_close(zfcuda.OcclusionMapper(kind, IMAGE, **WINDOWS)(IMAGE).logits, expected)
        attributions = zfcuda.Occlusion(kind).attribute(IMAGE[None], (3, 6, 6), (3, 6, 6), target=0)
        own = zfcuda.Occlusion(model).attribute(IMAGE[None], (3, 6, 6), (3, 6, 6), target=0)
        torch.testing.assert_close(attributions, own)
        asks: list[Callable[[], Any]] = [
            lambda: zfcuda.project(kind, IMAGE, "0"),  # noqa: B023
            lambda: layers(kind),  # noqa: B023
            lambda: zfcuda.occlusion_map(kind, IMAGE, method="incremental", **WINDOWS),  # noqa: B023
        ]
        for ask in asks:
            with pytest.raises((ValueError, RuntimeError), match=r"compiled by torch\.jit|TorchScript"):
                ask()
        size = tuple(IMAGE.shape[-3:])
        assert zfcuda.models.summary(kind, size).multiply_adds == zfcuda.models.summary(model, size).multiply_adds
    with pytest.raises(ValueError, match=r"layer: '2' is compiled by torch.jit"):
        zfcuda.occlusion_map(scripted, IMAGE, layer="2", **WINDOWS)


@pytest.mark.parametrize("error", [AssertionError(), TypeError("odd"), ZeroDivisionError("odd"), KeyError("odd")])
@pytest.mark.parametrize("place", ["Plan", "predict", "run_engine"])
def test_no_error_of_the_engine_escapes(place: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    model = normalised().eval()
    expected = zfcuda.occlusion_map(model, IMAGE, method="batched", **WINDOWS)

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(dispatch if place == "run_engine" else prepared, place, fail)
    if place == "run_engine":
        monkeypatch.setattr(prepared, "predicted", lambda _: Choice(True, "cheaper"))
    found = zfcuda.occlusion_map(model, IMAGE, **WINDOWS)
    assert found.method == "batched" and ("odd" in found.reason or found.reason.endswith("AssertionError"))
    assert torch.equal(found.logits, expected.logits)
    for escaping in (KeyboardInterrupt(), MemoryError()):
        error = escaping  # type: ignore[assignment]
        with pytest.raises(type(escaping)):
            zfcuda.occlusion_map(model, IMAGE, **WINDOWS)


class Branching(Net):
    """Looks at the shape of its image."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != 3:
            raise ValueError("three channels, please")
        return super().forward(x)


def test_every_face_follows_models_that_branch_on_shapes() -> None:
    model = Branching().eval()
    twin = Net()
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(zfcuda.project(model, IMAGE, "body.3"), zfcuda.project(twin, IMAGE, "body.3"))
    projected = zfcuda.Projector(model, IMAGE, "body.3")(IMAGE)
    torch.testing.assert_close(projected, zfcuda.project(twin, IMAGE, "body.3"))
    assert strongest(model, IMAGE, "body.3", 2) == strongest(twin, IMAGE, "body.3", 2)
    assert str(zfcuda.models.summary(model, (3, 12, 12))) == str(zfcuda.models.summary(twin, (3, 12, 12)))


def test_settings_of_the_process_are_put_back_by_the_last_thread() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic
    both = threading.Barrier(2)

    def work(last: bool) -> None:
        if last:
            both.wait(10)
        with deterministic():
            assert cudnn.deterministic
            if not last:
                both.wait(10)
            both.wait(10)
            if last:
                both.wait(10)
                assert cudnn.deterministic
        if not last:
            both.wait(10)

    together(lambda: work(True), lambda: work(False))
    assert cudnn.deterministic is before
