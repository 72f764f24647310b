"""The loop of a run: steps, a validation after each epoch, and checkpoints from which nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import torch
from tqdm import tqdm

from zfcuda.files.signals import held
from zfcuda.train.broken import BrokenPictures
from zfcuda.train.checkpoints import Checkpoints
from zfcuda.train.evaluate import Score
from zfcuda.train.evaluation import Evaluation
from zfcuda.train.finite import check_weights
from zfcuda.train.loading import Batch, Samples, batches
from zfcuda.train.monitoring import Monitor
from zfcuda.train.order import Order
from zfcuda.train.pace import Pace
from zfcuda.train.progress import Progress
from zfcuda.train.state import Training
from zfcuda.train.weights_files import WeightsFiles


class Loop:
    """Goes on from the newest checkpoint to the end of the last epoch. All processes make the same calls.

    Args:
        samples: the training pictures as they are seen.
        progress: is brought up to date.
        show: whether this process says how it goes.
    """

    def __init__(
        self,
        training: Training,
        order: Order,
        samples: Samples,
        evaluation: Evaluation,
        files: WeightsFiles,
        progress: Progress,
        *,
        show: bool,
    ) -> None:
        self.training, self.order, self.samples = training, order, samples
        self.evaluation, self.files, self.progress, self.show = evaluation, files, progress, show
        self.options, self.ranks, self.folder = training.options, training.ranks, files.folder
        self.steps = order.steps * (self.options.epochs or 1)
        self.pace = Pace(self.ranks)
        self.checkpoints = Checkpoints(self.folder.checkpoints, self.options.keep)

    def run(self) -> None:
        """Learns to the end.

        Raises:
            KeyboardInterrupt: it was stopped; what is done is saved, and the exception says where it goes on.
        """
        self._resume()
        labels, classes = self.samples.labels, self.evaluation.sets.classes
        self.broken = BrokenPictures("train", labels, classes, self.training.broken, show=self.ranks.first)
        with self.pace.kept():
            try:
                with closing(self._monitor()) as monitor:
                    self._learn(monitor)
            except KeyboardInterrupt as stop:
                if self.training.whole:
                    with suppress(KeyboardInterrupt), held():  # who presses Ctrl-C twice waits all the same
                        self._save()
                    stop.args = (f"the same command goes on {self.place()}",)
                else:  # a step was broken off by an error
                    stop.args = ("the same command goes on from the last checkpoint",)
                raise

    def _resume(self) -> None:
        found = self.ranks.of_first(self.checkpoints.newest() if self.ranks.first else None)
        if found is None:
            with self.ranks.alike():
                self.folder.begin()
            return
        _, state = found
        self.training.load_state(state["training"])
        self.progress.load_state(state)
        self.folder.rewind(self.progress.validated)
        with self.ranks.alike():
            if self.ranks.first:
                if self.training.step == self.progress.validated * self.order.steps and "validation" in state:
                    self.files.save(self.training.kept, self.progress)  # a kill may have come before it
                self.files.check(self.progress)
        if self.show:
            tqdm.write(f"going on {self.place()}")

    def place(self) -> str:
        """Where the next start goes on."""
        epoch, step = divmod(self.training.step, self.order.steps)
        if epoch > self.progress.validated:
            return f"with the validation of epoch {epoch}"
        if epoch == self.options.epochs:
            return "with the test; all epochs are done"
        return f"in epoch {epoch + 1} of {self.options.epochs}, after step {step} of {self.order.steps}"

    def _monitor(self) -> Monitor:
        return Monitor(
            self.training,
            self.evaluation.sets.validation,
            self.evaluation.preprocess,
            pictures=len(self.samples.names),
            steps=self.steps,
            folder=self.folder.path,
            ranks=self.ranks,
            show=self.show,
        )

    def _learn(self, monitor: Monitor) -> None:
        """Learns to the end of the last epoch. Where it is interrupted, what a checkpoint keeps is of one moment."""
        training, steps = self.training, self.order.steps
        loader = monitor.timed(batches(self.samples, self.order, training.step, self.steps, self.evaluation.workers))
        saved = time.monotonic()
        while self.progress.validated * steps < self.steps:
            if training.step == (self.progress.validated + 1) * steps:
                self._validate(monitor)
                saved = time.monotonic()
                if (stop := self.pace.agree().stop) is not None:
                    raise stop
            elif self._step(loader, monitor, time.monotonic() - saved > 60 * self.options.save_minutes):
                saved = time.monotonic()

    def _step(self, loader: Iterator[Batch], monitor: Monitor, due: bool) -> bool:
        """Does one step. due: whether this process finds it time for a checkpoint; returns whether one was saved."""
        batch = next(loader)
        self.broken.add(batch.broken, len(batch.labels))
        self.broken.check()
        agreed = self.pace.agree(len(batch.labels), due)
        with held():
            self.training.learn(batch, self.order.keys(self.training.step), agreed.pictures)
        monitor.stepped()
        if agreed.stop is not None:
            raise agreed.stop
        if agreed.save:
            with held():
                self._save()
        return agreed.save

    def _validate(self, monitor: Monitor) -> None:
        """Validates an epoch. What it changes is changed at once at the end, and saved."""
        self._check_weights()
        training = self.training
        training.alike()
        begun = time.monotonic()
        score = self.evaluation.validation()
        for broken in self.ranks.gathered(list(training.broken.values())):
            self.broken.add(broken, 0)
        self.broken.check()
        figures = monitor.epoch(self.progress.validated + 1, training.kept, time.monotonic() - begun)
        sums = training.total()
        cut = self.ranks.of_first(self._asked_to_cut()) if self.options.schedule == "plateau" else None
        with held():
            row = self._count(score, sums, figures)
            if cut is not None and cut != self.progress.cut:
                for group in training.optimizer.param_groups:
                    group["lr"] *= self.options.factor
                self.progress.cut = cut
            self._save()
            if self.ranks.first:
                self.files.save(training.kept, self.progress)
            if cut is not None and self.ranks.first:
                self.folder.cut.unlink(missing_ok=True)  # now that it is known to have been followed
        monitor.validated(row, self.progress.best)

    def _count(self, score: Score, sums: list[float], figures: dict[str, Any]) -> dict[str, Any]:
        """Takes note of what came of an epoch, and logs it; returns the line of the log.

        Args:
            sums: of loss, pictures classified rightly, among the five most probable, and pictures, of all processes.
            figures: what the line says besides.
        """
        training, progress = self.training, self.progress
        training.sums.zero_()
        progress.validate(score)
        loss, top1, top5 = (each / max(1, sums[3]) for each in sums[:3])
        row = {
            "epoch": progress.validated,
            "step": training.step,
            "loss": loss,
            "top1": top1,
            "top5": top5,
            "validation_loss": score.loss,
            "validation_top1": score.top1,
            "validation_top5": score.top5,
            "rate": training.rate,
            "broken": len(training.broken),
            **figures,
            "seconds": round(progress.seconds, 1),
        }
        if isinstance(training.schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            training.schedule.step(1 - score.top1)
        self.folder.log(row)
        return row

    def _asked_to_cut(self) -> int | None:
        """When the file was made that cuts the rate by hand, as the paper did; None where there is none."""
        try:
            return self.folder.cut.stat().st_mtime_ns
        except OSError:
            return None

    def _save(self) -> None:
        self._check_weights()
        state = {"training": self.training.state(), **self.progress.state()}
        if self.ranks.first:
            self.checkpoints.save(self.training.step, state)

    def _check_weights(self) -> None:
        with self.ranks.alike():
            check_weights(self.training, self.folder.path)
