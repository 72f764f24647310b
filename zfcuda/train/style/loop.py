"""The loop of a style training: steps, a line of the log now and then, and checkpoints from which nothing is lost."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import Any

from tqdm import tqdm

from zfcuda.complaint import one_line
from zfcuda.files.signals import held
from zfcuda.train.broken import BrokenPictures
from zfcuda.train.checkpoints import Checkpoints
from zfcuda.train.finite import NotFiniteError
from zfcuda.train.loading import Samples, batches
from zfcuda.train.monitoring.bar import patience
from zfcuda.train.order import Order
from zfcuda.train.run_folder import RunFolder
from zfcuda.train.style.state import StyleTraining

_LOGGED = 50  # steps that a line of the log is of
_PARTS = ("loss", "content", "style", "tv")


class StyleLoop:
    """Goes on from the newest checkpoint to the last step.

    Args:
        facts: what the file of weights says of the training.
        show: whether it says how it goes.
    """

    def __init__(
        self,
        training: StyleTraining,
        order: Order,
        samples: Samples,
        folder: RunFolder,
        facts: dict[str, Any],
        *,
        workers: int,
        show: bool,
    ) -> None:
        self.training, self.order, self.samples = training, order, samples
        self.folder, self.facts, self.workers, self.show = folder, facts, workers, show
        self.options = training.options
        self.checkpoints = Checkpoints(folder.checkpoints, self.options.keep)
        self._earlier, self._started = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """What all starts have taken so far."""
        return self._earlier + time.monotonic() - self._started

    def run(self) -> None:
        """Learns to the end.

        Raises:
            KeyboardInterrupt: it was stopped; what is done is saved, and the exception says where it goes on.
            NotFiniteError: the loss of a step was not finite.
            ValueError: the disk refuses, or most pictures cannot be read.
        """
        self._resume()
        try:
            self._learn()
        except KeyboardInterrupt as stop:
            if self.training.whole:
                with suppress(KeyboardInterrupt), held():  # who presses Ctrl-C twice waits all the same
                    self._save()
                stop.args = (f"the same command goes on {self.place()}",)
            else:  # a step was broken off by an error
                stop.args = ("the same command goes on from the last checkpoint",)
            raise

    def place(self) -> str:
        """Where the next start goes on."""
        return f"after step {self.training.step:,} of {self.options.steps:,}"

    def _resume(self) -> None:
        found = self.checkpoints.newest()
        if found is None:
            self.folder.begin()
            return
        state = found[1]
        self.training.load_state(state["training"])
        self._earlier, self._started = state["seconds"], time.monotonic()
        self.folder.rewind(self._epoch)
        if self.show:
            tqdm.write(f"going on {self.place()}", file=sys.stdout)

    @property
    def _epoch(self) -> float:
        return self.training.step / self.order.steps

    def _learn(self) -> None:
        training, steps = self.training, self.options.steps
        broken = BrokenPictures("pictures", self.samples.labels, self.samples.source.classes, training.broken)
        loader = batches(self.samples, self.order, training.step, steps, self.workers)
        saved = time.monotonic()
        with (
            training.loss.watched() as watched,
            tqdm(
                total=steps,
                initial=training.step,
                desc="style",
                unit="step",
                disable=not self.show,
                mininterval=patience(),
                maxinterval=patience(),
            ) as bar,
        ):
            while training.step < steps:
                batch = next(loader)
                broken.add(batch.broken, len(batch.pixels))
                broken.check(of_classes=False)
                with held():
                    training.learn(watched, batch)
                    done = training.step == steps
                    if done or training.step % _LOGGED == 0:
                        bar.set_postfix(self._log(), refresh=False)
                    if done or time.monotonic() - saved > 60 * self.options.save_minutes:
                        self._save()
                        saved = time.monotonic()
                bar.update()

    def _log(self) -> dict[str, float]:
        """Writes a line of the log; returns the parts of the loss."""
        self._check()
        *sums, count = self.training.sums.tolist()
        parts = {name: each / max(1, count) for name, each in zip(_PARTS, sums, strict=True)}
        self.training.sums.zero_()
        row = {"epoch": self._epoch, "step": self.training.step, **parts, "seconds": round(self.seconds, 1)}
        self.folder.log(row)
        return {name: float(f"{value:.3g}") for name, value in parts.items()}

    def _save(self) -> None:
        """Saves a checkpoint, then the weights, which the next start can write again."""
        self._check()
        self.checkpoints.save(self.training.step, {"training": self.training.state(), "seconds": self.seconds})
        self.write()

    def write(self) -> None:
        """Writes the weights as they are.

        Raises:
            ValueError: the disk refuses.
        """
        path = self.folder.weights
        try:
            self.training.network.save(path, {**self.facts, "step": self.training.step})
        except OSError as error:
            said = error.strerror or str(error)
            raise ValueError(f"out: {one_line(os.fspath(path))}: cannot be written to ({said})") from error

    def _check(self) -> None:
        step = int(self.training.diverged)
        if step:
            raise NotFiniteError(
                f"loss: not finite in step {step:,} of {self.options.steps:,}; the last checkpoint is from before, but "
                "the same command would meet it again, as it repeats each step; begin in another --out with a smaller "
                "--rate"
            )
