"""Adversaries: against closed forms, planted faults, and what others make of the same network."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.data import Preprocess
from zfcuda.synthesis import Adversarial, adversaries, pixel_values
from zfcuda.synthesis.pixel_range import PixelRange

SHAPE = (3, 6, 6)
IMAGE = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))


class Linear(nn.Module):
    """Logistic regression of images of 3 x 6 x 6."""

    preprocess: Any = None
    classes: Any = None

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(108, outputs)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layer(images.flatten(1))
        return scores


def linear(outputs: int = 2, seed: int = 0) -> Linear:
    torch.manual_seed(seed)
    return Linear(outputs)


def away(model: Linear, image: Tensor) -> tuple[Tensor, float]:
    """The gradient [C,H,W] of the other logit less that of the answer, and how far that is below zero."""
    weight = model.layer.weight
    scores = model(image[None])[0].detach()
    label = int(scores.argmax())
    slope = (weight[1 - label] - weight[label]).detach().view(SHAPE)
    return slope, float(scores[label] - scores[1 - label])


class Small(nn.Module):
    """A network of two convolutions for three classes."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = 8 * self.head(self.body(images).mean((2, 3)))
        return scores


def with_preprocess(side: int = 6) -> Linear:
    model = linear()
    model.preprocess = Preprocess(side, side, (0.4, 0.5, 0.6), (0.1, 0.2, 0.4))
    return model


def picture(seed: int = 0, side: int = 6) -> Image.Image:
    values = torch.randint(0, 256, (side, side, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Image.fromarray(values.numpy())


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_on_logistic_regression_it_is_the_worst_corner_of_the_cube(method: str) -> None:
    model, epsilon = linear(), 0.0625
    slope, _ = away(model, IMAGE)
    made = zfcuda.adversarial(model, IMAGE, method=method, epsilon=epsilon)
    torch.testing.assert_close(made.image[0], IMAGE + epsilon * slope.sign(), rtol=0, atol=1e-7)
    torch.testing.assert_close(made.change, made.image - IMAGE, rtol=0, atol=0)
    margin = away(model, IMAGE)[1] - epsilon * float(slope.abs().sum())
    scores = model(made.image)[0]
    assert abs(float(scores[made.original_label] - scores[1 - made.original_label]) - margin) < 1e-4
    assert made.succeeded == (margin < 0) == (made.label != made.original_label)


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_on_logistic_regression_it_lies_along_the_weights_in_the_ball(method: str) -> None:
    model, epsilon = linear(), 0.7
    slope, _ = away(model, IMAGE)
    made = zfcuda.adversarial(model, IMAGE, method=method, norm="2", epsilon=epsilon, steps=40)
    if method == "fgsm":
        torch.testing.assert_close(made.change[0], epsilon * slope / slope.norm(), rtol=0, atol=1e-6)
    assert float((made.change[0] * slope).sum() / made.change.norm() / slope.norm()) > 0.99  # a random start is left
    assert float(made.change.norm()) <= epsilon and float(made.change.double().norm()) > 0.9999 * epsilon


def test_nothing_in_the_cube_is_worse_than_the_corner() -> None:
    model = linear()
    made = zfcuda.adversarial(model, IMAGE, method="fgsm", epsilon=0.1)
    others = IMAGE + 0.1 * (2 * torch.rand(500, *SHAPE, generator=torch.Generator().manual_seed(1)) - 1)
    label = made.original_label
    margins = (lambda scores: scores[:, label] - scores[:, 1 - label])(model(torch.cat([made.image, others])))
    assert int(margins.argmin()) == 0


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_a_target_is_reached_and_away_from_it_is_not(norm: str) -> None:
    model = Small()
    label = int(model(IMAGE[None]).argmax())
    for target in {0, 1, 2} - {label}:
        made = zfcuda.adversarial(model, IMAGE, target=target, norm=norm, epsilon=30.0, steps=40)
        assert made.succeeded and made.label == target == int(model(made.image).argmax())
        torch.testing.assert_close(made.probability, float(model(made.image).softmax(1).max()))


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_the_smallest_epsilon_of_logistic_regression(norm: str, method: str) -> None:
    model = linear(seed=3)
    slope, margin = away(model, IMAGE)
    nearest = margin / float(slope.abs().sum() if norm == "inf" else slope.norm())
    made = zfcuda.adversarial(model, IMAGE, method=method, norm=norm, epsilon="smallest", steps=40)
    assert made.succeeded and made.epsilon is not None
    assert nearest * 0.999 < float(made.epsilon) < nearest * 1.05
    assert not zfcuda.adversarial(model, IMAGE, method=method, norm=norm, epsilon=nearest * 0.99, steps=40).succeeded


def test_the_smallest_of_many_is_that_of_each() -> None:
    model = Small()
    images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(4))
    many = adversaries(model, images, epsilon="smallest", seed=7)
    for i, one in enumerate(many):
        alone = zfcuda.adversarial(model, images[i], epsilon="smallest", seed=7 + i)
        torch.testing.assert_close(one.epsilon, alone.epsilon)
        torch.testing.assert_close(one.image, alone.image, rtol=0, atol=1e-5)


def test_what_withstands_everything_is_said_to() -> None:
    model = linear()
    with torch.no_grad():
        model.layer.bias.copy_(torch.tensor([1e4, 0.0]))
    made = zfcuda.adversarial(model, IMAGE, method="fgsm", epsilon="smallest", limits=(0.0, 1.0))
    assert not made.succeeded and made.label == made.original_label
    torch.testing.assert_close(made.epsilon, torch.ones_like(made.epsilon))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("norm", ["inf", "2"])
def test_it_lies_in_ball_and_range_to_the_last_bit(dtype: torch.dtype, norm: str) -> None:
    model = Small().to(dtype)
    for seed, epsilon in enumerate([0.001, 1 / 255, 0.03137, 0.1, 0.3]):
        image = torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed)).to(dtype)
        made = zfcuda.adversarial(model, image, norm=norm, epsilon=epsilon, limits=(0.0, 1.0), seed=seed)
        assert made.image.dtype == dtype and made.image.shape == (1, *SHAPE)
        assert float(made.image.min()) >= 0 and float(made.image.max()) <= 1
        if norm == "inf":
            assert float((made.image - image).abs().max()) <= epsilon
        else:
            assert float((made.image.double() - image.double()).norm()) <= epsilon


