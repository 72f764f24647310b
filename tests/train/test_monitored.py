"""Runs as those who watch them see them: lines, the log, snapshots, warnings, a loss that is not finite."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import zfcuda
from tests.train.starts import make
from zfcuda.train import finite, train
from zfcuda.train.__main__ import main

SMALL = {"model": "watched_network:network", "batch": 9, "size": 24, "short_side": 28, "workers": 0}
WORDS = ["--model", "watched_network:network", "--batch", "9", "--size", "24", "--short-side", "28", "--workers", "0"]


class Breaking(nn.Module):
    """Makes the values of a step no numbers."""

    steps, at = 0, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            Breaking.steps += 1
            if Breaking.steps == Breaking.at:
                return x * torch.nan
        return x


def network(num_classes: int = 3) -> nn.Module:
    layers = [nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), Breaking(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(16, num_classes))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("watched")) / "data"


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("watched_network")
    module.network = network  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "watched_network", module)
    Breaking.steps = Breaking.at = 0


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_the_log_has_what_a_reader_needs(data: Path, tmp_path: Path) -> None:
    result = train(data, tmp_path / "run", epochs=2, **SMALL)
    rows = log(tmp_path / "run")
    assert [row["epoch"] for row in rows] == [1, 2]
    for row in rows:
        assert row["images_per_second"] > 0 and row["learning_seconds"] >= row["waiting_seconds"] >= 0
        assert row["validation_seconds"] > 0 and row["rate"] >= 0 and row["runaway"] == 0
    assert set(result.facts["by_class"]) == {"red", "green", "blue"}


def test_weights_of_chosen_epochs_are_kept(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "run", epochs=3, snapshots=(1, 3, 64), ema=0.0, **SMALL)
    files = sorted((tmp_path / "run" / "snapshots").iterdir())
    assert [file.name for file in files] == ["epoch-0001.safetensors", "epoch-0003.safetensors"]
    first, last = (zfcuda.models.load("watched_network:network", weights=file) for file in files)
    now = zfcuda.models.load("watched_network:network", weights=tmp_path / "run" / "last.safetensors")
    assert not torch.equal(first[0].weight, last[0].weight) and torch.equal(last[0].weight, now[0].weight)
    assert last.classes == now.classes


def test_the_papers_recipe_keeps_those_of_its_figure() -> None:
    from zfcuda.train.recipes import RECIPES

    assert RECIPES["paper"].defaults["snapshots"] == (1, 2, 5, 10, 20, 30, 40, 64)
    assert RECIPES["modern"].defaults["snapshots"] == ()


@pytest.mark.parametrize("wrong", [(0,), (1.5,)])
def test_snapshots_of_no_epoch_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^snapshots: expected epochs from 1"):
        train("parts", "nowhere", snapshots=wrong)


def test_the_terminal_says_what_is_done_and_what_came_of_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(data), "--out", "run", "--epochs", "2", *WORDS]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "watched_network:network, 355 parameters, float32 on cpu, recipe modern".replace(
        "float32", lines[0].split(", ")[2].split()[0]
    )
    assert "27 training, 9 validation, 9 test pictures of 3 classes" in lines[1]
    assert lines[2] == "2 epochs of 3 steps of 9 pictures -> run; Ctrl-C stops, the same command goes on"
    assert lines[3].startswith("epoch 1: loss ") and lines[4].startswith("epoch 2: loss ")
    assert lines[5].split() == ["class", "pictures", "right", "most", "often", "taken", "for"]
    assert [line.split()[0] for line in lines[6:9]] == ["blue", "green", "red"]
    assert lines[-3:] == [
        "weights: run/weights.safetensors",
        "next: zfcuda explain PICTURE --model watched_network:network --weights run/weights.safetensors",
        "      zfcuda train --plot run",
    ]
    assert all(len(line) <= 100 for line in lines)
    assert "images/s, 0:00 left" in err


def test_a_loss_that_is_not_finite_ends_the_run(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Breaking.at = 5  # the second step of the second epoch
    words = [str(data), "--out", "run", "--epochs", "3", *WORDS]
    assert main(words) == 2
    [said] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zfcuda: ")]
    assert said == (
        "zfcuda: error: loss: not finite in step 5 (epoch 2, step 2 of 3); the checkpoint after step 3 is whole, but "
        "the same command would meet it again, as it repeats each step; begin in another --out with a smaller --rate, "
        "or --clip 1, with --weights run/weights.safetensors from the best epoch"
    )
    assert len(log(Path("run"))) == 1
    [kept] = Path("run/checkpoints").iterdir()
    assert kept.name.startswith("000000003-")
    for name in ("weights", "last"):
        weights = zfcuda.models.load("watched_network:network", weights=f"run/{name}.safetensors").state_dict()
        assert all(value.isfinite().all() for value in weights.values())
    Breaking.steps = 3  # where the start begins that goes on
    assert main(words) == 2  # meets it again
    assert "not finite in step 5 " in capsys.readouterr().err


def test_weights_that_are_not_finite_are_not_kept(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *given: Any) -> Any:
        inner(self, *given)
        with torch.no_grad():  # after the last step of the first epoch: no loss has seen it yet
            Breaking.steps == 3 and self.param_groups[0]["params"][0].fill_(torch.inf)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(finite.NotFiniteError, match=r"^weights: not finite after step 3 \(epoch 1, step 3 of 3\)"):
        train(data, tmp_path / "run", epochs=2, **SMALL)
    assert not (tmp_path / "run" / "last.safetensors").exists() and not log_there(tmp_path)


def log_there(folder: Path) -> bool:
    return (folder / "run" / "log.jsonl").exists()


def test_dead_units_and_runaways_are_warned_of(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zfcuda.train.monitoring import health

    monkeypatch.setattr(health, "every", lambda pictures, sample: 1)
    inner = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *given: Any) -> Any:
        inner(self, *given)
        with torch.no_grad():
            weight, bias = self.param_groups[0]["params"][0], self.param_groups[1]["params"][0]
            weight[1], bias[1] = 0, -1
            weight[2] = 50

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with warnings.catch_warnings(record=True) as came:
        warnings.simplefilter("always")
        train(data, tmp_path / "run", epochs=2, ema=0.0, **SMALL)
    said = [str(each.message) for each in came if "epoch" in str(each.message)]
    assert any(text.startswith("epoch 1: unit 2 of 0 has an RMS of 50, the layer's median is ") for text in said)
    assert any(text.startswith("epoch 1: none of 9 validation pictures excites ") for text in said)
    assert not any(text.startswith("epoch 2: unit") for text in said)
    row = log(tmp_path / "run")[0]
    assert row["runaway"] == 1 and row["dead"] >= 1


def test_warnings_stand_above_the_bar_in_lines_that_fit(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from zfcuda.train.monitoring import health

    monkeypatch.setattr(health, "at_chance", lambda *given: "word " * 60 if given[0] == 1 else None)
    assert main([str(data), "--out", str(tmp_path / "run"), "--epochs", "2", *WORDS]) == 0
    err = capsys.readouterr().err
    lines = [line for line in err.replace("\r", "\n").splitlines() if "word" in line]
    assert lines[0].startswith("zfcuda: warning: word") and len(lines) > 1
    assert all(len(line) <= 100 for line in lines)
    assert "100%" in err  # the bar went on to its end
