"""What makes a run another one, what may differ between its starts, and the disk space that it needs."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zfcuda.files.states import digest_of
from zfcuda.train.options import OF_THE_START, Options
from zfcuda.train.sets import Sets
from zfcuda.version import __version__


def identity(options: Options, sets: Sets, network: nn.Module) -> dict[str, Any]:
    """What a folder's config.json is compared with: a run goes on where all of it is equal."""
    chosen = {k: v for k, v in dataclasses.asdict(options).items() if k not in OF_THE_START}
    weights = network.state_dict()
    shapes = hashlib.sha256(repr([(name, list(value.shape)) for name, value in weights.items()]).encode())
    count = sum(value.numel() for value in weights.values())
    return chosen | {
        "data": {"title": sets.title, "fingerprint": sets.fingerprint, "classes": sets.classes},
        "network": f"{len(weights)} tensors of {count:,} numbers ({shapes.hexdigest()[:8]})",
        "files": {name: _digest(getattr(options, name)) for name in ("weights", "teacher")},
    }


def circumstances(options: Options, processes: int) -> dict[str, Any]:
    """What may be another at each start of a run."""
    chosen = {name: getattr(options, name) for name in OF_THE_START}
    return chosen | {"processes": processes, "zfcuda": __version__, "torch": torch.__version__}


def bytes_needed(options: Options, sets: Sets, network: nn.Module) -> int:
    """What a run's folder takes at most.

    Weights, moments, average and a teacher's answers of each checkpoint kept, and of one being written; the best
    weights, the last, one that is being written, and the snapshots.
    """
    size = sum(each.numel() * each.element_size() for each in network.state_dict().values())
    one = size * (1 + (2 if options.optimizer == "adamw" else 1) + (1 if options.ema else 0))
    snapshots = sum(epoch <= (options.epochs or 1) for epoch in options.snapshots or ())
    if options.teacher_views:
        one += 4 * options.teacher_views * len(sets.train.labels) * len(sets.classes)
    return one * (options.keep + 1) + (3 + snapshots) * size


def _digest(named: str | None) -> str | None:
    """The beginning of a file's SHA-256, or of that in the folder of a run; None of what is no file."""
    path = Path(named or "")
    path = path / "weights.safetensors" if path.is_dir() else path
    return digest_of(path)[:16] if named and path.is_file() else None
