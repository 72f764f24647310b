"""config.json: what a training is of, so that another one does not go on in its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zfcuda.complaint import one_line
from zfcuda.files.drafts import synced, whole

VERSION = 1  # of the run folder's files; another one is refused
_LONGEST = 80  # characters of a value in a refusal


def write_config(path: Path, config: Mapping[str, Any], changing: Mapping[str, Any]) -> None:
    """Writes what a training is of, and beside it what may be another at each start.

    Raises:
        OSError: the disk refuses.
    """
    written = {"version": VERSION, **config, "changing": changing}
    with whole(path, durable=True) as [draft]:
        draft.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    synced(path.absolute().parent.parent)


def check_config(path: Path, config: Mapping[str, Any]) -> None:
    """Makes sure that a training is of what is written there.

    Raises:
        ValueError: it is of something else, which is named with both values, or the file is of another version, or
            none of ours. OSError: it cannot be read.
    """
    shown = one_line(os.fspath(path))
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        version = there.pop("version")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ValueError(f"out: {shown} is not that of a run; take another folder") from None
    if version != VERSION:
        raise ValueError(
            f"out: {shown} is of version {_short(version)} of a run's folder, expected {VERSION}; "
            "take another folder, or the zfcuda that made it"
        )
    there.pop("changing", None)
    if "files" not in there:  # of a run that did not look into the files that it began from
        config = {name: value for name, value in config.items() if name != "files"}
    differences = _differences(there, json.loads(json.dumps(dict(config))))
    if differences:
        # The network's tensors tell nothing where an option tells why they are others.
        differences = [said for said in differences if not said.startswith("network is ")] or differences
        folder = one_line(os.fspath(path.parent))
        raise ValueError(f"out: {folder} holds another run: {'; '.join(differences)}; take another folder")


def _differences(there: Any, here: Any, at: str = "") -> list[str]:
    """What differs between two configurations, by name, with both values."""
    if isinstance(there, dict) and isinstance(here, dict):
        if "fingerprint" in there and there["fingerprint"] == here.get("fingerprint"):
            return []  # the same, whatever it is called now
        return [
            said
            for key in {**there, **here}
            for said in _differences(there.get(key), here.get(key), f"{at}.{key}" if at else str(key))
        ]
    if json.dumps(there) == json.dumps(here) or (_number(there) and _number(here) and there == here):
        return []
    return [f"{at} is {_short(there)} there, {_short(here)} here"]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = one_line(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
