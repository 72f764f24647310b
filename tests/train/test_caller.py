"""What a program that calls `train` has set, gives, and gets from its own data sets."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.train import tiny
from tests.train.sets.trees import picture, tree
from tests.train.tiny import OPTIONS, WISE
from zfcuda.train import train
from zfcuda.train.monitoring.health import sample_of
from zfcuda.train.sets import read_sets


@pytest.fixture
def data(tmp_path: Path) -> Path:
    counts = {"train": 8, "validation": 3, "test": 2}
    return tree(tmp_path / "data", {f"{part}/{kind}": n for part, n in counts.items() for kind in ("cat", "dog")})


def test_what_the_caller_has_set_is_as_before(data: Path, tmp_path: Path) -> None:
    def draws() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(1))]

    def seed() -> None:
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)

    seed()
    expected = draws()
    usual = load_file(train(data, tmp_path / "usual", **OPTIONS | {"epochs": 1}).weights)
    seed()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode():
            found = train(data, tmp_path / "run", **OPTIONS | {"epochs": 1})
            assert torch.is_inference_mode_enabled()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert draws() == expected
    assert all(torch.equal(usual[name], value) for name, value in load_file(found.weights).items())


def test_a_network_that_numpy_draws_is_of_the_seed(data: Path, tmp_path: Path) -> None:
    chosen = {**OPTIONS, "model": f"{tiny.__name__}:drawn", "epochs": 1, "init": "keep"}
    found = [load_file(train(data, tmp_path / name, **chosen).weights) for name in ("one", "two")]
    assert all(torch.equal(found[0][name], value) for name, value in found[1].items())


def test_types_of_options(data: Path, tmp_path: Path) -> None:
    chosen = {**OPTIONS, "epochs": np.int64(1), "rate": 1, "device": torch.device("cpu"), "snapshots": np.array([1])}
    train(data, tmp_path / "run", **chosen)
    train(data, tmp_path / "run", **chosen | {"rate": 1.0, "device": "cpu"})  # is the same
    for wrong, said in (
        ({"epochs": "3"}, "epochs: expected a whole number, got '3'"),
        ({"rate": "0.1"}, "rate: expected a number, got '0.1'"),
        ({"dropout": True}, "dropout: expected a number, got True"),
        ({"model": nn.Linear(1, 1)}, "model: expected a name or a path, got Linear"),
        ({"snapshots": 3}, "snapshots: expected epochs from 1, got 3"),
        ({"tensorboard": "no"}, "tensorboard: expected True or False, got 'no'"),
        ({"weight_decay": float("inf")}, "weight_decay: expected at least 0, got inf"),
        ({"factor": 1.0}, "factor: expected above 0 and below 1, got 1.0"),
    ):
        with pytest.raises(ValueError, match=said):
            train(data, tmp_path / "other", **OPTIONS | wrong)
    with pytest.raises(TypeError, match="epoch: no such option; did you mean epochs"):
        train(data, tmp_path / "other", epoch=3)
    assert not (tmp_path / "other").exists()


class Moody:
    """A data set of images, one of which raises what no file would."""

    classes = ("cat", "dog")

    def __init__(self, count: int) -> None:
        self.targets = [index % 2 for index in range(count)]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == 2:
            raise KeyError("lost")
        size = 12 + index % 3  # of different sizes
        return torch.from_numpy(np.array(picture(index, (size, size)))).permute(2, 0, 1), self.targets[index]


def test_a_data_set_that_raises_is_left_out_in_validation_too(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="data: validation: left out: item 2"):
        result = train((Moody(8), Moody(6)), tmp_path / "run", **OPTIONS | {"epochs": 1})
    assert 5 * result.validation == pytest.approx(round(5 * result.validation))


def test_units_are_looked_for_with_images_of_a_data_set() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sets = read_sets((Moody(8), Moody(6)))
    sample = sample_of(sets.validation, WISE)
    assert sample is not None and sample.shape == (5, 3, 12, 12)
