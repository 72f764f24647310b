"""Several processes reach the weights of one; they stop, fail and go on together.

Tolerance: gradients are means over the same pictures, added up in another order, so that a weight's may differ by the
rounding of float32, 6e-8 of the largest term, in each step; along a few dozen steps of SGD that stays below 3e-5 of the
largest weight. Adam divides by the root of the mean square, which for gradients near zero is rounding too: 1e-4.
Runs differ from where they began by twenty times as much, which is asserted.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from tests.train.pairs import KILL, TERM, Job, make, run
from zfcuda.data import Parts
from zfcuda.ranks import EndedElsewhereError, Ranks, own_device
from zfcuda.train.network import subject
from zfcuda.train.options import Options
from zfcuda.train.recipes import USUAL, recipe

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch without torch.distributed")

SGD, ADAM = 3e-5, 1e-4
TINY = {"model": "tiny_networks:plain", "size": 24, "short_side": 28, "batch": 12, "dropout": 0.0, "workers": 0}
PAPER = {**TINY, "recipe": "paper", "epochs": 5, "rate": 0.1, "patience": 1, "filter_rms": 0.02}
MODERN = {**TINY, "precision": "float32", "epochs": 4, "rate": 0.01, "warm_up": 3}
ZFNET = {"width": 0.02, "dropout": 0.0, "workers": 0, "batch": 6, "epochs": 1}
# Options, the pictures, and the tolerance; None: no promise.
TRAININGS: dict[str, tuple[dict[str, Any], Any, float | None]] = {
    "paper": (PAPER, "data", SGD),
    "modern": (MODERN, "data", ADAM),
    "average, clipped, smoothed": (
        {**MODERN, "optimizer": "sgd", "rate": 0.5, "ema": 0.9, "clip": 0.05, "label_smoothing": 0.2},
        "data",
        SGD,
    ),
    "broken pictures": ({**PAPER, "epochs": 3}, "damaged", SGD),
    "shares of one picture": ({**PAPER, "batch": 2, "epochs": 2, "rate": 0.01}, "damaged", SGD),
    "frozen": ({**PAPER, "epochs": 2, "freeze_below": "3"}, "data", SGD),
    "idle weights": ({**PAPER, "epochs": 2, "model": "tiny_networks:Idle"}, "data", SGD),
    "zfnet": ({**ZFNET, "recipe": "paper", "views": 1}, "data", SGD),
    "close-ups": ({**ZFNET, "recipe": "close_ups", "epochs": 2, "close_ups": 1, "warm_up": 0}, (Parts(5), 24), ADAM),
    "batch norm": ({**MODERN, "epochs": 2, "model": "tiny_networks:normed"}, "data", None),
    "batch norm, shares of one": (
        {**MODERN, "model": "tiny_networks:normed", "batch": 2, "epochs": 1},
        "damaged",
        None,
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("scale"))


def job(folder: Path, number: str, name: str, signal: tuple[int, int, int] | None = None) -> Job:
    options, data, _ = TRAININGS[name]
    data = folder / data if isinstance(data, str) else data
    return Job(data, folder / number / name.replace(" ", "-"), options, signal)


@pytest.fixture(scope="module")
def ended(folder: Path) -> Path:
    """All trainings by one process, and by two."""
    for count, number in ((1, "one"), (2, "two")):
        for said in run(folder, [job(folder, number, name) for name in TRAININGS], count):
            assert said == ["done"] * len(TRAININGS)
    return folder


def apart(first: Path, second: Path) -> float:
    """The largest difference of two runs' last weights, of the largest weight."""
    one, two = (load_file(path / "last.safetensors") for path in (first, second))
    assert one.keys() == two.keys()
    names = [name for name, value in one.items() if value.is_floating_point() and not name.startswith("zfcuda")]
    return float(
        max((one[name] - two[name]).abs().max() for name in names) / max(one[name].abs().max() for name in names)
    )


