"""Which way the windows go: predicted, or measured on some of them; and that the choice holds."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import zfcuda
from zfcuda.occlusion import prepared, trial
from zfcuda.occlusion.choice import Choice, clear, measured, predicted, recall, trial_size, what_decides
from zfcuda.occlusion.experiment import Experiment
from zfcuda.occlusion.incremental import Plan
from zfcuda.occlusion.incremental.cost import Costs
from zfcuda.occlusion.streamed import coarse_to_fine, streamed_map
from zfcuda.occlusion.watched_model import WatchedModel

CPU = torch.device("cpu")
IMAGE = torch.randn(3, 40, 44, generator=torch.Generator().manual_seed(3))
OTHER = torch.randn(3, 40, 44, generator=torch.Generator().manual_seed(4))
WINDOWS: dict[str, Any] = {"window": 9, "stride": 4}


class Net(nn.Module):
    """A pooling, a depthwise convolution and linear layers, whose sums depend on what runs together."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, 2), nn.BatchNorm2d(12), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.MaxPool2d(2), nn.Conv2d(12, 24, 1))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(24 * 9 * 10, 50), nn.ReLU(), nn.Linear(50, 7))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.body(self.stem(x)))
        return y


def network() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def costs(engine: float, brute: float, windows: int = 1000, **more: Any) -> Costs:
    """Seconds for all windows."""
    rest = {"once": 0.0, "chunk": 0.0, "batch": 0.0, "chunks": 64, "batches": 16, **more}
    return Costs(each=np.full(windows, engine / windows), whole=brute / windows, **rest)


