"""The loop: what it makes, how it ends, and what it leaves behind."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.synthesis import (
    Objective,
    Optimised,
    diversity,
    evaluation,
    l2,
    layer,
    logit,
    optimise,
    total_variation,
    unit,
)
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.parameterization import Fourier, Pixels
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.steppers import LBFGS, Adam, Ascent
from zfcuda.synthesis.transforms import Affine

FREE = PixelRange()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 4),
    )


def noise(count: int = 1, size: int = 8, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def run(objective: Objective, model: nn.Module | None = None, *, count: int = 1, **settings: Any) -> Optimised:
    start = settings.pop("start", None)
    return optimise(
        network() if model is None else model,
        objective,
        Pixels(noise(count) if start is None else start, FREE),
        **{"steps": 5, **settings},
    )


@pytest.mark.parametrize("stepper", [Adam(), LBFGS(), Ascent(0.05)])
def test_each_stepper_climbs(stepper: Any) -> None:
    made = run(unit("2", 1), stepper=stepper, reached=True, count=2)
    assert made.reached is not None and (made.reached > made.values[0]).all()
    assert made.stopped == "" and made.interrupted is None and made.asleep == ()


def test_lbfgs_finds_the_minimum_of_a_square() -> None:
    target = noise(size=4)
    nearest = Objective(lambda seen: -(seen.images - target).square().flatten(1).sum(1), text="nearest")
    made = run(nearest, start=torch.zeros_like(target), stepper=LBFGS(), steps=10)
    torch.testing.assert_close(made.images, target, atol=1e-4, rtol=1e-4)


def test_what_needs_no_model_and_what_nothing_depends_on() -> None:
    before = noise()
    assert run(-l2(), start=before).images.abs().sum() < before.abs().sum()
    with pytest.raises(ValueError, match="objective: constant does not depend on the image by gradients"):
        run(Objective(lambda seen: torch.zeros(len(seen.images)), text="constant"))

    class Whole(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :4].round().detach()

    with pytest.raises(ValueError, match=r"objective: class 1 does not depend.*forward of Whole"):
        run(logit(1), Whole())


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (unit("3x", 0), "layer: Sequential has no layer '3x'"),
        (unit("2", 5), "unit: layer '2' has units 0 to 4, got 5"),
        (unit("2", 0, (6, 0)), "position: the map of '2' is 6 x 6"),
        (logit(4), "the model has classes 0 to 3, got 4"),
        (logit("tabby"), "no names of its classes"),
        (Objective(lambda seen: seen.images, text="whole"), r"objective: expected a number for each image, \[1\]"),
        (
            0 * l2() + Objective(lambda seen: seen.images.sum((1, 2, 3)) * math.inf, text="endless"),
            "endless is not finite",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(objective: Objective, message: str) -> None:
    image = Pixels(noise(), FREE)
    before = image.images().clone()
    with pytest.raises(ValueError, match=message):
        optimise(network(), objective, image, steps=3)
    assert torch.equal(image.images(), before)


def test_numbers_that_are_not_finite_end_it_with_the_last_good_image() -> None:
    images: list[Tensor] = []

    def value(seen: Any) -> Tensor:
        images.append(seen.images.detach().clone())
        return seen.images.sum((1, 2, 3)) / (0.0 if seen.step == 3 else 1.0)

    with pytest.warns(UserWarning, match=r"step 3 of 9 gave numbers that are not finite: the image before it") as said:
        made = run(Objective(value, text="soon endless"), steps=9)
    assert torch.equal(made.images, images[2]) and made.stopped and made.interrupted is None
    assert said[0].filename == __file__


@pytest.mark.parametrize("at", [0, 2])
def test_ctrl_c_gives_the_image_so_far(at: int) -> None:
    def stop(step: int, images: Tensor, said: Tensor) -> bool:
        if step == at:
            raise KeyboardInterrupt
        return False

    with pytest.warns(UserWarning, match=f"stopped in step {at} of 9: the image so far") as said:
        made = run(unit("2", 1), steps=9, after=stop)
    assert made.interrupted is not None and len(made.values) == at + 1
    assert said[0].filename == __file__
    torch.testing.assert_close(made.images, run(unit("2", 1), steps=at).images if at else noise())


def test_after_ends_it_without_a_word(recwarn: Any) -> None:
    made = run(unit("2", 1), steps=9, after=lambda step, images, said: step == 2)
    assert len(made.values) == 3 and made.stopped == "" and not recwarn.list


def test_the_model_is_left_as_it_was() -> None:
    model = network().train()
    model[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run(unit("2", 1) - total_variation(), model, awaken=True)
    assert model.training and all(module.training for module in model.modules())
    assert [p.requires_grad for p in model.parameters()] == [False] + [True] * 5
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("change", [torch.compile, nn.DataParallel, lambda m: m.to(memory_format=torch.channels_last)])
def test_wrapped_models_and_other_layouts_give_the_same(change: Callable[[nn.Module], nn.Module]) -> None:
    wanted = run(unit("2", 1)).images
    torch.testing.assert_close(run(unit("2", 1), change(network())).images, wanted, atol=1e-5, rtol=1e-5)


def test_weights_of_16_bits_get_images_of_their_kind() -> None:
    kinds = []
    model = network().bfloat16()
    model[0].register_forward_hook(lambda module, inputs, output: kinds.append(inputs[0].dtype))
    made = run(unit("2", 1), model, reached=True)
    assert made.images.dtype == made.values.dtype == torch.float32 and set(kinds) == {torch.bfloat16}
    assert made.reached is not None and made.reached > made.values[0]


# ---------------------------------------------------------------- many


@pytest.mark.parametrize(
    "objective", [unit("2", 1) - 0.1 * l2(), logit(2), layer("0") + diversity("2")], ids=["unit", "class", "diversity"]
)
def test_parts_give_what_all_at_once_give(objective: Objective, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = run(objective, count=11, reached=True)
    calls: list[int] = []
    model = network()
    model[0].register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    monkeypatch.setattr(evaluation, "budget_of", lambda asked, device: 20_000)
    made = run(objective, model, count=11, in_parts=True, reached=True)
    assert 1 <= max(calls[1:]) < 11  # the first looks whether the images of a batch are kept apart
    for name in ("images", "values", "reached"):
        torch.testing.assert_close(getattr(made, name), getattr(wanted, name), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["fourier", "pixels"])
def test_image_i_of_a_batch_is_what_seed_plus_i_gives(kind: str) -> None:
    def made(seed: int, count: int) -> Tensor:
        dice = Dice(seed, count)
        shape = (count, 3, 12, 12)
        image: Any = Fourier(shape, dice, FREE, 0.01) if kind == "fourier" else Pixels(dice.normal(*shape[1:]), FREE)
        views = [Affine(1, (0.8, 1.6), 10)]
        return optimise(network(), unit("2", 1), image, steps=4, transforms=views, dice=dice).images

    torch.testing.assert_close(made(7, 3), torch.cat([made(7 + i, 1) for i in range(3)]), atol=1e-4, rtol=1e-3)


# ---------------------------------------------------------------- what is dead where the image starts


class Late(nn.Module):
    """A network whose units are 0 unless the image is bright."""

    def __init__(self, rectifier: Callable[[Tensor], Tensor], bias: float = -1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.out = nn.Identity()
        self.rectifier = rectifier
        with torch.no_grad():
            self.first.weight.abs_()
            self.second.weight.abs_()
            self.first.bias.fill_(bias)
            self.second.bias.fill_(-0.1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.rectifier(self.second(self.rectifier(self.first(x)))))
        return y


RECTIFIERS: dict[str, Callable[[Tensor], Tensor]] = {
    "function": F.relu,
    "in place": lambda x: F.relu(x, inplace=True),
    "positional": lambda x: F.relu(x, True),
    "module": nn.ReLU(inplace=True),
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "ReLU6": nn.ReLU6(inplace=True),
    "clamp": lambda x: x.clamp(min=0),
    "clamp in place": lambda x: x.clamp_(0, 6),
    "hardtanh": nn.Hardtanh(0, 6),
}


@pytest.mark.parametrize("rectifier", RECTIFIERS.values(), ids=RECTIFIERS)
def test_a_unit_that_is_dead_at_the_start_is_woken(rectifier: Callable[[Tensor], Tensor], recwarn: Any) -> None:
    model = Late(rectifier, -5.0)
    still = optimise(model, unit("out", 1), Pixels(noise(scale=0.01), FREE), steps=60, stepper=Adam(0.1))
    assert (still.values == still.values[0]).all()  # no gradient, no step
    made = optimise(model, unit("out", 1), Pixels(noise(scale=0.01), FREE), steps=60, stepper=Adam(0.1), awaken=True)
    assert made.values[0] <= 0 < made.values[-1] and made.asleep == () and not recwarn.list


def test_only_the_images_that_are_dead_are_moved_so() -> None:
    model = Late(F.relu)
    start = torch.cat([noise(scale=0.01), noise(scale=0.01) + 1.0])
    made = optimise(model, unit("out", 1), Pixels(start, FREE), steps=40, awaken=True)
    alone = optimise(model, unit("out", 1), Pixels(start[1:], FREE), steps=40)
    assert made.values[0, 0] == 0 < made.values[0, 1] and (made.values[-1] > made.values[0]).all()
    torch.testing.assert_close(made.images[1:], alone.images, atol=1e-5, rtol=1e-4)


def test_a_unit_that_nothing_excites_is_warned_of() -> None:
    model = Late(F.relu)
    with torch.no_grad():
        model.second.weight[1].neg_()
    with pytest.warns(
        UserWarning, match="no image found that excites out:1, it stays at 0: the image as it is"
    ) as said:
        made = optimise(model, unit("out", 1), Pixels(noise(2), FREE), steps=4, awaken=True)
    assert made.asleep == (0, 1) and made.images.isfinite().all() and said[0].filename == __file__


def test_the_images_that_stay_dead_are_named() -> None:
    class Blind(Late):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = super().forward(x) * (x.detach().mean((1, 2, 3)) > 5).view(-1, 1, 1, 1)
            return y

    start = torch.cat([noise(scale=0.01), noise(scale=0.01) + 9.0])
    model = nn.Sequential(Blind(F.relu), nn.Identity())
    with pytest.warns(UserWarning, match=r"excites 1:1 in 1 of 2 images \(0\), it stays at 0"):
        made = optimise(model, unit("1", 1), Pixels(start, FREE), steps=3, awaken=True)
    assert made.asleep == (0,)


def test_a_prior_alone_does_not_move_what_is_dead() -> None:
    model = Late(F.relu, -5.0)
    wanted = unit("out", 1) - 0.001 * l2()
    made = optimise(model, wanted, Pixels(noise(scale=0.01), FREE), steps=60, stepper=Adam(0.1), awaken=True)
    assert made.values[-1] > 1 and made.asleep == ()


def test_a_unit_that_is_cut_off_above_gets_a_gradient_too() -> None:
    model = Late(nn.ReLU6(), 50.0)
    made = optimise(model, -unit("out", 1), Pixels(noise(), FREE), steps=120, stepper=Adam(0.5), awaken=True)
    assert made.values[0] == -6 < made.values[-1]