@pytest.mark.parametrize("name", [name for name, (_, _, tolerance) in TRAININGS.items() if tolerance])
def test_two_processes_reach_the_weights_of_one(ended: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    one, two = (job(ended, number, name).out for number in ("one", "two"))
    options, _, tolerance = TRAININGS[name]
    assert tolerance is not None and apart(one, two) < tolerance
    monkeypatch.syspath_prepend(ended)
    chosen = Options(**options)
    last = load_file(one / "last.safetensors")
    classes = len(last["fc8.weight"]) if "fc8.weight" in last else 3
    begun = subject(chosen.completed(recipe(chosen.recipe or USUAL).defaults), classes)
    moved = {key: float((value - last[key]).abs().max()) for key, value in begun.model.state_dict().items()}
    assert max(moved.values()) > 20 * tolerance * max(float(last[key].abs().max()) for key in moved)
    for row, same in zip(rows(one), rows(two), strict=True):
        for key in ("loss", "top1", "validation_loss", "validation_top1", "rate", "broken"):
            assert math.isclose(row[key], same[key], rel_tol=1e-3, abs_tol=1e-12), key


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_broken_pictures_are_counted_once_by_all(ended: Path) -> None:
    for number in ("one", "two"):
        assert [row["broken"] for row in rows(job(ended, number, "broken pictures").out)][-1] == 2


def test_what_is_frozen_stays(ended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ended)
    last = load_file(job(ended, "two", "frozen").out / "last.safetensors")
    chosen = Options(**TRAININGS["frozen"][0])
    begun = subject(chosen.completed(recipe("paper").defaults), 3).model.state_dict()
    assert torch.equal(begun["0.weight"], last["0.weight"]) and not torch.equal(begun["3.weight"], last["3.weight"])


def test_batch_norms_have_finite_statistics(ended: Path) -> None:
    """A share without a whole picture does not reach them."""
    for name in ("batch norm", "batch norm, shares of one"):
        last = load_file(job(ended, "two", name).out / "last.safetensors")
        assert all(bool(value.isfinite().all()) for value in last.values())


def test_a_run_goes_on_with_another_number_of_processes(ended: Path) -> None:
    """A signal to one of two ends both after the same step, in the middle of an epoch."""
    said = run(ended, [Job(ended / "data", ended / "stopped", PAPER, (1, 6, TERM))])
    assert said == [["Terminated: the same command goes on in epoch 3 of 5, after step 2 of 3"]] * 2
    assert run(ended, [Job(ended / "data", ended / "stopped", PAPER, (0, 12, KILL))], 1) == [[]]
    assert run(ended, [Job(ended / "data", ended / "stopped", PAPER)], 2) == [["done"], ["done"]]
    one = job(ended, "one", "paper").out
    assert apart(one, ended / "stopped") < SGD
    for row, same in zip(rows(one), rows(ended / "stopped"), strict=True):
        assert math.isclose(row["loss"], same["loss"], rel_tol=1e-4)


def test_a_killed_process_ends_the_other_in_one_line(ended: Path) -> None:
    out = ended / "killed"
    said = run(ended, [Job(ended / "data", out, PAPER, (1, 10, KILL))])
    assert said == [
        [
            "EndedElsewhereError: process 0 of 2: another one has ended; the same command goes on from the last "
            "checkpoint"
        ],
        [],
    ]
    assert run(ended, [Job(ended / "data", out, PAPER)], 1) == [["done"]]
    assert apart(job(ended, "one", "paper").out, out) < SGD


def test_what_is_wrong_is_said_by_the_first_alone(folder: Path) -> None:
    jobs = [
        Job(folder / "nowhere", folder / "no", PAPER),
        Job(folder / "data", folder / "no", {**PAPER, "batch": 5}),
        Job(folder / "data", folder / "no", {**PAPER, "size": 4}),
        Job(folder / "data", folder / "no", {**PAPER, "device": "warp"}),
        Job(folder / "data", folder / "no", {**PAPER, "rate": 1e30, "filter_rms": 0.0}),
    ]
    first, second = run(folder, jobs)
    expected = [
        "data: ",
        "batch: expected a multiple of the 2 processes, got 5",
        "model: ",
        "device: ",
        "loss: not finite",
    ]
    for text, other, begin in zip(first, second, expected, strict=True):
        kind, _, message = text.partition(": ")
        assert kind in ("ValueError", "NotFiniteError") and message.startswith(begin), text
        assert other == f"EndedElsewhereError: {message}"


class Fake(Ranks):
    """The second of two, the first of which says something."""

    def __init__(self, first: str | None) -> None:
        self.rank, self.count, self.first_said = 1, 2, first

    def gathered(self, value: Any) -> list[Any]:
        return [self.first_said, value]


def test_the_first_that_failed_tells_why() -> None:
    with pytest.raises(ZeroDivisionError), Fake(None).alike():
        _ = 1 / 0
    with pytest.raises(EndedElsewhereError, match="no such folder"), Fake("no such folder").alike():
        _ = 1 / 0
    with pytest.raises(EndedElsewhereError, match="no such folder"), Fake("no such folder").alike():
        pass
    with Fake(None).alike():
        pass


def test_errors_that_are_not_of_the_connection_stay() -> None:
    with pytest.raises(RuntimeError, match="shapes"), Fake(None).unbroken("again"):
        raise RuntimeError("shapes cannot be multiplied")
    with (
        pytest.raises(EndedElsewhereError, match="process 1 of 2: another one has ended; again"),
        Fake(None).unbroken("again"),
    ):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer")


def test_each_process_of_torchrun_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert own_device("cuda") == "cuda:0" and own_device("cuda:2") == "cuda:2" and own_device("cpu") == "cpu"
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("LOCAL_RANK", "3"), ("LOCAL_WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    assert own_device("cuda") == "cuda:3" and chosen == [0, 2, 3]
    with pytest.raises(
        ValueError, match="device: expected cuda, of which each of 4 processes takes its own, got cuda:1"
    ):
        own_device("cuda:1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    with pytest.raises(ValueError, match="device: 8 processes need as many GPUs, torch sees 4 on this machine"):
        own_device("cuda")
