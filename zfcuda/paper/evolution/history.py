"""A network at the epochs of its training: snapshots, the end, and the weights it began with."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import nn

from zfcuda.complaint import one_line
from zfcuda.models.checkpoints.load import load
from zfcuda.models.checkpoints.trained import read_trained
from zfcuda.paper.trainings import MissingRunsError
from zfcuda.train.caller import undisturbed
from zfcuda.train.network import subject
from zfcuda.train.options import Options
from zfcuda.train.run_folder import RunFolder

#: The epochs of the paper's figure.
EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)


@dataclass(frozen=True)
class History:
    """The networks of one training.

    Attributes:
        title: what was trained on what, for a heading.
        epochs: ascending; models: the network after each, in eval mode on the CPU.
        initial: the network before the first step; None where it cannot be had.
        why: why it cannot; "" where it can.
        averaged: whether the weights that were kept are a moving average of those that learn.
    """

    title: str
    epochs: list[int]
    models: list[nn.Module]
    initial: nn.Module | None
    why: str
    averaged: bool


def history(run: str | os.PathLike[str] | RunFolder) -> History:
    """Reads the snapshots of a training, and its last weights where they are of a later epoch.

    Args:
        run: its folder; it need not have ended.

    Raises:
        ValueError: the folder is not that of a training, or a network of it holds NaN or infinity.
        MissingRunsError: the training kept fewer than two snapshots; says how one is made that does.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    shown = one_line(os.fspath(folder.path))
    config = _config(folder, shown)
    files = {int(found[1]): path for path in folder.snapshots.glob("*") if (found := _SNAPSHOT.fullmatch(path.name))}
    if folder.last.is_file() and (end := _epoch(folder.last)) is not None:
        files.setdefault(end, folder.last)
    if len(files) < 2:
        kept = "only one network over its epochs" if files else "no network"
        raise MissingRunsError(
            f"run: {shown} kept {kept}; snapshots are kept by a training in another folder: "
            f"{_command(folder)} --snapshots {','.join(map(str, EPOCHS))}"
        )
    classes = list(config["data"]["classes"])
    with undisturbed():  # networks are drawn before they are filled
        models = [_loaded(config, files[epoch], len(classes)) for epoch in sorted(files)]
        initial, why = _initial(config, classes)
    title = f"{config['model']} on {config['data']['title'].split(':')[0]}, recipe {config['recipe']}"
    return History(title, sorted(files), models, initial, why, bool(config.get("ema")))


_SNAPSHOT = re.compile(r"epoch-(\d+)\.safetensors")


def _config(folder: RunFolder, shown: str) -> dict[str, Any]:
    try:
        config = json.loads(folder.config.read_text(encoding="utf-8"))
        known = all(name in config for name in ("model", "recipe", "seed")) and isinstance(config["model"], str)
        if known and isinstance(config["data"], dict) and {"title", "classes"} <= config["data"].keys():
            return dict(config)
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise ValueError(f"run: expected the folder of a training, which has a config.json, got {shown}")


def _command(folder: RunFolder) -> str:
    """The command that made the weights, as far as they say so."""
    known = read_trained(folder.last) if folder.last.is_file() else None
    command = str((known and known.facts.get("command")) or "zfcuda train DATA --out RUN")
    return re.sub(r" --snapshots[ =]\S+", "", command)


def _epoch(file: Path) -> int | None:
    known = read_trained(file)
    epoch = known.facts.get("epoch") if known else None
    return epoch if isinstance(epoch, int) else None


def _loaded(config: dict[str, Any], file: Path, classes: int) -> nn.Module:
    """The network of a file; that of somebody's own Python is made by its name, as a file alone runs nothing."""
    own = ":" in config["model"]
    model = load(config["model"], weights=file, num_classes=classes) if own else load(file)
    if not all(bool(each.isfinite().all()) for each in model.state_dict().values()):
        raise ValueError(f"run: {one_line(str(file))} holds NaN or infinity: the training has diverged")
    return model


def _initial(config: dict[str, Any], classes: list[str]) -> tuple[nn.Module | None, str]:
    """The network before its first step, drawn anew from seed and options; or why not."""
    if config.get("weights"):
        return None, "it began from weights of another training"
    known = {field.name for field in fields(Options)}
    try:
        options = Options(**{name: value for name, value in config.items() if name in known})
        return subject(options, len(classes), classes).model, ""
    except (TypeError, ValueError) as error:
        return None, f"its options say no network ({one_line(str(error))})"
