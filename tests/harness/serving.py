"""`zfcuda serve` as a process: its address, and its end."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness.orphans import ends_with_parent

ROOT = Path(__file__).resolve().parents[2]
SERVE = (sys.executable, "-m", "zfcuda", "serve", "--no-browser", "--port", "0")


@dataclass(frozen=True)
class Server:
    """A server that runs: the line that it printed, and its process."""

    address: str
    process: subprocess.Popen[str]
    errors: Path

    def said(self) -> str:
        """What stands on standard error so far."""
        return self.errors.read_text(errors="replace").strip()


@contextlib.contextmanager
def serving(*arguments: str, errors: Path, command: Sequence[str] = SERVE, seconds: float = 60) -> Iterator[Server]:
    """Starts a server, waits for the line with its address, and ends it on the way out, by force if it must be."""
    with errors.open("w") as log:
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=ends_with_parent,
        )
    assert process.stdout is not None
    try:
        # Whoever never answers is ended, and his line then is empty.
        alarm = threading.Timer(seconds, process.kill)
        alarm.start()
        line = process.stdout.readline().strip()
        alarm.cancel()
        server = Server(line, process, errors)
        assert line.startswith("http://"), f"{' '.join(command)}: expected an address, got {line!r}; {server.said()}"
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
