"""Adversaries: against closed forms, planted faults, and what others make of the same network."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from tests.synthesis.adversarial.networks import IMAGE, SHAPE, Small, away, linear, with_preprocess
from zfcuda.synthesis import Adversarial, adversaries, pixel_values


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
