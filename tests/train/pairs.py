"""Trainings on several processes of torch.distributed, which are started once for many of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_CONTEXT = multiprocessing.get_context("forkserver")
NETWORKS = '''
import torch
from torch import nn

def plain(num_classes=3):
    return nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(4, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(32, num_classes),
    )

def normed(num_classes=3):
    return nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, num_classes),
    )

class Idle(nn.Module):
    """Has weights that no answer depends on."""

    def __init__(self, num_classes=3):
        super().__init__()
        self.idle = nn.Conv2d(3, 2, 1)
        self.first = nn.Conv2d(3, 4, 5, stride=4)
        self.last = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.last(nn.functional.adaptive_avg_pool2d(self.first(x).relu(), 2).flatten(1))
'''


@dataclass
class Job:
    """A training, and the signal that one of the processes gets in a step: (rank, step, number)."""

    data: Any
    out: Path
    options: dict[str, Any] = field(default_factory=dict)
    signal: tuple[int, int, int] | None = None


def make(folder: Path) -> Path:
    """Makes the networks' module and two trees of pictures, `data` and `damaged`; returns the folder."""
    (folder / "tiny_networks.py").write_text(NETWORKS)
    dice = np.random.default_rng(0)
    for part, count in (("train", 12), ("validation", 4), ("test", 3)):
        for label, name in enumerate(("red", "green", "blue")):
            for number in range(count):
                pixels = dice.integers(0, 156, (30, 34, 3), dtype=np.uint8)
                pixels[..., label] += 50
                for tree in ("data", "damaged"):
                    path = folder / tree / part / name / f"{number}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(path)
    for name in ("red/3", "green/7"):
        (folder / "damaged" / "train" / f"{name}.png").write_bytes(b"no picture")
    return folder


def run(folder: Path, jobs: list[Job], count: int = 2) -> list[list[str]]:
    """What came of each training in each process, by rank: "done", or the exception; "killed" where it was."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _CONTEXT.set_forkserver_preload(["tests.train.preloaded"])
    processes = [_CONTEXT.Process(target=_work, args=(folder, jobs, rank, count, port)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(400)
        if process.is_alive():
            process.kill()
            process.join()
    return [(folder / f"said-{rank}").read_text().splitlines() for rank in range(count)]


def _work(folder: Path, jobs: list[Job], rank: int, count: int, port: int) -> None:
    import torch

    from zfcuda.train import train

    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_WORLD_SIZE": str(count)}
    sys.path.insert(0, str(folder))
    torch.set_num_threads(1)
    with (folder / f"said-{rank}").open("w") as said:
        for job in jobs:
            _send(job, rank)
            try:
                train(job.data, job.out, **job.options)
                outcome = "done"
            except (Exception, KeyboardInterrupt) as error:
                outcome = f"{type(error).__name__}: {error}"
            print(outcome, file=said, flush=True)


def _send(job: Job, rank: int) -> None:
    """Makes this process get the job's signal within its step."""
    from zfcuda.train.state import Training

    inner = Training._loss

    def loss(self: Training, *arguments: Any) -> Any:
        if job.signal is not None and job.signal[:2] == (rank, self.step):
            os.kill(os.getpid(), job.signal[2])
        return inner(self, *arguments)

    Training._loss = loss  # type: ignore[method-assign]


KILL, TERM = int(signal.SIGKILL), int(signal.SIGTERM)
