"""Starts of a training in processes of their own, which a signal ends at the n-th of the moments that count.

Importing torch takes seconds: a process of its own has it (and no thread), and is forked for every start.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_CONTEXT = multiprocessing.get_context("forkserver")
NETWORK = '''
import os, random
import numpy, torch
from torch import nn

class Drawing(nn.Module):
    """Draws from the generators of Python, NumPy and torch, and may send its process a signal."""

    seen = 0

    def forward(self, x):
        if self.training:
            Drawing.seen += 1
            if Drawing.seen == int(os.environ.get("SIGNAL_AT", 0)):
                os.kill(os.getpid(), int(os.environ["SIGNAL"]))
        return x * (1 + random.random() / 9 + float(numpy.random.rand()) / 9) + torch.rand_like(x) / 9

def other(num_classes=3):
    return network(num_classes)

def network(num_classes=3):
    return nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), Drawing(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, num_classes),
    )
'''
OPTIONS = "--model tiny_drawing:network --epochs 3 --batch 8 --size 24 --short-side 28 --save-minutes 1e-9"


@dataclass
class Ended:
    """How a start ended: code is negative after a signal that was not handled."""

    code: int
    out: str
    err: str


def make(folder: Path) -> Path:
    """Makes a network's module and a tree of pictures, `data`; returns the folder."""
    (folder / "tiny_drawing.py").write_text(NETWORK)
    dice = np.random.default_rng(0)
    for part, count in (("train", 9), ("validation", 3), ("test", 3)):
        for label, name in enumerate(("red", "green", "blue")):
            pictures = folder / "data" / part / name
            pictures.mkdir(parents=True)
            for number in range(count):
                pixels = dice.integers(0, 156, (30, 30, 3), dtype=np.uint8)
                pixels[..., label] += 50
                Image.fromarray(pixels).save(pictures / f"{number}.png")
    return folder


def start(
    folder: Path, words: str, *, at: int = 0, number: int = signal.SIGKILL, full_after: int = 0, cwd: Path | None = None
) -> Ended:
    """Starts ``python -m zfcuda.train data --out run ...`` and waits for its end.

    Args:
        folder: from `make`.
        at: the moment at which the process sends itself a signal; 0: it does not.
        number: of the signal.
        full_after: how many checkpoints find their place before the disk is full; 0: it never is.
        cwd: where it runs, with `data` as a link; None: in the folder.
    """
    cwd = folder if cwd is None else cwd
    cwd.mkdir(exist_ok=True)
    if not (cwd / "data").exists():
        (cwd / "data").symlink_to(folder / "data")
    _CONTEXT.set_forkserver_preload(["tests.train.preloaded"])
    process = _CONTEXT.Process(target=_train, args=(folder, cwd, words.split(), at, number, full_after))
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return Ended(process.exitcode, (cwd / "stdout").read_text(), (cwd / "stderr").read_text())


def _train(folder: Path, cwd: Path, words: list[str], at: int, number: int, full_after: int) -> None:
    import torch

    from zfcuda.train.__main__ import main

    multiprocessing.set_start_method("fork", force=True)  # as where a training is started by hand
    os.chdir(cwd)
    sys.path.insert(0, str(folder))
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    torch.set_num_threads(1)
    if at:
        _signalled(at, number)
    if full_after:
        _full(full_after)
    sys.exit(main(["data", "--out", "run", *words]))


def _signalled(at: int, number: int) -> None:
    """Makes the process send itself a signal at a moment: a picture is read, a tensor is written, and the like."""
    import torch

    from zfcuda.train import evaluation, log, state, weights_files
    from zfcuda.train.loading import Samples

    left = [at]

    def counted(owner: Any, name: str) -> None:
        inner: Callable[..., Any] = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), number)
            return inner(*arguments, **options)

        setattr(owner, name, call)

    counted(Samples, "__getitem__")
    counted(state.Training, "_loss")
    counted(torch.optim.AdamW, "step")
    counted(torch.optim.SGD, "step")
    counted(torch.Tensor, "resolve_conj")
    counted(evaluation, "evaluate")
    counted(weights_files, "save_trained")
    counted(log.Log, "append")
    for name in ("fsync", "replace", "link", "unlink"):
        counted(os, name)


def _full(after: int) -> None:
    """Makes the disk take no file beyond a few bytes, once so many checkpoints have their place."""
    from zfcuda.train.checkpoints import Checkpoints

    inner = Checkpoints.save
    left = [after]

    def save(*arguments: Any) -> Path:
        if left[0] == 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
        left[0] -= 1
        return inner(*arguments)

    Checkpoints.save = save  # type: ignore[method-assign]
