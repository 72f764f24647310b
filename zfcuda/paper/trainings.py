"""The trainings that some figures need: what each is, where it lies, and the command that makes it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zfcuda.train.run_config import check_config
from zfcuda.train.run_folder import RunFolder
from zfcuda.train.sets import read_sets

#: Short ones, at a quarter of the width: a few minutes each on two cores.
_OF_FOLDERS: dict[str, Any] = {"recipe": "modern", "width": 0.25, "epochs": 16, "snapshots": (1, 2, 5, 10, 16)}
_OF_PARTS: dict[str, Any] = {
    "recipe": "close_ups",
    "width": 0.25,
    "epochs": 8,
    "close_ups": 4,
    "snapshots": (1, 2, 5, 8),
}


class MissingRunsError(Exception):
    """Raised where a figure needs trainings that are not there; says which commands make them."""


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        name: of its folder.
        data: what ``zfcuda train`` takes: a folder, or parts.
        options: of the run, as :func:`zfcuda.train.train` takes them.
    """

    name: str
    data: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def command(self, runs: Path) -> str:
        """The command that makes it."""
        words = ["zfcuda", "train", self.data, "--out", str(runs / self.name)]
        for name, value in self.options.items():
            listed = isinstance(value, Sequence) and not isinstance(value, str)
            words += [f"--{name.replace('_', '-')}", ",".join(map(str, value)) if listed else f"{value}"]
        return shlex.join(words)


def training(data: str, model: str, seed: int = 0, *, variant: str = "", **options: Any) -> Training:
    """A short training of a network on pictures.

    Args:
        data: a folder with train/, validation/ and test/; or parts.
        model: the name of a ZFNet or of alexnet_one_tower.
        variant: what it is called beside others of the same network; options: in place of the usual.
    """
    usual = _OF_PARTS if data == "parts" else _OF_FOLDERS
    name = "-".join([Path(data).name, model, *([variant] if variant else []), str(seed)])
    return Training(name, data, {"model": model, "seed": seed, **usual, **options})


def finished(
    trainings: Iterable[Training], runs: Path, *, make: bool = False, progress: bool = False
) -> list[RunFolder]:
    """The folders of trainings, in the same order.

    Args:
        runs: the folder that theirs lie in.
        make: train those that are missing, or were broken off.

    Raises:
        MissingRunsError: some are missing, and make is False.
        ValueError: what lies in the place of one is another run; the trainer's own message.
    """
    trainings = list(trainings)
    folders = [RunFolder(runs / each.name) for each in trainings]
    missing = []
    for each, folder in zip(trainings, folders, strict=True):
        if folder.result() is None:
            missing.append(each)
        else:
            _check(each, folder)
    if missing and not make:
        commands = "\n".join(f"  {each.command(runs)}" for each in missing)
        needs = f"{len(trainings)} trainings, of which {len(missing)}" if len(trainings) > 1 else "a training, which"
        lack = "are missing; --train makes them, or" if len(missing) > 1 else "is missing; --train makes it, or"
        do = "these commands do" if len(missing) > 1 else "this command does"
        raise MissingRunsError(f"it needs {needs} {lack} {do}:\n{commands}")
    for each in missing:
        from zfcuda.train.run import train

        runs.mkdir(parents=True, exist_ok=True)
        train(each.data, runs / each.name, progress=progress, command=each.command(runs), **each.options)
    return folders


def _check(training: Training, folder: RunFolder) -> None:
    """Refuses a run of other options or other pictures than those of a training.

    Raises:
        ValueError: as :func:`zfcuda.train.train` has it.
    """
    try:
        there = json.loads(folder.config.read_text(encoding="utf-8"))
        seed, split = there["seed"], there["split"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"out: {folder.config} is not that of a run; take another folder") from None
    sets = read_sets(training.data, seed=seed, split=split)
    data = {"title": sets.title, "fingerprint": sets.fingerprint, "classes": sets.classes}
    same = {name: value for name, value in there.items() if name not in ("version", "changing")}
    wanted = {name: value for name, value in training.options.items() if name in same}
    check_config(folder.config, {**same, **wanted, "data": data})


def stamps(runs: Path, run: Path | None = None) -> list[list[Any]]:
    """What tells other finished trainings: the folder of each in `runs`, and `run`, and when it ended."""
    found = sorted(runs.glob("*/result.json")) + ([run / "result.json"] if run else [])
    return [[str(path.parent), path.stat().st_mtime_ns] for path in found if path.is_file()]
