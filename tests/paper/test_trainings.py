"""The commands of trainings are what ``zfcuda train`` takes, and a folder of another run is none of theirs."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.paper import small
from tests.train.tiny import OPTIONS
from zfcuda.cli import _parser
from zfcuda.paper.trainings import MissingRunsError, Training, finished, stamps, training
from zfcuda.train.options import Options

#: A training of seconds.
TINY = {**OPTIONS, "epochs": 1, "recipe": "modern", "rate": 0.01, "seed": 0, "snapshots": (1,)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for part in ("train", "validation", "test"):
        small.folder(tmp_path / "pictures" / part, {"green": 4, "red": 4}, size=16)
    return tmp_path / "pictures"


@pytest.mark.parametrize("data", ["parts", "/some where/pictures"])
@pytest.mark.parametrize("model", ["zfnet", "alexnet_one_tower"])
def test_the_command_is_what_train_takes(data: str, model: str) -> None:
    if data == "parts" and model != "zfnet":
        one = training(data, model, 1, variant="short", epochs=2, close_ups=1, snapshots=(1, 2))
    else:
        one = training(data, model, 1, variant="short", epochs=2, snapshots=(1, 2))
    words = shlex.split(one.command(Path("some runs")))
    assert words[:3] == ["zfcuda", "train", data] and words[3:5] == [
        "--out",
        f"some runs/{Path(data).name}-{model}-short-1",
    ]
    parsed = vars(_parser().parse_args(words[1:]))
    assert parsed["data"] == data and parsed["out"] == f"some runs/{one.name}"
    for name, value in one.options.items():
        assert parsed[name] == value, name
    Options(**one.options)  # complains of what there is not


def test_missing_ones_are_named_with_their_commands(tmp_path: Path) -> None:
    wanted = [training("parts", "zfnet", seed) for seed in (0, 1)]
    with pytest.raises(MissingRunsError) as told:
        finished(wanted, tmp_path)
    assert (
        "it needs 2 trainings, of which 2 are missing; --train makes them, or these commands do:\n  zfcuda train"
        in str(told.value)
    )
    assert [line.strip() for line in str(told.value).splitlines()[1:]] == [each.command(tmp_path) for each in wanted]


def test_they_are_made_once_and_then_there(data: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    one = Training("pictures-tiny-0", str(data), TINY)
    assert stamps(runs) == []
    [folder] = finished([one], runs, make=True)
    assert folder.result() is not None and folder.snapshot(1).is_file() and folder.path == runs / one.name
    made = stamps(runs)
    assert made[0][0] == str(folder.path) and stamps(runs, folder.path) == made * 2
    assert [each.path for each in finished([one], runs)] == [folder.path] and stamps(runs) == made
    other = Training(one.name, one.data, {**one.options, "rate": 0.03, "seed": 4})
    with pytest.raises(ValueError, match=r"holds another run: rate is 0.01 there, 0.03 here; seed is 0 there, 4 here"):
        finished([other], runs)
    snapshots = Training(one.name, one.data, {**one.options, "snapshots": (2,)})  # change no weight
    assert finished([snapshots], runs)
    (data / "train" / "green" / "0.png").unlink()
    with pytest.raises(ValueError, match=r"holds another run: data\."):
        finished([one], runs)
    config = folder.config
    config.write_text(json.dumps([1]))
    with pytest.raises(ValueError, match=r"config.json is not that of a run"):
        finished([one], runs)
