"""A map that is told block by block is occlusion_map's, whichever way its windows are run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.report.small import SIDE, network
from zfcuda.occlusion import streamed
from zfcuda.occlusion.experiment import Experiment
from zfcuda.occlusion.streamed import coarse_to_fine, streamed_map
from zfcuda.occlusion.window_outputs import WindowOutputs

IMAGE = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


class Alone(nn.Module):
    """Takes its batch's mean away: the images of a batch are coupled, so that each window is run by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        scores = self.inner(x)
        return scores - scores.mean(0).detach() * 0.5


def told(model: nn.Module, **arguments: Any) -> tuple[Any, Tensor, Tensor | None, list[int]]:
    """(the map, the logits and the activity that were told, how many windows each block had)"""
    experiment = Experiment(model, IMAGE, **arguments)
    rows, columns = experiment.origins.shape[:2]
    logits = torch.full((rows * columns, 3), torch.nan)
    activity: list[tuple[Tensor, Tensor]] = []
    blocks: list[int] = []

    def tell(windows: Tensor, outputs: WindowOutputs) -> None:
        logits[windows] = outputs.logits
        if outputs.activity is not None:
            activity.append((windows, outputs.activity))
        blocks.append(len(windows))

    order = [windows for _, windows in coarse_to_fine(rows, columns)]
    found = streamed_map(experiment, IMAGE, order, tell)
    every = (
        torch.cat([each for _, each in activity])[torch.cat([at for at, _ in activity]).argsort()] if activity else None
    )
    return found, logits.view(rows, columns, 3), every, blocks


@pytest.mark.parametrize("method", ["auto", "batched", "incremental"])
@pytest.mark.parametrize(
    "arguments",
    [{"window": 16, "stride": 4}, {"window": (9, 20), "stride": (5, 3), "fill": "blur"}, {"window": 48, "stride": 9}],
)
@pytest.mark.parametrize("layer", [None, "4"])
def test_it_is_the_same_map(layer: str | None, arguments: dict[str, Any], method: str) -> None:
    arguments = {"layer": layer, "method": method, "target": 1, **arguments}
    model = network()
    there = zfcuda.occlusion_map(model, IMAGE, **arguments)
    found, logits, activity, blocks = told(model, **arguments)
    torch.testing.assert_close(found.logits, there.logits, rtol=1e-5, atol=1e-5)
    assert found.worst == there.worst and torch.equal(found.label, there.label) and found.reason == there.reason
    assert found.method == there.method and found.unit == there.unit
    assert torch.equal(logits, found.logits) and sum(blocks) == found.label.numel()
    if layer is not None:
        assert activity is not None and there.activity is not None
        torch.testing.assert_close(found.activity, there.activity, rtol=1e-5, atol=1e-4)
        assert torch.equal(activity[:, found.unit].view_as(found.activity), found.activity)


def test_windows_that_disturb_one_another_are_run_one_by_one() -> None:
    found, _, _, blocks = told(Alone(), window=16, stride=16)
    there = zfcuda.occlusion_map(Alone(), IMAGE, window=16, stride=16)
    assert set(blocks) == {1} and found.method == "batched" and found.reason == there.reason
    torch.testing.assert_close(found.logits, there.logits)


def test_what_the_engine_got_wrong_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(plan: Any, outputs: WindowOutputs, *_: Any) -> str:
        raise ValueError("the engine's answer to a window is not the model's own")

    monkeypatch.setattr(streamed, "check_outputs", wrong)
    found, logits, _, blocks = told(network(), window=8, stride=1)
    assert found.method == "batched" and "not the model's own" in found.reason
    assert torch.equal(logits, found.logits) and sum(blocks) == 2 * found.label.numel()


def test_a_random_model_is_refused() -> None:
    class Random(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.rand(len(x), 3) + x.mean()

    with pytest.raises(ValueError, match="random even in eval mode"):
        told(Random(), window=16, stride=8)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 5), (25, 25), (9, 40), (17, 3)])
def test_coarse_to_fine_has_each_window_once(rows: int, columns: int) -> None:
    levels = list(coarse_to_fine(rows, columns))
    assert torch.cat([windows for _, windows in levels]).sort().values.tolist() == list(range(rows * columns))
    steps = [step for step, _ in levels]
    assert steps == sorted(set(steps), reverse=True) and steps[-1] == 1
    for step, windows in levels:
        assert all(int(w) // columns % step == 0 and int(w) % columns % step == 0 for w in windows)
