"""Runs the trials, each network in a process of its own, and keeps what comes, so that a killed run goes on."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from zfcuda.network.graph import first_line

# What tries one network: (owner, name) -> (column, whether it holds, text), as they come.
Trial = Callable[[str, str], Iterable[tuple[str, tuple[bool | None, str]]]]

SECONDS = 240  # that a network may take
OUT_OF_TIME = "out of time"
MEMORY = 10 << 30  # bytes of address space, the program itself included


@dataclass
class Result:
    """What came of one network.

    Attributes:
        cells: column -> (whether it holds, text), of the trials that came to an end.
        ended: why the others did not; "" where all did.
        seconds: that it took.
    """

    cells: dict[str, tuple[bool | None, str]] = field(default_factory=dict)
    ended: str = ""
    seconds: float = 0.0


class Kept:
    """Results in a file, one JSON for all, written anew at each of them."""

    def __init__(self, path: Path, resume: bool) -> None:
        self.path, self.results = path, dict[str, Result]()
        self._lock = threading.Lock()
        if resume and path.exists():
            read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            for name, known in read.items():
                cells = {column: (holds, text) for column, (holds, text) in known["cells"].items()}
                self.results[name] = Result(cells, known["ended"], known["seconds"])

    def add(self, name: str, result: Result) -> None:
        with self._lock:
            self.results[name] = result
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft = self.path.with_suffix(".draft")
            everything = {name: asdict(result) for name, result in self.results.items()}
            draft.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
            os.replace(draft, self.path)


def run(trial: Trial, names: Sequence[str], kept: Kept, jobs: int) -> None:
    """Tries the networks that are not among the kept results.

    names: "owner/name". jobs: how many at a time, each on one core.
    """
    left = [name for name in names if name not in kept.results]
    with tqdm(total=len(left), unit="network") as bar, ThreadPoolExecutor(jobs) as threads:

        def one(name: str) -> None:
            owner, _, plain = name.partition("/")
            result = alone(trial, owner, plain)
            kept.add(name, result)
            wrong = [column for column, (holds, _) in result.cells.items() if holds is None]
            if wrong or result.ended:
                bar.write(f"{name}: {result.ended or ', '.join(f'{c}: {result.cells[c][1]}' for c in wrong)}")
            bar.update()

        try:
            for _ in threads.map(one, left):
                pass
        except KeyboardInterrupt:
            threads.shutdown(cancel_futures=True)
            raise


def alone(trial: Trial, owner: str, name: str, seconds: float = SECONDS) -> Result:
    """Tries one network in a process of its own, for so many seconds at most."""
    start, result = time.monotonic(), Result()
    ours, theirs = multiprocessing.Pipe(duplex=False)
    # Not forked off this process, which has threads; and not begun anew, which costs seconds each.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.survey.trial"])
    process = context.Process(target=_child, args=(trial, owner, name, theirs), daemon=True)
    process.start()
    theirs.close()
    with ours:
        for column, holds, text in _received(ours, start + seconds):
            if column:
                result.cells[column] = (holds, text)
            else:
                result.ended = text
                break
    if result.ended != OUT_OF_TIME:
        process.join(10)
    if not result.ended:
        result.ended = f"its process ended with {process.exitcode}"
    elif result.ended == "done":
        result.ended = ""
    process.kill()
    process.join()
    result.seconds = round(time.monotonic() - start, 1)
    return result


def _received(connection: Connection[Any, Any], until: float) -> Iterator[tuple[str, bool | None, str]]:
    while True:
        if not connection.poll(max(0.0, until - time.monotonic())):
            yield "", None, OUT_OF_TIME
            return
        try:
            yield connection.recv()
        except EOFError:
            return


def _child(trial: Trial, owner: str, name: str, connection: Connection[Any, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    torch.set_num_threads(1)
    try:
        for column, (holds, text) in trial(owner, name):
            connection.send((column, holds, text))
    except Exception as error:  # whatever it may be, it is told
        connection.send(("", None, f"{type(error).__name__}: {first_line(error)}"))
    else:
        connection.send(("", None, "done"))
