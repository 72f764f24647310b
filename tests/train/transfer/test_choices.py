"""The recommendation follows the figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.train.transfer.data import sets
from zfcuda.train.transfer.choices import WAYS, Choice, advice, cases, nearness, recommended
from zfcuda.train.transfer.runs import choice_of_run


def choice(way: str, accuracy: float, error: float = 0.02, per_class: int | None = None) -> Choice:
    return Choice(way, "relu7, svm", accuracy, error, 300, per_class)


@pytest.mark.parametrize("best", WAYS)
def test_what_is_clearly_best_is_taken(best: str) -> None:
    every = [choice(way, 0.9 if way == best else 0.7) for way in WAYS]
    assert recommended(every).way == best
    assert WAYS[best] in advice([], every) and "the most accurate; next comes" in advice([], every)


@pytest.mark.parametrize("best", WAYS)
def test_within_one_error_the_least_work_is_taken(best: str) -> None:
    every = [choice(way, 0.9 if way == best else 0.885) for way in WAYS]
    assert recommended(every).way == "last"
    assert recommended([choice(way, 0.9 if way == best else 0.879) for way in WAYS]).way == best


def test_near_and_far() -> None:
    assert nearness([choice("last", 0.8), choice("earlier", 0.81)]) == "near"
    assert nearness([choice("last", 0.8), choice("earlier", 0.83)]) == "far"
    assert nearness([choice("last", 0.8), choice("scratch", 0.9)]) is None


def test_the_sentence_has_both_amounts_and_their_figures() -> None:
    few = [choice("last", 0.5, per_class=5), choice("earlier", 0.7, per_class=5)]
    many = [choice("last", 0.8), choice("earlier", 0.85), choice("fine-tune all", 0.93)]
    said = advice(few, many)
    assert said.startswith("With all 300 pictures take fine-tuning all layers (relu7, svm): 93.0% +- 2.0%")
    assert "with 5 a class take a linear classifier on earlier codes" in said
    assert "far from what the network has learnt from" in said and said.count(".\n") == 0 and said.endswith(".")
    rows = cases(few, many)
    assert [(row["pictures"], row["data"], row["notes"]) for row in rows] == [
        ("few", "far", "earlier"),
        ("many", "far", "fine-tune all"),
    ]
    assert [row["take"]["way"] for row in rows] == ["earlier", "fine-tune all"]


def test_one_way_alone() -> None:
    assert "the only way that was measured" in advice([], [choice("last", 0.5)])
    with pytest.raises(ValueError, match=r"^choices: expected some"):
        recommended([])
    with pytest.raises(ValueError, match=r"^choices: expected some"):
        recommended([choice("magic", 1.0)])


def run(folder: Path, config: dict[str, Any], result: dict[str, Any] | None) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.mark.parametrize(
    ("given", "way"),
    [
        ({"weights": None}, "scratch"),
        ({"weights": "pretrained"}, "fine-tune all"),
        ({"weights": "a.safetensors", "freeze_below": "fc6"}, "fine-tune last"),
    ],
)
def test_a_run_says_what_it_was(tmp_path: Path, given: dict[str, Any], way: str) -> None:
    data = sets()
    config = {"data": {"fingerprint": data.fingerprint, "title": data.title}, "model": "zfnet", **given}
    found = choice_of_run(run(tmp_path / "run", config, {"test": 0.75}), data)
    assert found.way == way and found.accuracy == 0.75 and 0 < found.standard_error < 0.2
    assert found.pictures == len(data.train.labels)


@pytest.mark.parametrize(
    ("config", "result", "said"),
    [
        ({"data": {"fingerprint": "other", "title": "birds"}}, {"test": 0.5}, "is of other pictures: birds, not"),
        ({}, None, "result.json: its run is not finished"),
        ({}, {"test": None}, "has no test accuracy"),
    ],
)
def test_other_runs_are_refused(tmp_path: Path, config: dict[str, Any], result: Any, said: str) -> None:
    data = sets()
    folder = run(tmp_path / "run", {"data": {"fingerprint": data.fingerprint}, **config}, result)
    with pytest.raises(ValueError, match=f"^runs: .*{said}"):
        choice_of_run(folder, data)
    with pytest.raises(ValueError, match=r"^runs: .*config.json"):
        choice_of_run(tmp_path, data)
