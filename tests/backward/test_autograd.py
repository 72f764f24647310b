"""What holds for every method that autograd computes: which models it takes, and that a batch is its images, alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from tests.backward.autograd_nets import IMAGES, METHODS, Net, close, every
from zfcuda.backward import together as together_module
from zfcuda.backward.together import together


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


@every
def test_classes_have_names(method: Callable[..., Tensor]) -> None:
    model = Net()
    model.classes = ["cat", "dog", "bird", "fish"]  # type: ignore[assignment]
    close(method(model, IMAGES, target=["bird", 0, "fish"]), method(model, IMAGES, target=[2, 0, 3]))
    close(method(model, IMAGES, target="dog"), method(model, IMAGES, target=1))
