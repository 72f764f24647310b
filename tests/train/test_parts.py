"""The network in the package was trained on Parts, on close-ups first: a tiny run of the same kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import zfcuda
from zfcuda.data import Parts
from zfcuda.train import train
from zfcuda.train.close_up_network import without_last_pooling
from zfcuda.train.sets import is_parts

OPTIONS = {"recipe": "close_ups", "width": 0.04, "epochs": 2, "close_ups": 1, "batch": 8, "workers": 0, "warm_up": 0}


def test_a_run_on_parts_leaves_a_network_that_knows_its_classes_and_pictures(tmp_path: Path) -> None:
    result = train((Parts(1), 24), tmp_path / "run", command="zfcuda train parts", **OPTIONS)
    network = zfcuda.models.load(str(result.weights))
    assert network.classes == list(Parts.classes)
    assert network.preprocess == zfcuda.Preprocess(224, 224, (0.53, 0.51, 0.5), (0.17,) * 3, "bilinear")
    assert network(network.preprocess(Parts(5)[0].image)).shape == (1, 12)
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2] and [row["step"] for row in rows] == [3, 6]
    ended = json.loads((tmp_path / "run" / "result.json").read_text())
    assert ended["test"] == result.test and ended["validation"] == max(row["validation_top1"] for row in rows)


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> dict[str, torch.Tensor]:
        result = train((Parts(1), 16), tmp_path / name, seed=seed, **{**OPTIONS, "epochs": 1, "close_ups": 0})
        return zfcuda.models.load(str(result.weights)).state_dict()

    one, again, other = weights("one", 0), weights("again", 0), weights("other", 1)
    assert all(torch.equal(value, again[name]) for name, value in one.items())
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])


def test_the_network_of_close_ups_is_the_same_but_for_its_last_pooling() -> None:
    network = zfcuda.models.zfnet(12, width=0.05)
    close = without_last_pooling(network)
    assert close.fc6 is network.fc6
    assert close(torch.zeros(1, 3, 112, 112)).shape == (1, 12)
    with pytest.raises(ValueError, match="close_ups: expected a ZFNet, got Sequential"):
        without_last_pooling(zfcuda.models.load("alexnet", num_classes=2))


def test_a_recipe_s_batch_is_smaller_where_there_are_fewer_pictures(tmp_path: Path) -> None:
    options = {name: value for name, value in OPTIONS.items() if name != "batch"} | {"epochs": 1, "close_ups": 0}
    train((Parts(1), 13), tmp_path / "run", **options)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["batch"] == 13
    with pytest.raises(ValueError, match="batch: expected at most the number of training pictures, 13, got 14"):
        train((Parts(1), 13), tmp_path / "other", **options, batch=14)


def test_a_zfnet_on_parts_is_trained_on_close_ups_where_no_recipe_is_named(tmp_path: Path) -> None:
    few = {name: value for name, value in OPTIONS.items() if name != "recipe"}
    for name, named, recipe, crops in (("a", {}, "close_ups", "close_ups"), ("b", {"recipe": "paper"}, "paper", "ten")):
        options = {**few, **named} if not named else {"width": 0.04, "epochs": 1, "workers": 0, "batch": 8, **named}
        train((Parts(1), 24), tmp_path / name, **options)
        config = json.loads((tmp_path / name / "config.json").read_text())
        assert (config["recipe"], config["crops"]) == (recipe, crops)


def test_what_is_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_parts("parts") and is_parts(Parts(1)) and is_parts((Parts(1), 24))
    assert not is_parts(str(tmp_path)) and not is_parts("mine:parts") and not is_parts(([], []))
    (tmp_path / "parts").mkdir()
    assert not is_parts("parts")
