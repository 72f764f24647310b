"""Learning the soft answers of another network."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import zfcuda
from zfcuda.models.checkpoints.trained import save_trained
from zfcuda.train.order import Order
from zfcuda.train.teacher import Teacher

KEYS = [(0, 3), (0, 1), (0, 2), (0, 0)]  # view, picture
CLASSES = ["cat", "dog", "hat"]
PREPROCESS = zfcuda.Preprocess(224, 224, (0.4, 0.5, 0.6), (0.2, 0.3, 0.2))


@pytest.fixture
def file(tmp_path: Path) -> str:
    torch.manual_seed(0)
    network = zfcuda.models.zfnet(3, width=0.05)
    nn.init.normal_(network.fc8.bias)  # type: ignore[arg-type]
    options = {"num_classes": 3, "width": 0.05}
    path = tmp_path / "teacher.safetensors"
    save_trained(path, network, network="zfnet", options=options, classes=CLASSES, preprocess=PREPROCESS, facts={})
    return str(path)


def teacher(file: str) -> Teacher:
    return Teacher(file, CLASSES, torch.device("cpu"), torch.float32)


def test_the_loss_is_the_divergence_from_its_answers_in_its_own_colours(file: str) -> None:
    pixels = torch.randint(0, 256, (4, 3, 224, 224), dtype=torch.uint8)
    wise = teacher(file)
    with torch.no_grad():
        answers = wise.network(PREPROCESS.normalized(pixels))
    logits = torch.randn(4, 3)
    for temperature in (1.0, 3.0):
        p, q = (torch.softmax(x / temperature, 1).double() for x in (answers, logits))
        expected = temperature**2 * (p * (p / q).log()).sum(1)
        torch.testing.assert_close(
            wise.loss(logits, wise.answers(pixels, KEYS), temperature).double(), expected, rtol=1e-3, atol=1e-6
        )


def test_who_answers_as_it_does_loses_nothing_and_it_learns_nothing(file: str) -> None:
    pixels = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    wise = teacher(file)
    logits = wise.network(PREPROCESS.normalized(pixels)).clone().requires_grad_()
    loss = wise.loss(logits, wise.answers(pixels, KEYS[:2]), 2.0).sum()
    loss.backward()
    assert abs(loss.item()) < 1e-6 and logits.grad is not None and logits.grad.abs().max() < 1e-6
    assert not any(parameter.requires_grad for parameter in wise.network.parameters())
    assert not wise.network.training and math.isfinite(loss.item())


def test_a_view_that_comes_again_is_answered_from_memory(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wise = teacher(file)
    wise.keep(views=2, pictures=5)
    pixels = torch.randint(0, 256, (4, 3, 224, 224), dtype=torch.uint8)
    first = wise.answers(pixels, KEYS)
    other = wise.answers(pixels[:2], [(1, 3), (1, 1)])
    torch.testing.assert_close(first[:2], other)
    monkeypatch.setattr(wise, "network", None)  # it is not asked again
    assert torch.equal(wise.answers(pixels.flip(0), KEYS[::-1]), first.flip(0))
    with pytest.raises(TypeError):
        wise.answers(pixels[:1], [(1, 0)])


def test_an_order_with_views_sees_them_again() -> None:
    order = Order(seed=0, count=10, batch=5, views=2)
    views = [{view for view, _ in order.keys(step)} for step in range(8)]
    assert views == [{0}, {0}, {1}, {1}, {0}, {0}, {1}, {1}]
    assert [key[1] for key in order.keys(0)] != [key[1] for key in order.keys(4)]  # another order all the same


def test_a_teacher_of_other_classes_is_refused(file: str) -> None:
    with pytest.raises(ValueError, match=r"teacher: .*expected the classes dog, cat, hat"):
        Teacher(file, ["dog", "cat", "hat"], torch.device("cpu"), torch.float32)
