"""What trainings gave: `python -m benchmarks.trained FOLDER ... --json FILE` puts results of folders into one file.

FOLDER is that of a run of `zfcuda train` or of `zfcuda transfer`, and gives the name. What is written is what the run
itself has measured: its command, its options, the curves, the accuracy on test with its standard error, by class, and
the seconds that it took. A run is a line.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path
from typing import Any

import torch

from benchmarks.device import device_name
from zfcuda.models.checkpoints.trained import read_trained

_CURVES = ("epoch", "loss", "top1", "validation_loss", "validation_top1", "rate", "seconds")


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trained", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    arguments = parser.parse_args(argv)
    held = json.loads(arguments.json.read_text(encoding="utf-8")) if arguments.json.exists() else {}
    held["device"] = device_name(torch.device("cpu"))
    for run in arguments.runs:
        transfer = run / "transfer.json"
        kind = "transfers" if transfer.exists() else "runs"
        held.setdefault(kind, {})[run.name] = json.loads(transfer.read_text("utf-8")) if kind != "runs" else found(run)
    draft = arguments.json.with_suffix(".draft")
    draft.write_text(_lines(held), encoding="utf-8")
    os.replace(draft, arguments.json)
    for name, row in sorted(held.get("runs", {}).items()):
        print(f"{name:24} validation {row['validation']:.4f}  test {row['test']:.4f} +- {row['test_error']:.4f}")
    return 0


def _lines(held: dict[str, Any]) -> str:
    """JSON with a line for each run."""
    parts = [f' "device": {json.dumps(held["device"])}']
    for kind in sorted(set(held) - {"device"}):
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(held[kind].items()))
        parts.append(f' "{kind}": {{\n{rows}\n }}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def found(run: Path) -> dict[str, Any]:
    """What a finished run has measured."""
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    trained = read_trained(run / "weights.safetensors")
    assert trained is not None
    test, count = result["test"], result["pictures"]
    return {
        "command": trained.facts["command"],
        "options": {name: config[name] for name in config if name not in ("classes", "changing", "fingerprint")},
        "torch": torch.__version__,
        **result,
        "test_error": math.sqrt(test * (1 - test) / count),
        "curves": {name: [row.get(name) for row in rows] for name in _CURVES},
    }


if __name__ == "__main__":
    raise SystemExit(main())
