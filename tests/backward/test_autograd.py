"""What holds for every method that autograd computes: which models it takes, and that a batch is its images, alone."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from zfcuda.backward import together as together_module
from zfcuda.backward.together import together

IMAGES = torch.randn(3, 3, 12, 14, generator=torch.Generator().manual_seed(0))

METHODS: dict[str, Callable[..., Tensor]] = {
    "gradient": zfcuda.gradient,
    "saliency": zfcuda.saliency,
    "integrated_gradients": lambda *x, **y: zfcuda.integrated_gradients(*x, steps=4, **y),
    "smooth_grad": lambda *x, **y: zfcuda.smooth_grad(*x, samples=3, **y),
    "grad_cam": zfcuda.grad_cam,
}
every = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


class Net(nn.Module):
    """A small network, whose subclasses have habits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.bn = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.pool, self.last = nn.MaxPool2d(2), nn.Conv2d(6, 8, 3)
        self.head = nn.Linear(8, 4)
        nn.init.normal_(self.bn.running_mean, std=0.1)
        nn.init.uniform_(self.head.weight, 0.1, 1)  # whatever the class, something speaks for it

    def maps(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.pool(F.relu(self.bn(self.conv(x)))))
        return y

    def forward(self, x: Tensor) -> Any:
        return self.head(F.relu(self.maps(x)).mean((2, 3)))


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()
    assert expected.abs().max() > 0


def double(model: nn.Module) -> nn.Module:
    return model.double().eval()


# ---------------------------------------------------------------- a batch is its images


@every
@pytest.mark.parametrize("target", [None, 2, [3, 0, 1], lambda logits: logits[:, 1] + logits[:, 2] ** 2])
def test_a_batch_gives_what_each_image_gives(method: Callable[..., Tensor], target: Any) -> None:
    model, images = double(Net()), IMAGES.double()
    batch = method(model, images, target=target)
    assert batch.dtype == torch.float64 and not batch.requires_grad and batch.is_contiguous()
    for i, image in enumerate(images):
        own = target[i] if isinstance(target, list) else target
        close(batch[i : i + 1], method(model, image, target=own), 1e-12)


class Scaled(Net):
    """Divides by the largest value of the batch: coupled, whatever two images happen to give."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x / x.amax())


class Unnormalised(Net):
    """Its batch norm takes the statistics of the batch in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(6, track_running_stats=False)


@every
@pytest.mark.parametrize("kind", [Scaled, Unnormalised])
def test_a_model_that_couples_its_images_gets_them_one_by_one(method: Callable[..., Tensor], kind: type[Net]) -> None:
    model, images = double(kind()), IMAGES.double()
    batch = method(model, images, target=1)
    for i in range(3):
        close(batch[i : i + 1], method(model, images[i], target=1), 1e-12)
    assert together(model, images, 100, target=[]) == 1


def test_a_target_that_couples_images() -> None:
    model, images = double(Net()), IMAGES.double()

    def mixed(logits: Tensor) -> Tensor:
        return logits[:, 0] * logits.sum()

    batch = zfcuda.gradient(model, images, target=mixed)
    for i in range(3):
        close(batch[i : i + 1], zfcuda.gradient(model, images[i], target=mixed), 1e-12)


@every
def test_no_image(method: Callable[..., Tensor]) -> None:
    found = method(Net(), IMAGES[:0])
    assert len(found) == 0 and found.shape[-2:] == IMAGES.shape[-2:]


def test_long_work_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = double(Net()), IMAGES.double()
    expected = {name: method(model, images, target=1) for name, method in METHODS.items()}
    assert together(model, images, 3, target=[]) == 3
    monkeypatch.setattr(together_module, "_FEW", 0)
    about = max(8, torch.get_num_threads())
    assert together(model, images, 100, target=[]) == -(-100 // round(100 / about))  # of equal size
    assert together(model, images, about + 2, target=[]) == about + 2  # and no small rest
    heavy = double(nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 14, 99), nn.Linear(99, 4)))
    assert together(heavy, images, 16, target=[]) == 16  # which reads more weights than maps
    one = 12 * 14 * 8
    monkeypatch.setattr(together_module, "budget_of", lambda asked, device: 200 * one)
    assert 1 < together(model, images, 100, target=[]) < 8
    for budget in (200 * one, 1):
        monkeypatch.setattr(together_module, "budget_of", lambda asked, device, budget=budget: budget)
        for name, method in METHODS.items():
            close(method(model, images, target=1), expected[name], 1e-12)


