"""Trainings that are broken off in every way, and started again: they end in bitwise what the unbroken one ends in."""

from __future__ import annotations

import itertools
import json
import os
import random
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from tests.train.starts import OPTIONS, Ended, make, start

MODERN = f"{OPTIONS} --workers 0"
PAPER = f"{OPTIONS} --workers 0 --recipe paper"
RECIPES = {"modern": MODERN, "paper": PAPER}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("trainings"))


@pytest.fixture(scope="module")
def unbroken(folder: Path) -> Callable[[str], dict[str, Any]]:
    """What the unbroken training of a recipe leaves."""
    known: dict[str, dict[str, Any]] = {}

    def left_by(recipe: str) -> dict[str, Any]:
        if recipe not in known:
            cwd = folder / f"unbroken-{recipe}"
            asked_to_cut(cwd)
            ended = start(folder, RECIPES[recipe], cwd=cwd)
            assert ended.code == 0, ended.err
            known[recipe] = left(cwd)
        return known[recipe]

    return left_by


def asked_to_cut(cwd: Path) -> None:
    """The file that cuts the rate by hand: it has to cut it once."""
    (cwd / "run").mkdir(parents=True)
    (cwd / "run" / "cut").touch()


def left(cwd: Path) -> dict[str, Any]:
    """What a training left behind, without the seconds that it took."""
    run = cwd / "run"
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    result = json.loads((run / "result.json").read_text())
    for each in (*rows, result):
        for name in [name for name in each if "second" in name]:
            del each[name]
    weights = {name: held(run / f"{name}.safetensors") for name in ("weights", "last")}
    return {**weights, "rows": rows, "result": result, "files": sorted(os.listdir(run))}


