"""Finished runs of zfcuda train on the same data, put beside the linear classifiers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from zfcuda.complaint import one_line
from zfcuda.files.regular import refusal
from zfcuda.train.sets import Sets
from zfcuda.train.transfer.choices import Choice
from zfcuda.train.transfer.shares import Share


def choice_of_run(path: str | os.PathLike[str], sets: Sets) -> Choice:
    """What a run's folder says: fine-tuned from weights, all or above a layer, or from scratch; and its test accuracy.

    Raises:
        ValueError: it is no folder of a run, the run is not finished, is of other pictures, or tested nothing.
    """
    shown = one_line(os.fspath(path))
    config, result = (_read(Path(path) / name, shown) for name in ("config.json", "result.json"))
    data = config.get("data")
    data = data if isinstance(data, dict) else {}
    if data.get("fingerprint") != sets.fingerprint:
        raise ValueError(f"runs: {shown} is of other pictures: {one_line(str(data.get('title')))}, not {sets.title}")
    count = len(sets.test.labels) if sets.test is not None else 0
    test = result.get("test")
    if test is None or not count:
        raise ValueError(f"runs: {shown} has no test accuracy")
    share = Share(round(test * count), count)
    if not config.get("weights"):
        way, what = "scratch", f"{config.get('model')}"
    elif config.get("freeze_below"):
        way, what = "fine-tune last", f"{config.get('model')}, frozen below {config['freeze_below']}"
    else:
        way, what = "fine-tune all", f"{config.get('model')}"
    return Choice(way, what, test, share.standard_error, len(sets.train.labels))


def _read(file: Path, shown: str) -> dict[str, Any]:
    unfinished = file.name == "result.json" and not file.exists() and file.with_name("config.json").exists()
    why = "its run is not finished" if unfinished else refusal(file)
    if why is None:
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            why = "not JSON"
        else:
            if isinstance(found, dict):
                return found
            why = "not of a run"
    raise ValueError(f"runs: {shown}: expected the folder of a finished run of zfcuda train; {file.name}: {why}")
