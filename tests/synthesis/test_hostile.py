"""What only a hostile, or a very thorough, user gives."""

from __future__ import annotations

import errno
import gc
import signal
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.synthesis import Objective, direction, diversity, each, l2, logit, total_variation, unit
from zfcuda.synthesis.watched import watching
from zfcuda.train.style.pictures import style_images

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


# ---------------------------------------------------------------- what Ctrl-C, NaN and the disk leave


def at_run(number: int, then: Callable[[], Any], runs: list[int], model: Net | None = None) -> Net:
    """A network that does something when it runs for the n-th time. runs: takes how often it ran."""
    if model is None:
        torch.manual_seed(0)
        model = Net()
        model.head.bias.data[1] += 1

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        runs[0] += 1
        found: Tensor | None = then() if runs[0] == number else None
        return found

    model.body[0].register_forward_hook(hook)
    return model


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


LARGE = torch.rand(2, 3, 200, 200, generator=torch.Generator().manual_seed(0))
# Each with how often it runs a model before its first step.
STOPPED: dict[str, tuple[int, Callable[[nn.Module], Any]]] = {
    "maximize": (1, lambda model: made(model, "body.0:1", count=2)),
    "pixels": (0, lambda model: made(model, "1", parameterization="pixels")),
    "deep_dream": (2, lambda model: zfcuda.deep_dream(model, IMAGE, "body.0", octaves=2, steps=2)),
    "invert": (1, lambda model: zfcuda.invert(model, IMAGE, "body.0", steps=11)),
    "inversions": (3, lambda model: zfcuda.synthesis.inversions(model, IMAGE, ["body.0", "body.1"], steps=2)),
    "pgd": (1, lambda model: zfcuda.adversarial(model, IMAGE, epsilon=0.1, steps=2)),
    "fgsm": (1, lambda model: zfcuda.adversarial(model, IMAGE, epsilon=0.1, method="fgsm")),
    "smallest": (1, lambda model: zfcuda.adversarial(model, IMAGE, epsilon="smallest", steps=2)),
    "adversaries": (
        2,
        lambda model: zfcuda.synthesis.adversaries(model, IMAGE.expand(34, -1, -1, -1), epsilon=0.1, steps=1),
    ),
    "fool": (1, lambda model: zfcuda.fool(model, IMAGE, 0, steps=2)),
    "transfer_style": (
        2,
        lambda model: zfcuda.transfer_style(
            model, LARGE[0], LARGE[1], content_layer="body.0", style_layers=["body.0"], steps=1
        ),
    ),
}


@pytest.mark.parametrize("name", STOPPED)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_ctrl_c_in_any_run_of_the_model_leaves_what_was_made(name: str) -> None:
    before, make = STOPPED[name]
    runs = [0]
    make(at_run(-1, ctrl_c, runs))
    for at in range(before + 1, runs[0] + 1):
        model = at_run(at, ctrl_c, [0])
        with pytest.warns(UserWarning, match="stopped"):
            assert make(model) is not None
        assert model.training and len(model.body[0]._forward_hooks) == 1


def test_what_ctrl_c_leaves_is_within_the_limits() -> None:
    for at in range(3, 9):
        with pytest.warns(UserWarning, match="stopped"):
            found = made(at_run(at, ctrl_c, [0]), "1", steps=9, parameterization="pixels", limits=(0.45, 0.55))
        assert found.min() >= 0.45 and found.max() <= 0.55


def test_a_ctrl_c_keeps_no_memory() -> None:
    alive: list[weakref.ref[Tensor]] = []

    def stop() -> None:
        frame = sys._getframe(1)
        alive.append(weakref.ref(frame.f_locals["output"]))
        ctrl_c()

    gc.disable()
    try:
        with pytest.warns(UserWarning, match="stopped"):
            found = zfcuda.invert(at_run(4, stop, [0]), IMAGE, "body.0", steps=9)
        assert isinstance(found.interrupted, KeyboardInterrupt) and alive[0]() is None
    finally:
        gc.enable()


def test_an_answer_that_is_no_number_at_the_end_is_warned_of() -> None:
    model = Net()

    def break_() -> Tensor:
        return torch.full((1, 4, 12, 12), torch.nan)

    with pytest.warns(UserWarning, match="answers the changed image with NaN"):
        found = zfcuda.adversarial(at_run(3, break_, [0], model), IMAGE, epsilon=0.1, method="fgsm")
    assert not found.succeeded


def test_an_animation_that_cannot_be_written_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    model, file = Net(), tmp_path / "full.gif"
    with pytest.warns(UserWarning, match=r"animation: .* cannot be written \("):
        found = made(model, "body.0:1", animation=file)
    assert torch.equal(found, made(model, "body.0:1")) and not list(tmp_path.iterdir())
    with pytest.warns(UserWarning, match=r"animation: .* cannot be written \("):
        zfcuda.deep_dream(model, IMAGE, "body.0", octaves=1, steps=1, animation=file)


def by_itself(picture: Image.Image) -> Tensor:
    """Normalises each picture by itself, so that black and white are the same."""
    values = torch.from_numpy(np.array(picture.resize((12, 12)))).permute(2, 0, 1)[None].float()
    return (values - values.mean()) / (values.std() + 1e-6)


def test_a_preprocess_that_normalises_each_picture_gives_no_limits() -> None:
    model = Net()
    expected = made(model, "body.0:1")
    model.preprocess = by_itself  # type: ignore[assignment]
    assert torch.equal(made(model, "body.0:1"), expected)
    assert zfcuda.deep_dream(model, IMAGE, "body.0", octaves=1, steps=1).std() > 0.1


# ---------------------------------------------------------------- balls and sizes


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_tiny_ball_of_norm_2_is_not_left(dtype: torch.dtype, rounded: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    limits = (torch.tensor([-2.1179, -2.0357, -1.8044]), torch.tensor([2.2489, 2.4286, 2.64]))
    low, high = (limit.view(-1, 1, 1) for limit in limits)
    images = (low + (high - low) * (0.1 + 0.8 * torch.rand(4, 3, 12, 12, generator=generator))).to(dtype)
    for epsilon in (1e-4, 0.031372):
        found = zfcuda.synthesis.adversaries(
            Net().to(dtype), images, epsilon=epsilon, norm="2", limits=limits, steps=3, rounded=rounded
        )
        for one in found:
            assert float((one.change.double() / epsilon).norm()) <= 1


def test_a_style_that_is_long_beyond_all_measure() -> None:
    content, strip = torch.rand(3, 400, 400), torch.rand(3, 1, 2000)
    with pytest.raises(ValueError, match=r"style: expected a picture of at most .* got 800000 x 400; cut it"):
        zfcuda.transfer_style(Net(), content, strip, content_layer="body.0", style_layers=["body.0"], steps=1)
    with pytest.raises(ValueError, match=r"styles: expected a picture of at most .* got 1280000 x 256; cut it"):
        style_images([Image.new("RGB", (5000, 1))], 256)


def test_a_shift_beyond_all_measure() -> None:
    with pytest.raises(ValueError, match="jitter: expected at most"):
        zfcuda.deep_dream(Net(), IMAGE, "body.0", jitter=10**30)


# ---------------------------------------------------------------- threads


def test_threads_make_images_of_one_model() -> None:
    model = Net()
    expected = [made(model, f"body.0:{i}", seed=i, steps=6) for i in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda i: made(model, f"body.0:{i}", seed=i, steps=6), range(3)))
    assert all(map(torch.equal, found, expected))
    assert model.training and not model.body[0]._forward_hooks
