"""`python -m benchmarks.kills [--kills N] [--seed N] [--json F]`: a training is killed at random, and loses nothing.

The command is started as by hand and gets SIGKILL at a random moment, N times; every start goes on where the one before
was killed. What it ends in is compared bitwise with what the same command ends in that nobody kills.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.environment import environment
from zfcuda.data import Parts

PICTURES = 400
OPTIONS = "--width 0.1 --batch 16 --epochs 6 --workers 1 --save-minutes 0.02"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--json", type=Path, help="where the figures go")
    options = parser.parse_args(arguments)
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "data")
        began = time.monotonic()
        assert start(folder, "unbroken").wait() == 0
        seconds = time.monotonic() - began
        print(f"unbroken: {seconds:.0f} s")
        steps, drafts = [], 0
        for kill in range(options.kills):
            process = start(folder, "killed")
            try:
                process.wait(chance.uniform(0.1, 0.6) * seconds)
            except subprocess.TimeoutExpired:
                process.kill()
            if process.wait() == 0:
                raise SystemExit(f"finished after {kill} kills: more epochs, or fewer kills")
            checkpoints = folder / "killed" / "checkpoints"
            drafts += len(list(checkpoints.glob(".draft*")))
            steps.append(max((int(path.name[:9]) for path in checkpoints.glob("0*")), default=0))
            print(f"kill {kill + 1}: a checkpoint of step {steps[-1]}")
        assert start(folder, "killed").wait() == 0
        equal = [same(folder / "unbroken" / file, folder / "killed" / file) for file in ("weights", "last")]
    row = {
        "kills": options.kills,
        "in a write": drafts,
        "steps": steps,
        "bitwise equal": all(equal),
        "unbroken seconds": round(seconds, 1),
        "options": OPTIONS,
    }
    print(f"{options.kills} kills, {drafts} of them in the middle of a write: bitwise equal: {all(equal)}")
    if options.json:
        options.json.write_text(json.dumps(row | {"environment": environment(torch.device("cpu"))}, indent=2) + "\n")
    if not all(equal):
        raise SystemExit(1)


def draw(folder: Path) -> None:
    """Drawn pictures as a tree of class folders."""
    parts = Parts(seed=1)
    for number in range(PICTURES):
        drawn = parts[number]
        (folder / drawn.class_name).mkdir(parents=True, exist_ok=True)
        drawn.image.save(folder / drawn.class_name / f"{number}.png")


def start(folder: Path, out: str) -> subprocess.Popen[Any]:
    """Starts the training, whose bar nobody reads."""
    words = [sys.executable, "-m", "zfcuda.train", str(folder / "data"), "--out", str(folder / out), *OPTIONS.split()]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def same(one: Path, other: Path) -> bool:
    """Whether two files of weights hold the same bits."""
    first, second = (load_file(path.with_suffix(".safetensors")) for path in (one, other))
    return first.keys() == second.keys() and all(
        torch.equal(first[name].view(-1).view(torch.uint8), second[name].view(-1).view(torch.uint8)) for name in first
    )


if __name__ == "__main__":
    main()
