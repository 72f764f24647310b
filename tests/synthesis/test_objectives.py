"""Objectives against what they say by hand, how they compose, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from zfcuda.synthesis import (
    Objective,
    content,
    direction,
    diversity,
    each,
    l2,
    layer,
    logit,
    optimise,
    total_variation,
    unit,
)
from zfcuda.synthesis.parameterization import Pixels
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.steppers import Ascent
from zfcuda.synthesis.watched import Seen

IMAGES = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5).sin()
MAP = torch.arange(2 * 3 * 2 * 2.0).view(2, 3, 2, 2).cos()


def said(objective: Objective, **seen: Any) -> Tensor:
    return objective.value(Seen(seen.pop("images", IMAGES), **seen))


def test_a_unit_is_the_mean_of_its_map_or_its_value_at_a_place() -> None:
    layers = {"conv": MAP, "fc": MAP.flatten(1)}
    counted = torch.where(MAP > 0, MAP, MAP / 10)
    torch.testing.assert_close(said(unit("conv", 1), layers=layers), counted[:, 1].mean((1, 2)))
    assert torch.equal(said(unit("conv", 1, (1, 0)), layers=layers), MAP[:, 1, 1, 0])
    assert torch.equal(said(unit("fc", 7), layers=layers), MAP.flatten(1)[:, 7])
    for wrong, message in (
        (unit("conv", 3), "unit: layer 'conv' has units 0 to 2, got 3"),
        (unit("conv", 0, (2, 0)), "position: the map of 'conv' is 2 x 2, got"),
        (unit("fc", 0, (0, 0)), "position: layer 'fc' is a vector and has no places"),
    ):
        with pytest.raises(ValueError, match=message):
            said(wrong, layers=layers)
    with pytest.raises(ValueError, match="unit: expected at least 0, got -1"):
        unit("conv", -1)
    with pytest.raises(ValueError, match="position: expected at least 0"):
        unit("conv", 0, (0, -1))
    with pytest.raises(TypeError, match="position: expected a place"):
        unit("conv", 0, 3)  # type: ignore[arg-type]


def test_the_gradient_of_a_layer_is_its_own_activation() -> None:
    found = MAP.clone().requires_grad_()
    said(layer("conv"), layers={"conv": found}).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found.grad, MAP / MAP[0].numel())


def test_a_class_by_index_and_name() -> None:
    logits = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    for target in (1, "tulip"):
        assert said(logit(target), logits=logits, classes=["rose", "tulip"]).tolist() == [2, 4]
    with pytest.raises(ValueError, match="the model has classes 0 to 1, got 2"):
        said(logit(2), logits=logits)
    with pytest.raises(ValueError, match="did you mean tulip"):
        said(logit("tulp"), logits=logits, classes=["rose", "tulip"])


def test_total_variation_by_hand() -> None:
    image = torch.tensor([[0.0, 3.0, 3.0], [4.0, 4.0, 0.0], [0.0, 0.0, 0.0]]).view(1, 1, 3, 3)
    # (dx, dy) of the four pixels that have both neighbours: (3, 4), (0, 1), (0, -4), (-4, -4).
    torch.testing.assert_close(said(total_variation(), images=image), torch.tensor([(5 + 1 + 4 + math.sqrt(32)) / 4]))
    torch.testing.assert_close(said(total_variation(2), images=image), torch.tensor([(25 + 1 + 16 + 32) / 4]))
    assert said(total_variation(), images=image[..., :1]).tolist() == [0]
    flat = torch.ones(1, 1, 3, 3, requires_grad=True)
    said(total_variation(), images=flat).sum().backward()  # type: ignore[no-untyped-call]
    assert flat.grad is not None and flat.grad.isfinite().all()
    with pytest.raises(ValueError, match="power"):
        total_variation(0)


def test_l2_content_and_direction() -> None:
    assert said(l2(), images=torch.full((2, 1, 2, 2), 3.0)).tolist() == [9, 9]
    layers = {"conv": MAP}
    assert said(content("conv", MAP[:1] + 2), layers={"conv": MAP[:1]}, images=IMAGES[:1]).tolist() == pytest.approx(
        [-4]
    )
    towards = torch.tensor([1.0, 0.0, -2.0])
    torch.testing.assert_close(
        said(direction("conv", towards), layers=layers), MAP[:, 0].mean((1, 2)) - 2 * MAP[:, 2].mean((1, 2))
    )
    with pytest.raises(ValueError, match=r"code: expected \[1,3,2,2\], as layer 'conv' is, got \[1,3,2,1\]"):
        said(content("conv", MAP[:1, ..., :1]), layers=layers)
    with pytest.raises(ValueError, match=r"vector: expected \[3\].*got \[2\]"):
        said(direction("conv", towards[:2]), layers=layers)


def test_diversity_is_minus_the_mean_cosine_of_gram_matrices() -> None:
    maps = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    grams = [(m.flatten(1) @ m.flatten(1).T).flatten() for m in maps]
    for i, value in enumerate(said(diversity("conv"), layers={"conv": maps}, images=maps)):
        others = [torch.cosine_similarity(grams[i], grams[j], dim=0) for j in range(3) if j != i]
        torch.testing.assert_close(value, -torch.stack(others).mean())
    twins = maps[:1].expand(2, -1, -1, -1)
    torch.testing.assert_close(said(diversity("conv"), layers={"conv": twins}, images=twins), -torch.ones(2))
    assert said(diversity("conv"), layers={"conv": maps[:1]}, images=maps[:1]).tolist() == [0]
    assert diversity("conv").together and (unit("conv", 0) + 2 * diversity("conv")).together


def test_objectives_add_up_subtract_and_scale() -> None:
    layers = {"conv": MAP}
    a, b = unit("conv", 0), unit("conv", 1)
    one, two = said(a, layers=layers), said(b, layers=layers)
    torch.testing.assert_close(said(a + b, layers=layers), one + two)
    torch.testing.assert_close(said(a - 0.5 * b, layers=layers), one - 0.5 * two)
    torch.testing.assert_close(said(-(a + b) * 3, layers=layers), -3 * (one + two))
    mixed = a + logit(0) - total_variation()
    assert mixed.logits and mixed.layers == ("conv",) and mixed.text == "conv:0 + class 0 + -1 * total variation"
    assert (2 * (a + b)).text == "2 * (conv:0 + conv:1)"
    for wrong in (lambda: a + 1, lambda: a * b, lambda: 1 - a, lambda: a * torch.ones(2)):  # type: ignore[operator]
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(ValueError, match="factor: expected a finite number, got nan"):
        a * math.nan
    with pytest.raises(TypeError, match="factor"):
        a * "2"


class Ball(Pixels):
    """Images at most as long as a radius."""

    radius = 2.0

    def project(self) -> None:
        images = self.parameters[0]
        size = images.flatten(1).norm(dim=1).clamp_min(self.radius).view(-1, 1, 1, 1)
        images.mul_(self.radius / size)


def test_the_maximum_of_a_linear_unit_under_an_l2_ball_is_along_its_weights() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    start = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0)) / 10
    made = optimise(model, unit("1", 2), Ball(start, PixelRange()), steps=200, stepper=Ascent(0.05))
    weights = model[1].weight[2].detach()
    for image in made.images:
        torch.testing.assert_close(image.flatten(), 2 * weights / weights.norm(), atol=1e-3, rtol=1e-3)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    ).eval()


def test_a_batch_gives_what_runs_of_one_give() -> None:
    model = network()
    wanted = [unit("0", 2), unit("0", 5, (3, 4)), logit(1) - 0.1 * l2()]
    together = zfcuda.maximize(model, each(wanted), size=16, count=3, steps=5)
    for image, one in enumerate(wanted):
        alone = zfcuda.maximize(model, one, size=16, steps=5, seed=image)
        assert torch.allclose(together[image : image + 1], alone, atol=1e-4)
    assert each(wanted).logits and each(wanted).layers == ("0",)


def test_as_many_objectives_as_images() -> None:
    with pytest.raises(ValueError, match="objectives: expected one for each of 3 images, got 2"):
        zfcuda.maximize(network(), each([unit("0", 0), unit("0", 1)]), size=16, count=3, steps=1)
    with pytest.raises(ValueError, match="objectives: expected at least one"):
        each([])