@pytest.fixture
def unclear(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prediction is even, and never clear."""
    monkeypatch.setattr(prepared, "predict", lambda plan, *_: costs(1, 1, plan.grid[0] * plan.grid[1]))
    monkeypatch.setattr(prepared, "clear", lambda *_: False)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch, unclear: None) -> Any:
    """Makes the engine's windows and brute force's take so many seconds, as a clock tells; and counts the trials."""

    def take(engine: float, brute: float) -> list[int]:
        told: Iterator[float] = iter(())
        trials = [0]

        def clock() -> float:
            nonlocal told
            now = next(told, None)
            if now is None:
                trials[0] += 1
                told = iter((engine, 0.0, brute))
                return 0.0
            return now

        monkeypatch.setattr(trial, "_clock", clock)
        return trials

    return take


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """How many windows each way has run, call by call."""
    noted: dict[str, list[int]] = {"engine": [], "model": []}
    run, call = Plan.run, WatchedModel.__call__

    def engine(self: Plan, *args: Any, windows: Any = None, **more: Any) -> Any:
        noted["engine"].append(self.grid[0] * self.grid[1] if windows is None else len(windows))
        return run(self, *args, windows=windows, **more)

    def model(self: WatchedModel, images: Tensor) -> Tensor:
        if type(images) is Tensor:
            noted["model"].append(len(images))
        return call(self, images)

    monkeypatch.setattr(Plan, "run", engine)
    monkeypatch.setattr(WatchedModel, "__call__", model)
    return noted


# ---------------------------------------------------------------- the decision


def test_far_from_even_the_prediction_decides() -> None:
    assert clear(costs(1, 3), CPU) and predicted(costs(1, 3)).engine
    assert clear(costs(3, 1), CPU) and not predicted(costs(3, 1)).engine
    assert not clear(costs(1, 1.1), CPU) and not clear(costs(1.1, 1), CPU)


def test_a_small_map_is_not_worth_a_trial() -> None:
    assert clear(costs(1, 1.1, windows=4), CPU)
    assert clear(costs(1, 1.1, chunk=0.1), CPU)
    assert not clear(costs(1, 1.1, windows=100), CPU)


def test_a_trial_would_have_to_wait_for_a_gpu() -> None:
    assert clear(costs(1, 1.1), torch.device("cuda"))


@pytest.mark.parametrize("windows", [1, 4, 49, 100, 1000, 10_000])
def test_a_trial_is_a_small_share(windows: int) -> None:
    assert 2 <= trial_size(windows) <= max(2, windows / 25, 16)


def test_what_is_measured_scales_what_is_predicted() -> None:
    each = np.arange(1.0, 101.0)  # at a border less than elsewhere
    known = Costs(once=10.0, chunk=5.0, each=each, batch=2.0, whole=50.0, chunks=64, batches=16)
    assert known.engine() == 5050 + 2 * 5 and known.engine([0, 9]) == 1 + 10 + 5
    assert known.brute() == 5000 + 7 * 2 and known.brute(3) == 152
    # The engine takes twice as long as predicted, brute force 2.5 times.
    choice = measured(known, ([0, 9], 32.0), (3, 380.0))
    assert choice.engine and "1e+04 s" in choice.why and "1.3e+04 s" in choice.why and "measured" in choice.why
    assert not measured(known, ([0, 9], 32.0), (3, 152.0)).engine


def test_the_sentence_has_both_figures() -> None:
    assert predicted(costs(1.25, 3)).why == "predicted to take 1.2 s, where running it in full takes 3 s"
    assert predicted(costs(4, 3)).why == "predicted to take 3 s, where computing what each changes takes 4 s"


# ---------------------------------------------------------------- a trial


def test_both_ways_are_tried(timed: Any, calls: dict[str, list[int]]) -> None:
    trials = timed(1.0, 100.0)
    found = zfcuda.occlusion_map(network(), IMAGE, **WINDOWS)
    windows = found.label.numel()
    tried = trial_size(windows)
    assert trials == [1] and found.method == "incremental" and "measured" in found.reason
    assert calls["engine"] == [1, tried, windows - tried - 1]  # nothing twice
    assert calls["model"].count(tried) == 1 and sum(calls["model"]) <= 1 + tried + 1  # the border's is known
    expected = zfcuda.occlusion_map(network(), IMAGE, method="batched", **WINDOWS)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-5, atol=1e-5)


def test_the_engine_loses(timed: Any, calls: dict[str, list[int]]) -> None:
    trials = timed(100.0, 1.0)
    model = network()
    found = zfcuda.occlusion_map(model, IMAGE, **WINDOWS)
    assert trials == [1] and found.method == "batched" and "measured" in found.reason
    expected = zfcuda.occlusion_map(model, IMAGE, method="batched", **WINDOWS)
    assert torch.equal(found.logits, expected.logits)
    calls["engine"].clear()
    again = zfcuda.occlusion_map(model, OTHER, **WINDOWS)
    assert trials == [1] and not calls["engine"] and again.reason == found.reason


@pytest.mark.parametrize("layer", [None, "body.0", "head.1"])
@pytest.mark.parametrize("seconds", [(1.0, 100.0), (100.0, 1.0)])
def test_a_repeat_gives_the_same_numbers(timed: Any, seconds: tuple[float, float], layer: str | None) -> None:
    trials, model = timed(*seconds), network()
    first = zfcuda.occlusion_map(model, IMAGE, layer=layer, **WINDOWS)
    timed(*seconds[::-1])  # would end otherwise
    again = zfcuda.occlusion_map(model, IMAGE, layer=layer, **WINDOWS)
    assert trials == [1] and (again.method, again.reason) == (first.method, first.reason)
    assert torch.equal(again.logits, first.logits)
    expected = zfcuda.occlusion_map(model, IMAGE, layer=layer, method="batched", **WINDOWS)
    torch.testing.assert_close(first.logits, expected.logits, rtol=1e-5, atol=1e-5)
    if layer is not None:
        assert first.activity is not None and again.activity is not None and expected.activity is not None
        assert torch.equal(first.activity, again.activity)
        torch.testing.assert_close(first.activity, expected.activity, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("seconds", [(1.0, 100.0), (100.0, 1.0)])
def test_in_another_dtype(timed: Any, seconds: tuple[float, float]) -> None:
    timed(*seconds)
    model = network()
    maps = [zfcuda.occlusion_map(model, IMAGE, dtype=torch.bfloat16, **WINDOWS) for _ in range(2)]
    assert maps[0].reason == maps[1].reason and torch.equal(maps[0].logits, maps[1].logits)
    exact = zfcuda.occlusion_map(model, IMAGE, method="batched", **WINDOWS).logits
    assert (maps[0].logits - exact).abs().max() < 0.05 * exact.std()


@pytest.mark.parametrize("seconds", [(1.0, 100.0), (100.0, 1.0)])
def test_a_mapper_gives_the_same_numbers(timed: Any, seconds: tuple[float, float]) -> None:
    trials, model = timed(*seconds), network()
    mapper = zfcuda.OcclusionMapper(model, IMAGE, **WINDOWS)
    for image in (OTHER, IMAGE):
        found, expected = mapper(image), zfcuda.occlusion_map(model, image, **WINDOWS)
        assert torch.equal(found.logits, expected.logits)
        assert (found.method, found.reason) == (expected.method, expected.reason)
    assert trials == [1]


@pytest.mark.parametrize("seconds", [(1.0, 100.0), (100.0, 1.0)])
def test_a_streamed_map_chooses_too(timed: Any, seconds: tuple[float, float]) -> None:
    trials, model = timed(*seconds), network()
    experiment = Experiment(model, IMAGE, **WINDOWS)
    rows, columns = experiment.origins.shape[:2]
    order = [windows for _, windows in coarse_to_fine(rows, columns)]
    came: list[int] = []
    timed_out = streamed_map(experiment, IMAGE, order, lambda windows, _: came.extend(windows.tolist()), seconds=1e9)
    assert trials[0] >= 1 and sorted(came) == list(range(rows * columns))
    there = zfcuda.occlusion_map(model, IMAGE, **WINDOWS)
    assert (there.method, there.reason) == (timed_out.method, timed_out.reason)
    torch.testing.assert_close(timed_out.logits, there.logits, rtol=1e-5, atol=1e-5)


def test_a_bar_counts_each_window_once(timed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for seconds in ((1.0, 100.0), (100.0, 1.0)):
        timed(*seconds)
        windows = zfcuda.occlusion_map(network(), IMAGE, progress=True, **WINDOWS).label.numel()
        assert f"{windows}/{windows}" in capsys.readouterr().err


def test_a_method_is_not_chosen(timed: Any) -> None:
    trials = timed(1.0, 1.0)
    for method in ("incremental", "batched"):
        found = zfcuda.occlusion_map(network(), IMAGE, method=method, **WINDOWS)
        assert found.method == method and "predicted" not in found.reason and "measured" not in found.reason
    assert trials == [0]


def test_brute_force_that_fails_in_a_trial_is_left_to_the_prediction(
    unclear: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network()

    def fails(run: Any) -> Any:
        result = run()
        if isinstance(result, Tensor):
            raise torch.OutOfMemoryError("out of memory")
        return result, 1.0

    monkeypatch.setattr(trial, "_timed", fails)
    found = zfcuda.occlusion_map(model, IMAGE, **WINDOWS)
    assert "predicted" in found.reason
    expected = zfcuda.occlusion_map(model, IMAGE, method="batched", **WINDOWS)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-5, atol=1e-5)


def test_an_engine_that_fails_in_a_trial_is_refused(timed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timed(1.0, 1.0)

    def fails(*_: Any, **__: Any) -> Any:
        raise KeyError("odd")

    monkeypatch.setattr(Plan, "run", fails)
    found = zfcuda.occlusion_map(network(), IMAGE, **WINDOWS)
    assert found.method == "batched" and "odd" in found.reason


# ---------------------------------------------------------------- what is remembered


def chosen(model: nn.Module, **more: Any) -> Choice | None:
    decides = {"window": (9, 9), "stride": (4, 4), "layer": None, "dtype": None, "memory_budget": None, **more}
    return recall(model, what_decides(IMAGE, model, *decides.values()))


def test_a_choice_holds_for_what_decides_it(unclear: None) -> None:
    model = network()
    zfcuda.occlusion_map(model, IMAGE, **WINDOWS)
    assert chosen(model) is not None
    assert chosen(model, stride=(3, 3)) is None and chosen(network()) is None
    assert recall(model, what_decides(IMAGE[:, 1:], model, (9, 9), (4, 4), None, None, None)) is None
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert chosen(model) is None
    finally:
        torch.set_num_threads(threads)
    with torch.no_grad():
        next(model.head.parameters()).mul_(2)
    assert chosen(model) is not None  # its speed does not depend on that
    model.head.append(nn.ReLU())
    assert chosen(model) is None


def test_a_clear_prediction_is_remembered_too(calls: dict[str, list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "predict", lambda *_: costs(3, 1))
    model = network()
    first = zfcuda.occlusion_map(model, IMAGE, **WINDOWS)
    monkeypatch.setattr(prepared, "trace", lambda *_: pytest.fail("followed again"))
    again = zfcuda.occlusion_map(model, IMAGE, **WINDOWS)
    assert first.method == "batched" and "predicted" in first.reason and not calls["engine"]
    assert first.reason == again.reason and torch.equal(first.logits, again.logits)


def test_an_output_is_a_part_of_what_is_asked(timed: Any) -> None:
    trials, model = timed(1.0, 100.0), network()
    for _ in range(2):
        zfcuda.occlusion_map(model, IMAGE, output=lambda logits: logits[:, :3], **WINDOWS)
    assert trials == [1]
    zfcuda.occlusion_map(model, IMAGE, output=lambda logits: logits[:, :4], **WINDOWS)
    assert trials == [2]


def test_nothing_is_kept_alive(timed: Any) -> None:
    def gone() -> Iterator[weakref.ref[Any]]:
        for seconds in ((1.0, 100.0), (100.0, 1.0)):
            timed(*seconds)
            model, image = network(), IMAGE.clone()
            held = torch.zeros(3)

            def output(logits: Tensor, held: Tensor = held) -> Tensor:
                return logits[:, :3] + held

            zfcuda.occlusion_map(model, image, **WINDOWS)
            zfcuda.occlusion_map(model, image, output=output, **WINDOWS)
            yield from (weakref.ref(each) for each in (image, held, output))
            del output, held, image
            gc.collect()
            yield weakref.ref(model)

    references = list(gone())
    gc.collect()
    assert all(reference() is None for reference in references)
