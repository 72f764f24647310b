"""A model that was followed before is not followed again, for as long as it is what it was."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from zfcuda.occlusion import prepared

GRID: Any = {"window": 8, "stride": 8, "method": "incremental"}
SIZE = (3, 32, 40)
FACTOR = [1.0]


class Net(nn.Module):
    """Two convolutions, with a parameter, an index and a setting of the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)
        self.scale = nn.Parameter(torch.rand(8, 1, 1))
        self.order: Tensor
        self.register_buffer("order", torch.arange(8))
        self.slope = 0.1

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x)) * self.scale * FACTOR[0]
        x = nn.functional.leaky_relu(self.second(x[:, self.order]), self.slope)
        return self.head(x.mean((2, 3)))


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[type[nn.Module]]:
    """The kinds of the models that were followed."""
    calls: list[type[nn.Module]] = []
    own = zfcuda.network.trace

    def trace(model: nn.Module, image: Tensor) -> Any:
        calls.append(type(model))  # not itself, which would live on
        return own(model, image)

    monkeypatch.setattr(prepared, "trace", trace)
    return calls


def right(model: nn.Module, image: Tensor) -> Tensor:
    """The engine's logits, which are brute force's."""
    ours = zfcuda.occlusion_map(model, image, **GRID)
    truth = zfcuda.occlusion_map(model, image, **{**GRID, "method": "batched"})
    assert ours.method == "incremental"
    torch.testing.assert_close(ours.logits, truth.logits, rtol=1e-4, atol=1e-5)
    return ours.logits


def test_a_repeat_gives_the_same_and_follows_nothing(traced: list[type[nn.Module]]) -> None:
    model, image = Net().eval(), torch.randn(SIZE)
    first = right(model, image)
    assert len(traced) == 1
    assert torch.equal(right(model, image), first)
    right(model, torch.randn(SIZE))
    assert len(traced) == 1
    right(model, torch.randn(3, 24, 24))
    assert len(traced) == 2  # another size
    zfcuda.occlusion_map(model, image, **{**GRID, "stride": 4})
    assert len(traced) == 3  # other windows


def test_weights_may_change(traced: list[type[nn.Module]]) -> None:
    model, image = Net().eval(), torch.randn(SIZE)
    first = right(model, image)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    assert not torch.equal(right(model, image), first)
    model.scale = nn.Parameter(torch.rand(8, 1, 1))  # the model's own, in its place
    right(model, image)
    assert len(traced) == 1


def change_setting(model: Net) -> None:
    model.slope = 0.7


def change_layer(model: Net) -> None:
    model.second = nn.Conv2d(8, 8, 5, padding=2)


def change_padding(model: Net) -> None:
    model.second.padding = (0, 0)


def change_index(model: Net) -> None:
    model.order.copy_(torch.arange(8).flip(0))


def change_forward(model: Net) -> None:
    model.forward = lambda x: Net.forward(model, x) * 2  # type: ignore[method-assign]


CHANGES = [change_setting, change_layer, change_padding, change_index, change_forward]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_another_model_is_followed_anew(change: Any, traced: list[type[nn.Module]]) -> None:
    torch.manual_seed(1)
    model, image = Net().eval(), torch.randn(SIZE)
    right(model, image)
    change(model)
    right(model, image)
    assert len(traced) == 2


def test_what_nobody_sees_is_found_by_the_answer(traced: list[type[nn.Module]]) -> None:
    """A number outside of the model: the graph that was kept no longer gives what the model gives."""
    model, image = Net().eval(), torch.randn(SIZE)
    right(model, image)
    FACTOR[0] = 3.0
    try:
        right(model, image)
        assert len(traced) == 2
    finally:
        FACTOR[0] = 1.0


def test_the_model_is_let_go(traced: list[type[nn.Module]]) -> None:
    for make in (Net, lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())):
        model = make().eval()
        right(model, torch.randn(SIZE))
        right(model, torch.randn(SIZE))
        alive = weakref.ref(model)
        del model
        gc.collect()
        assert alive() is None
    assert len(traced) == 2


def test_few_are_kept(traced: list[type[nn.Module]]) -> None:
    model, image = Net().eval(), torch.randn(SIZE)
    for stride in (*range(4, 9), 8, 4):
        zfcuda.occlusion_map(model, image, **{**GRID, "stride": stride})
    assert len(traced) == 6  # of stride 4 no longer


def test_an_output_that_is_picked_is_followed_each_time(traced: list[type[nn.Module]]) -> None:
    model, image = Net().eval(), torch.randn(SIZE)
    for factor in (1.0, 2.0):
        maps = [
            zfcuda.occlusion_map(model, image, **{**GRID, "method": method}, output=lambda y, f=factor: y * f)
            for method in ("incremental", "batched")
        ]
        torch.testing.assert_close(maps[0].logits, maps[1].logits, rtol=1e-4, atol=1e-5)
    assert len(traced) == 2


def test_threads_share_what_is_kept() -> None:
    model = Net().eval()
    images = [torch.randn(SIZE) for _ in range(6)]
    expected = [right(model, image) for image in images]
    found: dict[int, Tensor] = {}

    def work(i: int) -> None:
        for _ in range(5):
            found[i] = zfcuda.occlusion_map(model, images[i], **GRID).logits

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(6):
        torch.testing.assert_close(found[i], expected[i], rtol=1e-5, atol=1e-6)
