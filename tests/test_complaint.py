"""Exceptions as lines: whose they are, what they are about, and when memory is what was missing."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from zfcuda.complaint import CommandError, naming, out_of_memory, own, reason
from zfcuda.inputs import checked_image


class Failing(nn.Module):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error


def failing(error: BaseException) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU(), Failing(error)))


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Odd(BaseException):
    pass


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyError("a"), "mine: KeyError: 'a' (in layer '1.1', Failing)"),
        (ValueError("first\nsecond"), "mine: ValueError: first (in layer '1.1', Failing)"),
        (SystemExit(0), "mine: SystemExit: 0 (in layer '1.1', Failing)"),
        (Odd(), "mine: Odd (in layer '1.1', Failing)"),
        (SpeechlessError(), "mine: SpeechlessError (in layer '1.1', Failing)"),
        (BrokenPipeError(32, "Broken pipe"), "mine: BrokenPipeError: [Errno 32] Broken pipe (in layer '1.1', Failing)"),
        (RuntimeError("I have no memory"), "mine: RuntimeError: I have no memory (in layer '1.1', Failing)"),
        (MemoryError(), "mine: out of memory; take less"),
        (RuntimeError("CUDA out of memory. Tried"), "mine: out of memory; take less"),
    ],
)
def test_what_a_model_raises_is_named(error: BaseException, message: str) -> None:
    with pytest.raises(CommandError, match=f"^{re.escape(message)}$") as caught, naming("mine", "take less"):
        failing(error)(torch.zeros(1))
    assert caught.value.__cause__ is error


def test_ctrl_c_stays_what_it_is() -> None:
    with pytest.raises(KeyboardInterrupt), naming("mine"):
        failing(KeyboardInterrupt())(torch.zeros(1))


def test_what_the_package_says_stays_as_it_is() -> None:
    with pytest.raises(ValueError, match=r"^image: expected finite values") as caught, naming("mine"):
        checked_image(torch.full((3, 4, 4), float("nan")), nn.ReLU())
    assert own(caught.value)


def test_what_torch_raises_below_a_line_of_the_package_is_not_its_own() -> None:
    class Model(nn.Module):
        def parameters(self, recurse: bool = True) -> None:  # type: ignore[override]
            return None

    with pytest.raises(CommandError, match=r"^mine: TypeError: 'NoneType' object is not iterable"), naming("mine"):
        checked_image(torch.zeros(3, 4, 4), Model())


def test_memory_that_is_really_missing_is_recognised() -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        torch.zeros(1).expand(10**15).clone()
    assert out_of_memory(caught.value)
    assert not out_of_memory(RuntimeError("out of memory, said the model"))


def test_a_long_text_is_cut() -> None:
    assert len(reason(RuntimeError("a" * 100_000))) < 400
