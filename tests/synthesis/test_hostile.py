"""What only a hostile, or a very thorough, user gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import zfcuda
from zfcuda.synthesis import Objective, direction, diversity, each, l2, logit, total_variation, unit
from zfcuda.synthesis.watched import watching

IMAGE = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A small network, whose subclasses have habits."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.body(x).mean((2, 3)))
        return y


def made(model: nn.Module, objective: Any, **settings: Any) -> Tensor:
    return zfcuda.maximize(model, objective, **{"size": 12, "steps": 2, **settings})


SEEDED: list[Callable[[Any], Any]] = [
    lambda seed: made(Net(), "body.0:1", seed=seed),
    lambda seed: zfcuda.deep_dream(Net(), IMAGE, "body.0", octaves=1, steps=1, seed=seed),
    lambda seed: zfcuda.invert(Net(), IMAGE, "body.0", steps=1, seed=seed),
    lambda seed: zfcuda.adversarial(Net(), IMAGE, epsilon=0.1, steps=1, seed=seed),
]


@pytest.mark.parametrize("seeded", SEEDED)
def test_seeds(seeded: Callable[[Any], Any]) -> None:
    for seed in (None, 1.5, True, "0"):
        with pytest.raises(TypeError, match="seed: expected an integer, got"):
            seeded(seed)
    with pytest.raises(ValueError, match="seed: expected at most 63 bits, got"):
        seeded(2**64)
    seeded(np.int64(3))


LIMITED: list[Callable[[Any], Any]] = [
    lambda limits: made(Net(), "body.0:1", limits=limits),
    lambda limits: zfcuda.deep_dream(Net(), IMAGE, "body.0", octaves=1, steps=1, limits=limits),
    lambda limits: zfcuda.invert(Net(), IMAGE, "body.0", steps=1, limits=limits),
    lambda limits: zfcuda.adversarial(Net(), IMAGE, epsilon=0.1, steps=1, limits=limits),
    lambda limits: zfcuda.fool(Net(), None, 0, steps=1, limits=limits),
    lambda limits: zfcuda.transfer_style(
        Net(), IMAGE, IMAGE, content_layer="body.0", style_layers=["body.0"], steps=1, limits=limits
    ),
]


@pytest.mark.parametrize("limited", LIMITED)
def test_limits_of_another_shape(limited: Callable[[Any], Any]) -> None:
    with pytest.raises(ValueError, match="limits: expected one or 3 numbers each, got 2"):
        limited((torch.zeros(2), torch.ones(2)))
    for shape in ((3, 4), (1, 3, 1, 1)):
        with pytest.raises(ValueError, match=r"limits: expected numbers or tensors \[C\], got shape \["):
            limited((torch.zeros(shape), torch.ones(shape)))


def test_sizes_of_numpy() -> None:
    assert made(Net(), "body.0:1", size=np.int64(12)).shape == (1, 3, 12, 12)
    assert made(Net(), "body.0:1", size=np.array([12, 13])).shape == (1, 3, 12, 13)


def test_numbers_of_thousands_of_digits() -> None:
    for text in ("9" * 5000, "body.0:" + "9" * 5000, "body.0:1@0," + "9" * 5000):
        with pytest.raises(ValueError, match="objective: "):
            made(Net(), text)


def test_objectives_that_are_none() -> None:
    with pytest.raises(TypeError, match=r"objectives: expected unit\(\.\.\.\) and the like, got 'body.0:1'"):
        each(["body.0:1"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"objective: expected a number for each image, \[1\], got float"):
        made(Net(), Objective(lambda seen: 1.0))  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError):
        unit("body.0", 1) + 1  # type: ignore[operator]


def test_objectives_have_a_sum() -> None:
    model = Net()
    expected = made(model, unit("body.0", 1) + logit(2))
    assert torch.equal(made(model, sum([unit("body.0", 1), logit(2)])), expected)


def test_a_direction_of_inference_mode() -> None:
    with torch.inference_mode():
        vector = torch.ones(4)
    assert made(Net(), direction("body.0", vector)).isfinite().all()


def test_fooling_begins_with_noise_of_as_many_channels() -> None:
    model = Net(1)
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([0.0, 9.0, 0.0]))
    assert zfcuda.fool(model, None, 0, steps=1).image.shape[1] == 1


# ---------------------------------------------------------------- what a caller's thread has set


def synthesised(model: nn.Module) -> dict[str, Tensor]:
    """What each way to an image gives."""
    return {
        "maximize": made(model, unit("body.0", 1) + direction("body.0", torch.ones(4, device="cpu")), count=2),
        "diversity": made(model, unit("body.0", 1) + diversity("body.0"), count=2, parameterization="pixels"),
        "deep_dream": zfcuda.deep_dream(model, IMAGE, "body.0", octaves=2, steps=1),
        "invert": zfcuda.invert(model, IMAGE, "body.0", steps=11).image,
        "adversarial": zfcuda.adversarial(model, IMAGE, epsilon=0.1, steps=2).image,
        "smallest": zfcuda.adversarial(model, IMAGE, epsilon="smallest", steps=2).image,
        "grams": zfcuda.synthesis.grams(model, IMAGE[None], ["body.0"])["body.0"],
        "transfer_style": zfcuda.transfer_style(
            model, IMAGE, IMAGE.flip(1), content_layer="body.0", style_layers=["body.0"], steps=2
        ),
    }


@contextmanager
def default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("mode", [default_dtype, lambda: torch.device("meta"), torch.inference_mode])
def test_defaults_of_a_program_change_nothing(mode: Callable[[], AbstractContextManager[Any]]) -> None:
    model = Net()
    expected = synthesised(model)
    with mode():
        found = synthesised(model)
    for name, image in expected.items():
        torch.testing.assert_close(found[name], image, msg=name)


def test_under_autocast_images_are_of_float32() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = synthesised(Net())
    assert {name: image.dtype for name, image in found.items()} == dict.fromkeys(found, torch.float32)


# ---------------------------------------------------------------- what a model does


class Detaching(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.detach())


def test_priors_alone_are_no_objective() -> None:
    model, says = Detaching(), "does not depend on the image by gradients"
    with pytest.raises(ValueError, match=says):
        made(model, unit("body.0", 1) - total_variation())
    with pytest.raises(ValueError, match=f"layer: 'body.0' {says}"):
        zfcuda.invert(model, IMAGE, "body.0", steps=1)


class Catching(Net):
    """Catches whatever comes out of its layers, and goes on."""

    def forward(self, x: Tensor) -> Tensor:
        try:
            y = self.body(x)
        except:  # noqa: E722
            y = self.body(0 * x)
        z: Tensor = self.head(y.mean((2, 3)))
        return z


def test_a_model_that_catches_everything() -> None:
    torch.manual_seed(0)
    model = Catching()
    plain = Net()
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(made(model, "body.0:1", steps=4), made(plain, "body.0:1", steps=4))


class Overwriting(Net):
    """A layer passes on what is overwritten later."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.body[0](x)
        same = self.same(x)
        x.mul_(0)
        y: Tensor = self.head(self.body[2](same).mean((2, 3)))
        return y


