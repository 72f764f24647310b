"""The files of weights that a run writes: the best, the last, and the snapshots that were asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from zfcuda.complaint import one_line
from zfcuda.data.preprocess import Preprocess
from zfcuda.models.checkpoints.trained import save_trained
from zfcuda.train.network import Subject
from zfcuda.train.options import Options
from zfcuda.train.run_folder import RunFolder
from zfcuda.train.sets import Sets


@dataclass(frozen=True)
class WeightsFiles:
    """Writes weights, each file with all that :func:`zfcuda.models.load` needs.

    Attributes:
        command: what is written down as the command that made them.
    """

    folder: RunFolder
    subject: Subject
    sets: Sets
    preprocess: Preprocess
    options: Options
    command: str

    def save(self, network: nn.Module, epoch: int, top1: float, *, best: bool) -> None:
        """Writes the weights after an epoch.

        Args:
            epoch: how many are done.
            top1: on validation.
            best: whether they are the best so far.

        Raises:
            ValueError: the disk refuses.
        """
        if best:
            self._write(self.folder.weights, network, epoch, top1)
        self._write(self.folder.last, network, epoch, top1)
        if epoch in (self.options.snapshots or ()):
            self._write(self.folder.snapshot(epoch), network, epoch, top1)

    def _write(self, path: Path, network: nn.Module, epoch: int, top1: float) -> None:
        facts = {
            "command": self.command,
            "recipe": self.options.recipe,
            "seed": self.options.seed,
            "data": self.sets.title,
            "epoch": epoch,
            "validation": top1,
        }
        try:
            path.parent.mkdir(exist_ok=True)
            save_trained(
                path,
                network,
                network=self.subject.name,
                options=self.subject.options,
                classes=self.sets.classes,
                preprocess=self.preprocess,
                facts=facts,
            )
        except OSError as error:
            said = error.strerror or str(error)
            raise ValueError(f"out: {one_line(os.fspath(path))}: cannot be written to ({said})") from error
