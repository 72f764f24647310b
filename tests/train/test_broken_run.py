"""A training on a folder with broken pictures."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.train.sets.trees import tree
from zfcuda.data import Preprocess
from zfcuda.train import train
from zfcuda.train.loading import collated
from zfcuda.train.options import Options
from zfcuda.train.recipes import recipe
from zfcuda.train.state import Training
from zfcuda.train.views import Cropped, ResizedCrops


def network(num_classes: int = 2) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )


OPTIONS = {
    "model": f"{__name__}:network",
    "size": 12,
    "short_side": 14,
    "epochs": 2,
    "batch": 4,
    "workers": 0,
    "precision": "float32",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    counts = {"train": 8, "validation": 3, "test": 2}
    return tree(tmp_path / "data", {f"{part}/{kind}": n for part, n in counts.items() for kind in ("cat", "dog")})


def test_a_broken_picture_is_left_out(data: Path, tmp_path: Path) -> None:
    (data / "train" / "cat" / "3.png").write_bytes(b"no picture")
    (data / "validation" / "dog" / "1.png").write_bytes(b"")
    (data / "test" / "dog" / "0.png").unlink()
    (data / "test" / "dog" / "0.png").symlink_to(data / "nowhere.png")
    with pytest.warns(UserWarning) as said:
        result = train(data, tmp_path / "run", **OPTIONS)
    told = sorted(text for each in said if "left out" in (text := str(each.message)))
    assert [text.partition(".png")[0] for text in told] == [
        "data: test: left out: dog/0",
        "data: train: left out: cat/3",
        "data: validation: left out: dog/1",
    ]
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["broken"] for row in log] == [1, 1] and result.test is not None
    assert 5 * result.validation == pytest.approx(round(5 * result.validation))  # of five, not of six


@pytest.mark.filterwarnings("ignore:data. train. left out")
def test_a_run_stops_where_a_class_cannot_be_read(data: Path, tmp_path: Path) -> None:
    for path in (data / "train" / "dog").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match="data: train: none of 8 pictures of dog can be read; dog/"):
        train(data, tmp_path / "run", **OPTIONS)


def test_what_is_kept_in_memory_changes_no_weight(data: Path, tmp_path: Path) -> None:
    weights = []
    for number, (cache, workers) in enumerate(((0.0, 0), (0.5, 0), (0.5, 2))):
        chosen = OPTIONS | {"cache": cache, "workers": workers, "seed": 5}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = train(data, tmp_path / f"run{number}", **chosen)
        weights.append(load_file(found.weights.with_name("last.safetensors")))
    assert all(torch.equal(each[name], value) for each in weights[1:] for name, value in weights[0].items())


@pytest.mark.filterwarnings("ignore:Detected call of .lr_scheduler")
def test_a_step_of_broken_pictures_learns_nothing() -> None:
    options = Options(**OPTIONS).completed(recipe("modern").defaults)
    view = ResizedCrops(Preprocess(12, 14), 0.5, 0.0)
    model = network()
    learning = Training(model, view, options, steps=4, epoch_steps=2, classes=2, precision=torch.float32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learning.learn(collated([]), [])
    assert learning.step == 1 and learning.sums.tolist() == [0, 0, 0, 0]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    seen = Cropped(torch.zeros(3, 12, 12, dtype=torch.uint8))
    learning.learn(collated([(seen, 0), (seen, 1)]), [(0, 0), (0, 1)])
    assert learning.step == 2 and learning.sums[3] == 2
    assert not torch.equal(model[4].bias, before["4.bias"])  # type: ignore[index]