@every
def test_where_memory_runs_out_it_goes_on_with_fewer(method: Callable[..., Tensor]) -> None:
    class Small(Net):
        def forward(self, x: Tensor) -> Any:
            if x.shape[0] > 2:
                raise torch.OutOfMemoryError("no room")
            return super().forward(x)

    small, roomy = Small().eval(), Net().eval()
    close(method(small, IMAGES, target=0), method(roomy, IMAGES, target=0))


# ---------------------------------------------------------------- which models


class InPlace(Net):
    """Overwrites its input, and every map."""

    def forward(self, x: Tensor) -> Any:
        x = self.pool(F.relu_(self.bn(self.conv(F.relu_(x)))))
        return self.head(self.last(x).relu_().mean((2, 3)))


class OutOfPlace(Net):
    def forward(self, x: Tensor) -> Any:
        return super().forward(F.relu(x))


@every
def test_in_place(method: Callable[..., Tensor]) -> None:
    image = IMAGES.clone()
    close(method(InPlace().eval(), image, target=1), method(OutOfPlace().eval(), image, target=1))
    assert torch.equal(image, IMAGES)


@every
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_in_any_mode(method: Callable[..., Tensor], mode: Any) -> None:
    expected = method(Net(), IMAGES, target=1)
    with mode():
        made_inside = Net(), IMAGES.clone()
        close(method(Net(), IMAGES, target=1), expected)
        close(method(*made_inside, target=1), expected)
    close(method(*made_inside, target=1), expected)  # of weights that autograd does not take
    assert not any(p.requires_grad for p in Net().requires_grad_(False).parameters())


@every
def test_the_model_stays_as_it_was(method: Callable[..., Tensor]) -> None:
    class Keeping(Net):
        last_input: Tensor | None = None

        def forward(self, x: Tensor) -> Any:
            self.last_input = self.log = self.bn(self.conv(x))
            return super().forward(x)

    model = Keeping().train()
    model.pool.eval()
    model.conv.requires_grad_(False)
    model.head.weight.grad = torch.ones_like(model.head.weight)
    calls: list[str] = []
    model.last.register_forward_hook(lambda *_: calls.append("forward"))
    state = copy.deepcopy(model.state_dict())
    before = torch.get_rng_state()
    image = IMAGES.clone().requires_grad_()
    method(model, image, target=1)
    assert torch.equal(torch.get_rng_state(), before) and calls
    assert image.grad is None and torch.equal(image, IMAGES)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert [m.training for m in model.modules()] == [True, True, True, False, True, True]
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True, True, True, True, True]
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["head.weight"]
    assert torch.equal(model.head.weight.grad, torch.ones_like(model.head.weight))
    assert [len(m._forward_hooks) for m in model.modules()] == [0, 0, 0, 0, 1, 0]
    assert model.last_input is None and not hasattr(model, "log")
    copy.deepcopy(model)  # which a tensor with a history would not let through


@every
def test_wrapped_models(method: Callable[..., Tensor]) -> None:
    expected = method(Net(), IMAGES, target=1)
    partly = Net()
    partly.last = torch.compile(partly.last, backend="eager")  # type: ignore[assignment]
    for model in (nn.DataParallel(Net()), torch.compile(Net()), partly):
        close(method(model, IMAGES, target=1), expected)


def test_models_of_torch_jit() -> None:
    model = double(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    images = IMAGES.double()
    for kind in (torch.jit.script(model), torch.jit.trace(model, images)):
        close(zfcuda.gradient(kind, images, target=1), zfcuda.gradient(model, images, target=1), 1e-9)
        with pytest.raises(ValueError, match="has none"):
            zfcuda.grad_cam(kind, images)


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(method: Callable[..., Tensor], dtype: torch.dtype) -> None:
    found, expected = (method(Net().to(d), IMAGES.to(d), target=1) for d in (dtype, torch.float32))
    assert found.dtype == dtype and found.isfinite().all()
    assert (found.float() - expected).norm() < 0.2 * expected.norm()


@every
def test_channels_last(method: Callable[..., Tensor]) -> None:
    model = Net().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = IMAGES.contiguous(memory_format=torch.channels_last)
    found = method(model, images, target=1)
    close(found, method(Net(), IMAGES, target=1))
    assert found.is_contiguous()


class Counting(Net):
    """Parts of it compute with whole numbers, and one score is all that it gives."""

    def forward(self, x: Tensor) -> Any:
        maps = self.maps(x)
        return (maps * (maps > 0).long()).mean((2, 3))[:, 0]


@every
def test_one_score_and_whole_numbers(method: Callable[..., Tensor]) -> None:
    found = method(Counting(), IMAGES)
    close(found, method(Counting(), IMAGES, target=[0, 0, 0]))


# ---------------------------------------------------------------- what is refused


class Detached(Net):
    def maps(self, x: Tensor) -> Tensor:
        return super().maps(x).detach()


class Frozen(nn.Conv2d):
    @torch.no_grad()
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input)