def test_the_ball_is_exact_far_from_zero_where_floats_are_coarse() -> None:
    image = 100 * torch.randn(2000, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    for epsilon in (1e-5, 0.017, 0.3):
        made = torch.cat([one.image for one in adversaries(model, image, method="fgsm", epsilon=epsilon)])
        assert 0 < float((made - image).abs().max()) <= epsilon


def test_a_network_that_is_sure_still_tells_the_way() -> None:
    model = linear()
    with torch.no_grad():
        model.layer.weight.mul_(1e4)  # exp of the difference is 0 in float32
    slope, margin = away(model, IMAGE)
    assert (
        margin > 200
        and float(
            torch.autograd.functional.jacobian(  # type: ignore[no-untyped-call]
                lambda x: -model(x).log_softmax(1).max(), IMAGE[None]
            )
            .abs()
            .max()
        )
        == 0
    )
    made = zfcuda.adversarial(model, IMAGE, method="fgsm", epsilon=0.5)
    torch.testing.assert_close(made.image[0], IMAGE + 0.5 * slope.sign())


def test_a_network_that_answers_probabilities() -> None:
    model = linear()
    both = [
        zfcuda.adversarial(net, IMAGE, method="fgsm", epsilon=0.1)
        for net in (model, nn.Sequential(model, nn.Softmax(1)))
    ]
    torch.testing.assert_close(both[0].image, both[1].image)
    torch.testing.assert_close(both[0].probability, both[1].probability)


def test_seeds_and_batches() -> None:
    model = Small()
    images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(4))
    many = adversaries(model, images, epsilon=0.05, seed=5, target=None)
    for i, one in enumerate(many):
        alone = zfcuda.adversarial(model, images[i], epsilon=0.05, seed=5 + i)
        torch.testing.assert_close(one.image, alone.image, rtol=0, atol=1e-5)
    again = zfcuda.adversarial(model, images[0], epsilon=0.05, seed=5)
    assert torch.equal(again.image, zfcuda.adversarial(model, images[0], epsilon=0.05, seed=5).image)
    other = zfcuda.adversarial(model, images[0], epsilon=0.05, seed=6, steps=1)
    assert not torch.equal(other.image, zfcuda.adversarial(model, images[0], epsilon=0.05, seed=5, steps=1).image)
    assert adversaries(model, torch.empty(0, *SHAPE), epsilon=0.1) == []


def test_a_target_for_each() -> None:
    model = Small()
    images = torch.stack([IMAGE, IMAGE])
    label = int(model(images).argmax(1)[0])
    targets = sorted({0, 1, 2} - {label})
    assert [one.label for one in adversaries(model, images, target=targets, epsilon=30.0, steps=40)] == targets


