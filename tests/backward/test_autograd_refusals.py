"""What every method that autograd computes refuses, and how it says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.backward.autograd_nets import IMAGES, METHODS, Net, every


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