class WithFrozen(Net):
    def __init__(self) -> None:
        super().__init__()
        self.last = Frozen(6, 8, 3)


GRADIENTS = ["gradient", "saliency", "integrated_gradients", "smooth_grad"]


@pytest.mark.parametrize("name", GRADIENTS)
def test_what_ends_the_gradients_is_named(name: str) -> None:
    said = "model: the score does not depend on the image by gradients; they end in "
    with pytest.raises(ValueError, match=re.escape(f"{said}the forward of Detached, which detaches")):
        METHODS[name](Detached(), IMAGES)
    with pytest.raises(ValueError, match=re.escape(f"{said}layer 'last' (Frozen), which detaches")):
        METHODS[name](WithFrozen(), IMAGES)


class InInferenceMode(Net):
    def forward(self, x: Tensor) -> Any:
        with torch.inference_mode():
            x = self.maps(x).mean((2, 3))
        return self.head(x)


@every
def test_a_part_in_inference_mode(method: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match=r"model: a part of it runs in torch.inference_mode"):
        method(InInferenceMode(), IMAGES, target=1)


class Overwriting(Net):
    def forward(self, x: Tensor) -> Any:
        y = self.maps(x).sigmoid()
        y.mul_(2)
        return self.head(y.mean((2, 3)))


class Answering(Net):
    def __init__(self, answer: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(super().forward(x))


@every
def test_models_that_are_refused(method: Callable[..., Tensor]) -> None:
    wrong: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: lambda x: x, TypeError, "model: expected a torch.nn.Module, got function"),
        (Overwriting, ValueError, "model: autograd cannot differentiate it: one of the variables"),
        (lambda: Answering(lambda x: {"out": x}), ValueError, r"got dict with 'out': \[\d, 4\]; a module around"),
        (
            lambda: Answering(lambda x: x[..., None]),
            ValueError,
            r"\[N,classes\] for .*, got a Tensor of shape \[\d, 4, 1\]",
        ),
        (lambda: Answering(lambda x: x.argmax(1)), ValueError, "scores of a floating dtype, got torch.int64"),
        (lambda: Answering(lambda x: x / 0), ValueError, "model: the score is expected to be finite, got NaN or inf"),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(7, 2)),
            ValueError,
            "image: .* does not fit",
        ),
    ]
    for make, error, message in wrong:
        with pytest.raises(error, match=message):
            method(make(), IMAGES, target=1)


@every
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((IMAGES, [0, 1]), ValueError, "target: expected 3, one for each image, got 2"),
        ((IMAGES[:0], [0, 1]), ValueError, "target: expected 0, one for each image, got 2"),
        ((IMAGES, 4), ValueError, "target: the model has classes 0 to 3, got 4"),
        ((IMAGES, "cat"), ValueError, "target: 'cat', but the model has no names"),
        ((IMAGES, 1.5), TypeError, "target: expected a class index or name"),
        ((IMAGES.double(), 1), TypeError, "image: expected the model's dtype, torch.float32, got torch.float64"),
        ((IMAGES * torch.nan, 1), ValueError, "image: expected finite values"),
        ((IMAGES[0, 0], 1), ValueError, r"image: expected \[C,H,W\] or \[N,C,H,W\]"),
    ],
)
def test_arguments_that_are_refused(
    method: Callable[..., Tensor], arguments: tuple[Tensor, Any], error: type[Exception], message: str
) -> None:
    runs: list[int] = []
    model = Net()
    model.register_forward_hook(lambda *_: runs.append(1))
    with pytest.raises(error, match=message):
        method(model, arguments[0], target=arguments[1])
    if "one for each" in message:
        assert not runs


@every
def test_classes_have_names(method: Callable[..., Tensor]) -> None:
    model = Net()
    model.classes = ["cat", "dog", "bird", "fish"]  # type: ignore[assignment]
    close(method(model, IMAGES, target=["bird", 0, "fish"]), method(model, IMAGES, target=[2, 0, 3]))
    close(method(model, IMAGES, target="dog"), method(model, IMAGES, target=1))