def test_pixel_values_differ_from_channel_to_channel() -> None:
    model = with_preprocess()
    expected = torch.tensor([4 / 255 / 0.1, 4 / 255 / 0.2, 4 / 255 / 0.4])
    torch.testing.assert_close(pixel_values(model, 4), expected)
    torch.testing.assert_close(pixel_values(linear(), 51, limits=(0.0, 2.0)), torch.tensor([0.4]))
    image = model.preprocess(Image.new("RGB", (6, 6), (100, 110, 120)))
    made = zfcuda.adversarial(model, image, method="fgsm")
    torch.testing.assert_close(made.change.abs().amax((0, 2, 3)), expected)
    torch.testing.assert_close(zfcuda.adversarial(model, image, method="fgsm", epsilon=expected).image, made.image)


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_what_is_rounded_is_what_a_png_says(norm: str, tmp_path: Path) -> None:
    model = with_preprocess()
    pixels = PixelRange.of(model)
    for seed in range(8):
        start = picture(seed)
        made = zfcuda.adversarial(model, start, norm=norm, seed=seed, rounded=True)
        pixels.picture(made.image[0]).save(tmp_path / "made.png")
        again = model.preprocess(tmp_path / "made.png")
        torch.testing.assert_close(again, made.image, rtol=0, atol=2e-6)
        label = int(model(again).argmax())
        assert label == made.label and made.succeeded == (label != made.original_label)
        image = model.preprocess(start)
        changed = (again - image).view(3, -1) / pixel_values(model).view(3, 1)
        if norm == "inf":
            assert changed.abs().max() < 4.001
        else:
            assert changed.norm() <= 108**0.5 + 1e-3
        assert changed.abs().max() > 0.999


class Negative:
    """A preprocess for which black is the highest value."""

    def __call__(self, picture: Image.Image) -> Tensor:
        return 1 - torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255


