"""Every option has an effect, and what is out of range or without effect is refused in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.pairs import make
from zfcuda.ranks import Ranks
from zfcuda.train.options import Options
from zfcuda.train.preparation import with_model_defaults
from zfcuda.train.recipes import USUAL, recipe
from zfcuda.train.run import Run
from zfcuda.train.run_folder import RunFolder
from zfcuda.train.sets import read_sets

TINY = {"model": "tiny_networks:plain", "size": 24, "short_side": 28, "batch": 6, "workers": 0}
MODERN = {**TINY, "precision": "float32"}
PAPER = {**TINY, "recipe": "paper"}
# Option -> what is chosen beside it, and another value than the recipe's.
EFFECTS: dict[str, tuple[dict[str, Any], Any]] = {
    "recipe": (MODERN, "paper"),
    "model": (MODERN, "tiny_networks:Idle"),
    "freeze_below": (MODERN, "3"),
    "epochs": (MODERN, 3),
    "batch": (MODERN, 5),
    "rate": (PAPER, 0.5),
    "optimizer": (MODERN, "sgd"),
    "momentum": (PAPER, 0.1),
    "weight_decay": (PAPER, 0.3),
    "schedule": (MODERN, "plateau"),
    "factor": (PAPER, 0.5),
    "patience": (PAPER, 2),
    "warm_up": (MODERN, 2),
    "clip": (PAPER, 1e-4),
    "dropout": (PAPER, 0.1),
    "label_smoothing": (PAPER, 0.4),
    "ema": (PAPER, 0.5),
    "filter_rms": (PAPER, 0.005),
    "init": (PAPER, "he"),
    "initial": (PAPER, 0.5),
    "short_side": (PAPER, 40),
    "size": (PAPER, 20),
    "crops": (PAPER, "resized"),
    "smallest": (MODERN, 0.9),
    "colour": (MODERN, 0.9),
    "mean": (PAPER, "channel"),
    "precision": (MODERN, "bfloat16"),
    "split": (MODERN, 0.3),
    "seed": (MODERN, 1),
    "workers": (MODERN, 3),
    "keep": (MODERN, 9),
}
# What other tests hold: networks by width and weights, teachers, views, close-ups, devices, and when a run saves.
ELSEWHERE = {
    "width",
    "weights",
    "teacher",
    "distill",
    "temperature",
    "teacher_views",
    "views",
    "close_ups",
    "device",
    "save_minutes",
    "snapshots",
    "tensorboard",
    "cache",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("options"))


def effects(folder: Path, out: Path, **given: Any) -> list[Any]:
    """What comes of options: the run's settings, and the weights after two steps and a validation."""
    options = with_model_defaults(Options(**given))
    options = options.completed(recipe(options.recipe or USUAL).defaults)
    data = folder / "data" / "train"
    run = Run(read_sets(data, seed=options.seed, split=options.split), RunFolder(out), options, Ranks())
    loop = run.prepared("")
    training = loop.training
    from zfcuda.train.loading import collated

    for step in range(2):
        keys = run.order.keys(step)
        training.learn(collated([loop.samples[key] for key in keys]), keys)
    schedule = training.schedule
    return [
        loop.steps,
        loop.evaluation.workers,
        loop.checkpoints.keep,
        run.precision,
        type(schedule),
        [getattr(schedule, name, None) for name in ("factor", "patience")],
        training.rate,
        [value.double().sum().item() for value in training.network.state_dict().values()],
        [value.double().sum().item() for value in training.kept.state_dict().values()],
        loop.evaluation.preprocess,
        type(training.view),
    ]


@pytest.mark.parametrize("name", EFFECTS)
def test_every_option_has_an_effect(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.syspath_prepend(folder)
    beside, value = EFFECTS[name]
    usual = effects(folder, tmp_path / "usual", **beside)
    assert effects(folder, tmp_path / "again", **beside) == usual  # so that what differs is the option's
    assert effects(folder, tmp_path / "other", **{**beside, name: value}) != usual


def test_no_option_is_forgotten() -> None:
    assert set(EFFECTS) | ELSEWHERE == {field.name for field in dataclasses.fields(Options)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": 0}, "epochs: expected at least 1, got 0"),
        ({"epochs": 2.5}, "epochs: expected a whole number, got 2.5"),
        ({"batch": True}, "batch: expected a whole number, got True"),
        ({"rate": float("nan")}, "rate: expected a positive number, got nan"),
        ({"rate": -1.0}, "rate: expected a positive number, got -1.0"),
        ({"momentum": 1.5}, "momentum: expected 0 to 1, got 1.5"),
        ({"clip": float("nan")}, "clip: expected at least 0, got nan"),
        ({"optimizer": "lbfgs"}, "optimizer: expected one of .*'sgd'"),
        ({"mean": "model"}, "mean: expected pixel or channel where there are no weights"),
        ({"width": 0.5, "model": "alexnet"}, "width: expected none for alexnet, which takes none, got 0.5"),
        ({"distill": 0.5}, "distill: expected none without a teacher, got 0.5"),
        ({"temperature": 2.0}, "temperature: expected none without a teacher, got 2.0"),
        ({"size": 300, "short_side": 256}, "short_side: expected at least size, 300, got 256"),
    ],
)
def test_what_is_out_of_range_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Options(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"momentum": 0.8}, "momentum: expected none where optimizer is adamw, not sgd, got 0.8"),
        ({"patience": 3}, "patience: expected none where schedule is cosine, not plateau, got 3"),
        ({"recipe": "paper", "warm_up": 5}, "warm_up: expected none where schedule is plateau, not cosine, got 5"),
        ({"recipe": "paper", "colour": 0.2}, "colour: expected none where crops is ten, not resized, got 0.2"),
        ({"close_ups": 2}, "close_ups: expected none where crops is resized, not close_ups, got 2"),
    ],
)
def test_what_would_have_no_effect_is_refused(given: dict[str, Any], said: str) -> None:
    options = Options(**given)
    with pytest.raises(ValueError, match=said):
        options.completed(recipe(options.recipe or USUAL).defaults)


def test_a_value_that_the_recipe_has_is_taken_with_the_option_it_is_of() -> None:
    options = Options(optimizer="sgd", momentum=0.8).completed(recipe("modern").defaults)
    assert (options.optimizer, options.momentum, options.schedule) == ("sgd", 0.8, "cosine")
    assert torch.float32 == getattr(torch, Options(recipe="paper").completed(recipe("paper").defaults).precision or "")