def held(path: Path) -> dict[str, Any]:
    """Every bit of a file of weights, and what it says of itself but the command."""
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["zfcuda.trained"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert facts["facts"].pop("command").startswith("python -m zfcuda.train data --out run")
    bits = {name: value.reshape(-1).view(torch.uint8).tolist() for name, value in tensors.items()}
    return {"facts": facts, "bits": bits}


def broken_off(
    folder: Path, cwd: Path, words: str, chance: random.Random, number: int, latest: int, times: int
) -> list[Ended]:
    """Starts that a signal ends at random moments, so many, and one that comes to the end; returns how each ended."""
    moments = [chance.randrange(40, latest) for _ in range(times)]
    ended = [start(folder, words, at=at, number=number, cwd=cwd) for at in (*moments, 0)]
    expected = 130 if number == signal.SIGINT else -number
    assert [each.code for each in ended] == [expected] * times + [0], "\n".join(each.err for each in ended)
    return ended


# A run of the modern recipe has 650 moments, of the paper's 410, and a start repeats what no checkpoint has:
# five kills come near the end, in step 7 or 8 of 9, and do not reach it.
@pytest.mark.parametrize(("recipe", "latest", "times"), [("modern", 180, 5), ("paper", 120, 5)])
def test_killed_at_random_moments(folder: Path, unbroken: Any, recipe: str, latest: int, times: int) -> None:
    cwd = folder / f"killed-{recipe}"
    asked_to_cut(cwd)
    broken_off(folder, cwd, RECIPES[recipe], random.Random(3), signal.SIGKILL, latest, times)
    assert left(cwd) == unbroken(recipe)


def test_interrupted_at_random_moments(folder: Path, unbroken: Any) -> None:
    cwd = folder / "interrupted"
    asked_to_cut(cwd)
    ended = broken_off(folder, cwd, MODERN, random.Random(2), signal.SIGINT, 240, 3)
    assert left(cwd) == unbroken("modern")
    for before, after in itertools.pairwise(ended):
        [said] = [line for line in before.err.splitlines() if line.startswith("zfcuda: interrupted: ")]
        place = said.partition("the same command goes on ")[2]
        assert place and (f"going on {place}" in after.out or "validation of" in place or "test" in place)


def test_the_command_says_how_to_go_on(folder: Path, unbroken: Any) -> None:
    """SIGTERM in the fourth step, whose end it waits for; the second process is the real command."""
    cwd = folder / "terminated"
    asked_to_cut(cwd)
    assert start(folder, MODERN, at=68, cwd=cwd).code == -signal.SIGKILL
    words = [sys.executable, "-m", "zfcuda.train", "data", "--out", "run", *shlex.split(MODERN)]
    paths = os.pathsep.join([str(ROOT), str(folder), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"SIGNAL": str(int(signal.SIGTERM)), "SIGNAL_AT": "3", "PYTHONPATH": paths}
    environment |= {"OMP_NUM_THREADS": "1"}  # as the other starts have it: another number adds up in another order
    ended = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 143
    lines = [line for line in ended.stderr.splitlines() if line.startswith("zfcuda:")]
    assert lines == ["zfcuda: interrupted: the same command goes on in epoch 2 of 3, after step 1 of 3"]
    after = start(folder, MODERN, cwd=cwd)
    assert after.code == 0 and "going on in epoch 2 of 3, after step 1 of 3" in after.out
    assert left(cwd) == unbroken("modern")


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [truncated, flipped])
def test_a_damaged_newest_checkpoint(folder: Path, unbroken: Any, damage: Callable[[Path], None]) -> None:
    cwd = folder / damage.__name__
    asked_to_cut(cwd)
    assert start(folder, MODERN, at=300, cwd=cwd).code == -signal.SIGKILL
    newest = max((cwd / "run" / "checkpoints").glob("0*.safetensors"))
    damage(newest)
    ended = start(folder, MODERN, cwd=cwd)
    assert ended.code == 0 and f"zfcuda: warning: checkpoint passed over: run/checkpoints/{newest.name} is" in ended.err
    assert left(cwd) == unbroken("modern")


def test_a_full_disk(folder: Path, unbroken: Any) -> None:
    cwd = folder / "full"
    asked_to_cut(cwd)
    ended = start(folder, PAPER, full_after=4, cwd=cwd)
    assert ended.code == 2
    [said] = [line for line in ended.err.splitlines() if line.startswith("zfcuda:")]
    assert said == (
        "zfcuda: error: checkpoints: run/checkpoints: cannot be written to (File too large); the earlier ones are there"
    )
    assert len(list((cwd / "run" / "checkpoints").iterdir())) == 3
    assert start(folder, PAPER, cwd=cwd).code == 0
    assert left(cwd) == unbroken("paper")


def test_workers_and_their_number_change_nothing(folder: Path, unbroken: Any) -> None:
    cwd = folder / "workers"
    asked_to_cut(cwd)
    words = MODERN.replace("--workers 0", "--workers 2")
    assert start(folder, words, at=150, cwd=cwd).code == -signal.SIGKILL
    assert start(folder, MODERN, cwd=cwd).code == 0
    assert left(cwd) == unbroken("modern")


def test_a_finished_run_says_so(folder: Path, unbroken: Any) -> None:
    before = unbroken("modern")
    ended = start(folder, MODERN, cwd=folder / "unbroken-modern")
    assert ended.code == 0 and ended.out.startswith("run: this run is finished\n")
    assert left(folder / "unbroken-modern") == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"{MODERN} --seed 7", "seed is 0 there, 7 here"),
        (PAPER, 'recipe is "modern" there, "paper" here'),
        (MODERN.replace(":network", ":other"), 'model is "tiny_drawing:network" there, "tiny_drawing:other" here'),
    ],
)
def test_another_recipe_is_refused(folder: Path, unbroken: Any, words: str, said: str) -> None:
    before = unbroken("modern")
    ended = start(folder, words, cwd=folder / "unbroken-modern")
    assert ended.code == 2 and ended.err.startswith("zfcuda: error: out: run holds another run: ") and said in ended.err
    assert left(folder / "unbroken-modern") == before


def test_other_pictures_are_refused(folder: Path, unbroken: Any, tmp_path: Path) -> None:
    before = unbroken("modern")
    cwd = folder / "unbroken-modern"
    make(tmp_path)
    (tmp_path / "data" / "train" / "red" / "0.png").unlink()
    (cwd / "data").unlink()
    (cwd / "data").symlink_to(tmp_path / "data")
    ended = start(folder, MODERN, cwd=cwd)
    (cwd / "data").unlink()
    assert ended.code == 2 and ended.err.startswith("zfcuda: error: out: run holds another run: data.")
    assert "27 training" in ended.err and "26 training" in ended.err
    assert left(cwd) == before