MEAN = torch.randint(0, 256, (3, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize(
    "preprocess", [Negative(), Preprocess(6, 8, mean_image=MEAN)], ids=["negative", "mean picture"]
)
def test_other_preprocesses(preprocess: Any, norm: str) -> None:
    model = linear()
    model.preprocess = preprocess
    start = picture(2) if isinstance(preprocess, Negative) else picture(2, 8)
    made = zfcuda.adversarial(model, start, norm=norm, rounded=True)
    pixels = PixelRange.of(model)
    before, after = (np.array(pixels.picture(image)).astype(int) for image in (preprocess(start)[0], made.image[0]))
    change = after - before
    assert abs(change).max() == 4 if norm == "inf" else 0.5 < (change**2).mean() <= 1
    values = 255 * pixels.unit(made.image)
    torch.testing.assert_close(values, values.round(), rtol=0, atol=2e-3)


def test_the_smallest_of_rounded_ones_is_whole() -> None:
    model = with_preprocess()
    made = zfcuda.adversarial(model, picture(1), method="fgsm", epsilon="smallest", rounded=True)
    assert made.epsilon is not None
    count = made.epsilon / pixel_values(model)
    torch.testing.assert_close(count, count.round())
    if count[0] > 1:
        less = pixel_values(model, float(count[0].round()) - 1)
        assert not zfcuda.adversarial(model, picture(1), method="fgsm", epsilon=less, rounded=True).succeeded


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "negative": ({"epsilon": -0.1}, ValueError, "epsilon: expected a number above 0, got -0.1"),
    "zero": ({"epsilon": 0}, ValueError, "epsilon: expected a number above 0, got 0"),
    "NaN": ({"epsilon": float("nan")}, ValueError, "epsilon: expected a number above 0, got nan"),
    "one channel": ({"epsilon": torch.tensor([0.1, -1.0, 0.1])}, ValueError, "epsilon: expected a number above 0"),
    "channels": ({"epsilon": torch.ones(2)}, ValueError, "epsilon: expected a number or one for each of 3 channels"),
    "word": ({"epsilon": "small"}, TypeError, "epsilon: expected a number.*'small'"),
    "no limits": ({"epsilon": None}, ValueError, "epsilon: expected a number in the network's input units"),
    "norm": ({"norm": "1"}, ValueError, "norm: expected 'inf' or '2', got '1'"),
    "method": ({"method": "cw"}, ValueError, "method: expected 'fgsm' or 'pgd', got 'cw'"),
    "steps": ({"steps": 0}, ValueError, "steps: expected at least 1, got 0"),
    "half a step": ({"steps": 0.5}, TypeError, "steps: expected an integer, got 0.5"),
    "seed": ({"seed": "a"}, TypeError, "seed: expected an integer"),
    "class": ({"target": 2}, ValueError, "target: the model has classes 0 to 1, got 2"),
    "callable": ({"target": lambda scores: scores[:, 0]}, TypeError, "target: expected a class index or name"),
    "limits": (
        {"limits": (0.0, 0.5)},
        ValueError,
        "image: expected values within the limits of the channels, 0/0/0 to 0.5/0.5/0.5, got",
    ),
    "reversed": ({"limits": (1.0, 0.0)}, ValueError, "limits: expected .*every low below its high"),
    "rounded": ({"rounded": True}, ValueError, "rounded: expected a model with a .preprocess, or limits"),
    "several": ({"image": torch.zeros(2, *SHAPE)}, ValueError, "got 2 of them; zfcuda.synthesis.adversaries"),
    "list": ({"image": [IMAGE]}, ValueError, "image: expected .* or one picture, got 1 of them"),
    "size": ({"image": torch.zeros(3, 5, 5)}, ValueError, "image"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    given, kind, said = BAD[case]
    arguments: dict[str, Any] = {"epsilon": 0.1, **given}
    image = arguments.pop("image", IMAGE)
    with pytest.raises(kind, match=said) as error:
        zfcuda.adversarial(linear(), image, **arguments)
    assert "\n" not in str(error.value)


def test_what_the_network_says_already_is_no_target() -> None:
    model = linear()
    label = int(model(IMAGE[None]).argmax())
    with pytest.raises(ValueError, match=rf"target: .* already, class {label}"):
        zfcuda.adversarial(model, IMAGE, target=label, epsilon=0.1)
    model.classes = ["cat", "dog"]
    with pytest.raises(ValueError, match=rf"of image 1 already, {model.classes[label]} \({label}\)"):
        adversaries(model, torch.stack([IMAGE, IMAGE]), target=[1 - label, label], epsilon=0.1)


def test_one_output_and_numbers_that_are_none() -> None:
    with pytest.raises(ValueError, match="two classes or more"):
        zfcuda.adversarial(linear(1), IMAGE, epsilon=0.1)
    model = linear()
    with torch.no_grad():
        model.layer.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="finite"):
        zfcuda.adversarial(model, IMAGE, epsilon=0.1)


class Stopping(nn.Module):
    """Is interrupted in its call of a number."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.inner, self.left = Small(), at

    def forward(self, images: Tensor) -> Tensor:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        scores: Tensor = self.inner(images)
        return scores


def test_ctrl_c_gives_the_image_so_far() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = zfcuda.adversarial(Stopping(5), IMAGE, epsilon=0.05)
    assert isinstance(made, Adversarial) and made.steps < 5
    assert any("stopped in step" in str(one.message) for one in caught)
    assert float(made.change.abs().max()) <= 0.05


def _labels(model: nn.Module, images: Tensor) -> Tensor:
    return model(images).argmax(1)


@pytest.mark.parametrize("other", ["foolbox", "torchattacks"])
def test_others_make_the_same_of_one_step_and_succeed_as_often(other: str) -> None:
    there = pytest.importorskip(other)
    model = Small(1).eval()
    images = torch.rand(48, *SHAPE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        model.head.bias.sub_(model(images).mean(0) / 8)  # or it would say one class of all of them
    labels, epsilon = _labels(model, images), 0.004
    if other == "foolbox":
        wrapped = there.PyTorchModel(model, bounds=(0, 1), device="cpu")
        one = there.attacks.LinfFastGradientAttack()(wrapped, images, labels, epsilons=epsilon)[1]
        many = there.attacks.LinfPGD(rel_stepsize=0.25, steps=10)(wrapped, images, labels, epsilons=epsilon)[1]
    else:
        one = there.FGSM(model, eps=epsilon)(images, labels)
        many = there.PGD(model, eps=epsilon, alpha=epsilon / 4, steps=10)(images, labels)
    arguments: dict[str, Any] = {"epsilon": epsilon, "limits": (0.0, 1.0)}
    ours = torch.cat([made.image for made in adversaries(model, images, method="fgsm", **arguments)])
    torch.testing.assert_close(ours, one, rtol=0, atol=1e-6)
    made = adversaries(model, images, **arguments)
    theirs = int((_labels(model, many) != labels).sum())
    assert 8 < theirs < 40 and abs(sum(each.succeeded for each in made) - theirs) <= 2
    mean = float(torch.cat([each.change for each in made]).abs().mean())
    assert abs(mean / float((many - images).abs().mean()) - 1) < 0.05