def test_what_a_layer_gave_is_not_overwritten() -> None:
    model = Overwriting()
    with watching(model, ["same"], logits=True) as watched, torch.no_grad():
        kept = watched(IMAGE[None]).layers["same"]
    with torch.no_grad():
        torch.testing.assert_close(kept, model.body[0](IMAGE[None]))


class Brightest(Net):
    """Divides all images of a batch by the brightest pixel in it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x / x.abs().amax())


def normed() -> Net:
    model = Net()
    model.body[1] = nn.BatchNorm2d(4, track_running_stats=False)
    return model


@pytest.mark.parametrize("kind", [Brightest, normed])
def test_an_image_of_a_batch_is_that_of_a_run_alone(kind: Callable[[], Net]) -> None:
    torch.manual_seed(0)
    model = kind()
    for objective in ("body.2:1", unit("body.2", 1) + l2()):
        many = made(model, objective, count=3, seed=5)
        for i in range(3):
            torch.testing.assert_close(many[i], made(model, objective, seed=5 + i)[0])
    images = torch.stack([3 * IMAGE, IMAGE.flip(1), IMAGE.flip(2)])
    found = zfcuda.synthesis.adversaries(model, images, epsilon=0.1, steps=2)
    for i, each_ in enumerate(found):
        alone = zfcuda.adversarial(model, images[i], epsilon=0.1, steps=2, seed=i)
        torch.testing.assert_close(each_.image, alone.image)
        assert each_.label == alone.label and each_.probability == pytest.approx(alone.probability)
