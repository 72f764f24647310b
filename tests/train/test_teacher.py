"""Learning the soft answers of another network."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import zfcuda
from zfcuda.models.checkpoints.trained import save_trained
from zfcuda.train.teacher import Teacher

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
        torch.testing.assert_close(wise.loss(logits, pixels, temperature).double(), expected, rtol=1e-3, atol=1e-6)


def test_who_answers_as_it_does_loses_nothing_and_it_learns_nothing(file: str) -> None:
    pixels = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    wise = teacher(file)
    logits = wise.network(PREPROCESS.normalized(pixels)).clone().requires_grad_()
    loss = wise.loss(logits, pixels, 2.0).sum()
    loss.backward()
    assert abs(loss.item()) < 1e-6 and logits.grad is not None and logits.grad.abs().max() < 1e-6
    assert not any(parameter.requires_grad for parameter in wise.network.parameters())
    assert not wise.network.training and math.isfinite(loss.item())


def test_a_teacher_of_other_classes_is_refused(file: str) -> None:
    with pytest.raises(ValueError, match=r"teacher: .*expected the classes dog, cat, hat"):
        Teacher(file, ["dog", "cat", "hat"], torch.device("cpu"), torch.float32)
