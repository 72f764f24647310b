"""The folder of one training: whose it is, what it has logged, where its files are."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist

from zfcuda.complaint import one_line
from zfcuda.files.drafts import whole
from zfcuda.memory.budget import spoken_bytes
from zfcuda.train.log import Log, finite
from zfcuda.train.run_config import check_config, write_config

try:
    import fcntl
except ImportError:  # no POSIX: nothing is locked
    fcntl = None  # type: ignore[assignment]


def writes() -> bool:
    """Whether this process is the one that writes: the first of torch.distributed, or alone."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


class RunFolder:
    """The folder of a training. Under torch.distributed the first process alone writes; the others' calls do nothing.

    Attributes:
        path: the folder.
        config: config.json, what the training is of.
        weights: weights.safetensors, the best on validation.
        last: last.safetensors, the last.
        checkpoints: the folder of the checkpoints.
        snapshots: the folder of the weights after chosen epochs.
        cut: a file that the user makes to cut the learning rate by hand.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.weights = self.path / "weights.safetensors"
        self.last = self.path / "last.safetensors"
        self.checkpoints = self.path / "checkpoints"
        self.snapshots = self.path / "snapshots"
        self.cut = self.path / "cut"
        self._result = self.path / "result.json"
        self._log = Log(self.path / "log.jsonl")
        self._lock: int | None = None

    def claim(self, config: Mapping[str, Any], *, bytes_needed: int, changing: Mapping[str, Any] | None = None) -> None:
        """Makes the folder this process's for as long as it lives, or goes on in it.

        Args:
            config: what the training is of: it is written to config.json, and a folder of another one is refused. What
                JSON can say.
            bytes_needed: of all files that the folder will hold at once.
            changing: what may be another at each start, written beside it the first time and never compared.

        Raises:
            ValueError: the folder is of another training (what differs is named), of another version, holds files of
                unknown origin, is in use, cannot be written to, or its disk has too little space. Nothing was changed.
        """
        if not writes():
            return
        self._check_files()
        if not self._result.exists():
            self._check_space(bytes_needed)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._take()
            if os.path.lexists(self.config):
                check_config(self.config, config)
            else:
                write_config(self.config, config, changing or {})
            self._log.mend()
        except OSError as error:
            raise ValueError(f"out: {self._shown}: cannot be written to ({error.strerror or error})") from error

    def begin(self) -> None:
        """Begins anew, where there is no checkpoint to go on from.

        Raises:
            ValueError: the best weights of an earlier start would be overwritten. Nothing was changed.

        Warns:
            of what is lost: checkpoints that are there, but not whole, and lines of the log.
        """
        if not writes():
            return
        if self.weights.exists():
            raise ValueError(
                f"out: {self._shown} holds {self.weights.name}, but no whole checkpoint to go on from, and to begin "
                f"anew would overwrite it; take another folder, or move {self.weights.name} away"
            )
        lines = len(self.rows())
        damaged = len(list(self.checkpoints.glob("*.safetensors")))
        if damaged or lines > 1:  # one alone may be logged before the first checkpoint
            warnings.warn(
                f"out: {self._shown}: none of {damaged} checkpoints is whole: the run begins anew, and {lines:,} "
                "epochs in its log are lost",
                stacklevel=2,
            )
        self.rewind(0)

    def close(self) -> None:
        """Lets another process have the folder, before this one ends."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def log(self, row: Mapping[str, Any]) -> None:
        """Appends a line to log.jsonl, and waits until it is on the disk.

        To be called before the checkpoint that comes after it is saved: lines that are too many are cut, those that
        are missing are lost.

        Args:
            row: with `epoch`, how many are done. Numbers that are not finite become null, which JSON can say.

        Raises:
            ValueError: the disk refuses; the lines before are there.
        """
        if writes():
            self._log.append(row)

    def snapshot(self, epoch: int) -> Path:
        """The file of the weights after an epoch."""
        return self.snapshots / f"epoch-{epoch:04}.safetensors"

    def rows(self) -> list[dict[str, Any]]:
        """The lines of log.jsonl, in order."""
        return self._log.rows()

    def rewind(self, epoch: float) -> None:
        """Cuts the lines of later epochs off log.jsonl: going on from a checkpoint, they are written once more.

        Raises:
            ValueError: the disk refuses; the lines are as before.
        """
        if writes():
            self._log.cut(epoch)

    def result(self) -> dict[str, Any] | None:
        """What `finish` was given; None before the end.

        Raises:
            ValueError: result.json was changed.
        """
        if not self._result.exists():
            return None
        try:
            found = json.loads(self._result.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ValueError(
                f"out: {one_line(os.fspath(self._result))} is not that of a run; remove it, and the same command ends "
                "the run again"
            )
        return found

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Writes result.json, which says that the training has ended, and how. Numbers that are not finite become null.

        Raises:
            ValueError: the disk refuses; the training has not ended.
        """
        if writes():
            try:
                with whole(self._result, durable=True) as [draft]:
                    draft.write_text(json.dumps(finite(facts), indent=2) + "\n", encoding="utf-8")
            except OSError as error:
                raise ValueError(f"out: {self._shown}: cannot be written to ({error.strerror or error})") from error

    @property
    def _shown(self) -> str:
        return one_line(os.fspath(self.path))

    def _check_files(self) -> None:
        if os.path.lexists(self.path) and not self.path.is_dir():
            raise ValueError(f"out: expected a folder, got a file, {self._shown}")
        for folder in (self.checkpoints, self.snapshots):
            if os.path.lexists(folder) and not folder.is_dir():
                raise ValueError(f"out: expected a folder, got a file, {one_line(os.fspath(folder))}")
        for file in (self.config, self._log.path, self.weights, self.last, self._result):
            if os.path.lexists(file) and not file.is_file():
                raise ValueError(f"out: {one_line(os.fspath(file))} is not a regular file")
        files = [self._log.path, self.weights, self.last, self._result, self.checkpoints]
        if not self.config.exists() and (there := [file.name for file in files if os.path.lexists(file)]):
            raise ValueError(
                f"out: {self._shown} holds {', '.join(there)} without the config.json of a run; take another folder"
            )

    def _check_space(self, needed: int) -> None:
        """What lies there already counts: it is replaced."""
        kept = [*self.checkpoints.glob("*.safetensors"), *self.snapshots.glob("*.safetensors")]
        there = [self.weights, self.last, *kept]
        needed = max(0, needed - sum(file.stat().st_size for file in there if file.is_file()))
        disk = next(folder for folder in (self.path.absolute(), *self.path.absolute().parents) if folder.is_dir())
        free = shutil.disk_usage(disk).free
        if free < needed:
            raise ValueError(
                f"out: {self._shown}: the run needs {spoken_bytes(needed)}, its disk has {spoken_bytes(free)} free"
            )

    def _take(self) -> None:
        """A lock of this process: its children do not have it, so that those of a killed run hold nobody up."""
        if fcntl is None or self._lock is not None:
            return
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            holder = os.read(descriptor, 20).decode(errors="replace").strip()
            os.close(descriptor)
            raise ValueError(f"out: {self._shown}: another process ({holder}) is training in it") from None
        except OSError:  # a file system without locks
            os.close(descriptor)
            return
        self._lock = descriptor
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
