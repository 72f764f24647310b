"""What was found out about a model is asked again as soon as the model is another."""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from torch import Tensor, nn

from zfcuda.network import remembered as module
from zfcuda.network.remembered import remembered


class Net(nn.Module):
    scale: float = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
        self.sizes, self.options, self.config = [1], {"head": {"relu": True}}, SimpleNamespace(relu=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.norm(self.conv(x)).mean((2, 3)) * self.scale)
        return y


def asked(model: nn.Module, about: Any = "this") -> list[int]:
    """[1] where the model was asked."""
    calls: list[int] = []
    remembered(model, about, lambda: calls.append(1))
    return calls


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a setting": lambda model: setattr(model, "scale", 2.0),
    "a setting of a layer": lambda model: setattr(model.conv, "stride", (2, 2)),
    "a flag": lambda model: setattr(model.norm, "track_running_stats", False),
    "a layer": lambda model: setattr(model, "conv", nn.Conv2d(3, 4, 3)),
    "one more layer": lambda model: model.head.append(nn.ReLU()),
    "a forward": lambda model: setattr(model.conv, "forward", lambda x: x),
    "a hook": lambda model: model.head[0].register_forward_hook(lambda *_: None),
    "a hook before": lambda model: model.register_forward_pre_hook(lambda *_: None),
    "a setting in a list": lambda model: model.sizes.append(2),
    "a setting in a dict of dicts": lambda model: model.options["head"].update(relu=False),
    "a setting of an object": lambda model: setattr(model.config, "relu", False),
    "an object": lambda model: setattr(model, "table", [1, 2]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(change: Callable[[Any], Any]) -> None:
    model = Net()
    assert asked(model) == [1] and asked(model) == []
    change(model)
    assert asked(model) == [1] and asked(model) == []


def test_what_does_not_matter() -> None:
    model = Net()
    assert asked(model) == [1]
    model.eval().requires_grad_(False)
    model.conv.weight.data.mul_(2)
    assert asked(model) == []
    assert asked(model, "that") == [1] and asked(Net()) == [1]


def test_a_class_that_gets_another_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Net()
    assert asked(model) == [1]
    monkeypatch.setattr(Net, "forward", lambda self, x: x)
    assert asked(model) == [1]


def test_an_answer_goes_with_its_model() -> None:
    gc.collect()
    before = len(module._KNOWN)
    models = [Net() for _ in range(5)]
    for model in models:
        assert remembered(model, "this", lambda model=model: id(model)) == id(model)  # type: ignore[misc]
    assert len(module._KNOWN) == before + 5
    del models, model
    gc.collect()
    assert len(module._KNOWN) == before


def test_what_fails_is_asked_again() -> None:
    model = Net()
    with pytest.raises(ZeroDivisionError):
        remembered(model, "this", lambda: 1 / 0)
    assert asked(model) == [1]
