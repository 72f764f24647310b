"""The files of weights that a run writes: the best, the last, and the snapshots that were asked for."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from zfcuda.complaint import one_line, reason
from zfcuda.data.preprocess import Preprocess
from zfcuda.models.checkpoints.trained import read_trained, save_trained
from zfcuda.train.network import Subject
from zfcuda.train.options import Options
from zfcuda.train.progress import Progress
from zfcuda.train.run_folder import RunFolder
from zfcuda.train.sets import Sets


@dataclass(frozen=True)
class WeightsFiles:
    """Writes weights and reads the best again: each file has all that :func:`zfcuda.models.load` needs.

    Attributes:
        command: what is written down as the command that made them.
    """

    folder: RunFolder
    subject: Subject
    sets: Sets
    preprocess: Preprocess
    options: Options
    command: str

    def save(self, network: nn.Module, progress: Progress) -> None:
        """Writes the weights after an epoch, once the checkpoint that knows of them is there.

        So the next start can write them again, wherever a kill came, and no earlier best is lost to one of a past that
        nobody goes on from.

        Raises:
            ValueError: the disk refuses.
        """
        if progress.best["epoch"] == progress.validated:
            self._write(self.folder.weights, network, progress)
        self._write(self.folder.last, network, progress)
        if progress.validated in (self.options.snapshots or ()):
            self._write(self.folder.snapshot(progress.validated), network, progress)

    def check(self, progress: Progress) -> None:
        """Refuses to go on without the best weights.

        Raises:
            ValueError: they are gone.
        """
        if progress.validated and not self.folder.weights.exists():
            raise ValueError(
                f"out: {one_line(os.fspath(self.folder.weights))}, of epoch {progress.best['epoch']}, the best "
                "so far, is gone; put it back, or take another folder"
            )

    def best(self, progress: Progress) -> dict[str, Tensor]:
        """The weights that are the best on validation, as they were written; the progress becomes that of the file.

        Raises:
            ValueError: they are not there any more, or damaged.
        """
        from safetensors.torch import load_file

        shown = one_line(os.fspath(self.folder.weights))
        try:
            known, weights = read_trained(self.folder.weights), load_file(self.folder.weights)
            epoch, validation = known.facts["epoch"], known.facts["validation"]  # type: ignore[union-attr]
            if epoch != progress.best["epoch"]:
                # A start that was lost with its checkpoints has found better ones, and this one, not bitwise as on a
                # GPU, has not.
                warnings.warn(
                    f"out: {shown} is of epoch {epoch} of another start, not of epoch {progress.best['epoch']}: "
                    "that is tested",
                    stacklevel=2,
                )
                progress.best = {**progress.best, "epoch": epoch, "top1": validation}
            return weights
        except Exception as error:  # whatever is wrong with the file
            said = reason(error)
        raise ValueError(
            f"out: {shown}, the best weights, which are to be tested: {said}; put the file back, and the same command "
            "goes on"
        )

    def _write(self, path: Path, network: nn.Module, progress: Progress) -> None:
        facts = {
            "command": self.command,
            "recipe": self.options.recipe,
            "seed": self.options.seed,
            "data": self.sets.title,
            "epoch": progress.validated,
            "validation": progress.validation,
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
