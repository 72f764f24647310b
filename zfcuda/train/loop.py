"""The loop of a run: goes on where it was broken off, learns, validates, keeps."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from zfcuda.complaint import one_line
from zfcuda.files.signals import held
from zfcuda.models.checkpoints.trained import save_trained
from zfcuda.ranks import Ranks, own_device
from zfcuda.train.chance import step_seed
from zfcuda.train.checkpoints import Checkpoints
from zfcuda.train.evaluate import Score, evaluate
from zfcuda.train.generators import seed_generators
from zfcuda.train.loading import Samples, batches, check_pictures
from zfcuda.train.network import Subject, subject
from zfcuda.train.options import OF_THE_START, Options
from zfcuda.train.order import Order
from zfcuda.train.pace import Pace
from zfcuda.train.precision import fast_precision
from zfcuda.train.recipes import recipe
from zfcuda.train.run_folder import RunFolder
from zfcuda.train.seeing import preprocess_for, ten_view, view_for, with_model_defaults
from zfcuda.train.sets import Sets, read_sets
from zfcuda.train.state import Training
from zfcuda.train.teacher import Teacher
from zfcuda.train.trial import tried
from zfcuda.version import __version__

_SHOWN = 10  # steps between two looks at the loss, which a GPU must be waited for


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        epoch: of the weights that were kept, those best on validation.
        validation: top-1 accuracy of them.
        test: top-1 accuracy of them on test; None where there is no such part.
        weights: the file.
    """

    epoch: int
    validation: float
    test: float | None
    weights: Path


class NotFiniteError(ValueError):
    """Raised where the loss is not finite."""


def train(
    data: Any, out: str | os.PathLike[str], *, progress: bool = False, command: str = "", **options: Any
) -> Result:
    """Trains a network, or goes on where the same call was broken off.

    Args:
        data: a folder with train/, validation/ and test/ of class folders, or of class folders, which are split;
            "parts" or zfcuda.data.Parts; "module:attribute", torch Datasets.
        out: the run's folder.
        progress: shows a bar with the time left.
        command: what is written down as the command that made the weights.
        options: of :class:`Options`.

    Raises:
        ValueError: naming the option, or what is wrong with the data or the folder, before any work is done.
    """
    ranks = Ranks(str(options.get("device", "cpu")))
    with ranks.unbroken("the same command goes on from the last checkpoint"):
        with ranks.alike():
            chosen = with_model_defaults(Options(**options))
            chosen = chosen.completed(recipe(chosen.recipe).defaults)
            chosen = dataclasses.replace(chosen, device=own_device(chosen.device))
            sets = read_sets(data, seed=chosen.seed, split=chosen.split)
            run = Run(sets, RunFolder(Path(out)), chosen, ranks, progress, command)
        return run.result()


class Run:
    """One start of a run."""

    def __init__(
        self, sets: Sets, folder: RunFolder, options: Options, ranks: Ranks, progress: bool, command: str
    ) -> None:
        self.sets, self.folder, self.options, self.command = sets, folder, options, command
        self.ranks, self.pace = ranks, Pace(ranks)
        self.show = progress and self.ranks.first
        self.precision = (
            fast_precision(options.device)
            if options.precision == "auto"
            else getattr(torch, options.precision or "float32")
        )
        self.order = Order(
            options.seed,
            len(sets.train.names),
            options.batch or 1,
            self.ranks.rank,
            self.ranks.count,
            options.teacher_views,
        )
        self.steps = self.order.steps * (options.epochs or 1)
        self.subject: Subject = subject(options, len(sets.classes))
        self.unused = tried(self.subject, options, len(sets.classes))
        self.folder.claim(self._config(), bytes_needed=self._bytes_needed(), changing=self._changing())
        self.best: dict[str, Any] = {"epoch": 0, "top1": -1.0, "loss": math.inf}
        self.validated = 0  # epochs
        self.cut: int | None = None  # the time of the file that cut the rate last
        self.seconds = 0.0  # of earlier starts
        self.started = time.monotonic()

    def _prepare(self) -> None:
        """What takes long, and a run that is finished needs not."""
        options, sets = self.options, self.sets
        self.preprocess = preprocess_for(
            self.subject, sets.train, options, ranks=self.ranks, workers=self._workers(), kept=self.folder.path
        )
        view = view_for(self.preprocess, options)
        with self.ranks.alike():
            check_pictures(Samples(sets.train, view, options.seed))
            teacher = None
            if options.teacher is not None:
                teacher = Teacher(options.teacher, sets.classes, torch.device(options.device), self.precision)
                if options.teacher_views:
                    teacher.keep(options.teacher_views, len(sets.train.names))
        self.training = Training(
            self.subject.model,
            view,
            options,
            steps=self.steps,
            epoch_steps=self.order.steps,
            classes=len(sets.classes),
            precision=self.precision,
            ranks=self.ranks,
            teacher=teacher,
            unused=self.unused,
        )
        self.checkpoints = Checkpoints(self.folder.checkpoints, options.keep)

    def result(self) -> Result:
        """Goes on to the end."""
        done = self.ranks.of_first(self.folder.result() if self.ranks.first else None)
        if done is not None:
            if self.show:
                print(f"{one_line(os.fspath(self.folder.path))}: this run is finished")
            return self._result(done)
        self._prepare()
        self._resume()
        workers = self._workers()
        with self.pace.kept():
            try:
                self._learn(workers)
            except KeyboardInterrupt as stop:
                if self.training.whole:
                    with suppress(KeyboardInterrupt), held():  # who presses Ctrl-C twice waits all the same
                        self._save()
                    stop.args = (f"the same command goes on {self._place()}",)
                else:  # a step was broken off by an error
                    stop.args = ("the same command goes on from the last checkpoint",)
                raise
        try:
            return self._finish(workers)
        except KeyboardInterrupt as stop:
            stop.args = ("all epochs are done; the same command goes on with the test",)
            raise

    def _learn(self, workers: int) -> None:
        """Learns to the end of the last epoch. Where it is interrupted, what a checkpoint keeps is of one moment."""
        training, steps = self.training, self.order.steps
        samples = Samples(self.sets.train, training.view, self.options.seed)
        loader = batches(samples, self.order, training.step, self.steps, workers)
        saved = time.monotonic()
        with tqdm(total=self.steps, initial=training.step, unit="step", disable=not self.show) as bar:
            while self.validated * steps < self.steps:
                if training.step == (self.validated + 1) * steps:
                    self._validate(workers)
                    saved = time.monotonic()
                    if (stop := self.pace.agree().stop) is not None:
                        raise stop
                    continue
                batch = next(loader)
                due = time.monotonic() - saved > 60 * self.options.save_minutes
                agreed = self.pace.agree(len(batch.labels), due)
                with held():
                    training.learn(batch, self.order.keys(training.step), agreed.pictures)
                bar.update()
                if training.step % _SHOWN == 0:
                    self._look(bar)
                if agreed.stop is not None:
                    raise agreed.stop
                if agreed.save:
                    with held():
                        self._save()
                    saved = time.monotonic()

    def _place(self) -> str:
        epoch, step = divmod(self.training.step, self.order.steps)
        if epoch > self.validated:
            return f"with the validation of epoch {epoch}"
        return f"in epoch {epoch + 1} of {self.options.epochs}, after step {step} of {self.order.steps}"

    def _resume(self) -> None:
        found = self.ranks.of_first(self.checkpoints.newest() if self.ranks.first else None)
        if found is None:
            self.folder.rewind(0)
            return
        _, state = found
        self.training.load_state(state["training"])
        self.best, self.seconds = state["best"], state["seconds"]
        self.validated, self.cut = state["validated"], state["cut"]
        self.folder.rewind(self.validated)
        if self.show:
            tqdm.write(f"going on {self._place()}")

    def _save(self) -> None:
        self._check()
        state = {
            "training": self.training.state(),
            "best": self.best,
            "seconds": self.seconds + time.monotonic() - self.started,
            "validated": self.validated,
            "cut": self.cut,
        }
        if self.ranks.first:
            self.checkpoints.save(self.training.step, state)

    def _check(self) -> None:
        loss = self.ranks.summed([float(self.training.sums[0])])[0]
        if not math.isfinite(loss):
            with self.ranks.alike():  # the first process alone tells
                raise NotFiniteError(
                    f"loss: not finite after step {self.training.step}; the last checkpoint is whole; a smaller --rate "
                    "or --clip may help"
                )

    def _look(self, bar: Any) -> None:
        loss, right, five, count = self.training.sums.tolist()
        self._check()
        count = max(1.0, count)
        bar.set_description(f"epoch {self.training.epoch + 1}", refresh=False)
        bar.set_postfix(loss=f"{loss / count:.3f}", top1=f"{right / count:.1%}", top5=f"{five / count:.1%}")

    def _validate(self, workers: int) -> None:
        """Validates an epoch. What it changes is changed at once at the end, and saved."""
        self._check()
        training = self.training
        training.alike()
        score = self._score(self.sets.validation, workers)
        sums = training.total()
        cut = self.ranks.of_first(self._asked_to_cut()) if self.options.schedule == "plateau" else None
        with held():
            self._count(score, sums)
            if cut is not None and cut != self.cut:
                for group in training.optimizer.param_groups:
                    group["lr"] *= self.options.factor
                self.cut = cut
            self._save()
            if cut is not None and self.ranks.first:
                self.folder.cut.unlink(missing_ok=True)  # now that it is known to have been followed
        if self.show:
            tqdm.write(
                f"epoch {self.validated}: validation {score.top1:.2%} (best {self.best['top1']:.2%}, "
                f"epoch {self.best['epoch']})"
            )

    def _count(self, score: Score, sums: list[float]) -> None:
        """Keeps what came of an epoch: the best weights, the last, a line of the log."""
        training = self.training
        loss, right, five, count = sums
        training.sums.zero_()
        self.validated += 1
        row = {
            "epoch": self.validated,
            "step": training.step,
            "loss": loss / max(1, count),
            "top1": right / max(1, count),
            "top5": five / max(1, count),
            "validation_loss": score.loss,
            "validation_top1": score.top1,
            "validation_top5": score.top5,
            "rate": training.rate,
            "broken": len(training.all_broken()),
            "seconds": round(self.seconds + time.monotonic() - self.started, 1),
        }
        if isinstance(training.schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            training.schedule.step(1 - score.top1)
        better = (score.top1, -score.loss) > (self.best["top1"], -self.best["loss"])
        if better:
            self.best = {"epoch": self.validated, "top1": score.top1, "loss": score.loss}
        if self.ranks.first:
            if better:
                self._write(self.folder.weights, score)
            self._write(self.folder.last, score)
            self.folder.log(row)

    def _asked_to_cut(self) -> int | None:
        """When the file was made that cuts the rate by hand, as the paper did; None where there is none."""
        try:
            return self.folder.cut.stat().st_mtime_ns
        except OSError:
            return None

    def _finish(self, workers: int) -> Result:
        training = self.training
        facts: dict[str, Any] = {"epoch": self.best["epoch"], "validation": self.best["top1"], "test": None}
        if self.sets.test is not None:
            from safetensors.torch import load_file

            kept = self.ranks.of_first(load_file(self.folder.weights) if self.ranks.first else None)
            own = training.kept.state_dict()
            training.kept.load_state_dict({name: kept[name].to(value) for name, value in own.items()})
            score = self._score(self.sets.test, workers)
            by_class = dict(zip(self.sets.classes, score.by_class, strict=True))
            facts |= {"test": score.top1, "test_top5": score.top5, "pictures": score.count, "by_class": by_class}
            facts["confusion"] = score.confusion.tolist()
        facts["seconds"] = round(self.seconds + time.monotonic() - self.started, 1)
        self.folder.finish(facts)
        return self._result(facts)

    def _score(self, source: Any, workers: int) -> Score:
        options = self.options
        # What a network draws as eval too: the same, however often an evaluation was broken off.
        seed_generators(step_seed(options.seed, self.training.step, self.ranks.rank))
        ten = ten_view(self.preprocess) if options.views == 10 else None
        return evaluate(
            self.training.kept,
            source,
            self.preprocess,
            len(self.sets.classes),
            ten=ten,
            device=options.device,
            precision=self.precision,
            workers=workers,
            ranks=self.ranks,
        )

    def _write(self, path: Path, score: Score) -> None:
        facts = {
            "command": self.command,
            "recipe": self.options.recipe,
            "seed": self.options.seed,
            "data": self.sets.title,
            "epoch": self.validated,
            "validation": score.top1,
        }
        try:
            save_trained(
                path,
                self.training.kept,
                network=self.subject.name,
                options=self.subject.options,
                classes=self.sets.classes,
                preprocess=self.preprocess,
                facts=facts,
            )
        except OSError as error:
            said = error.strerror or str(error)
            raise ValueError(f"out: {one_line(os.fspath(path))}: cannot be written to ({said})") from error

    def _result(self, facts: dict[str, Any]) -> Result:
        return Result(facts["epoch"], facts["validation"], facts["test"], self.folder.weights)

    def _workers(self) -> int:
        if self.options.workers is not None:
            return self.options.workers
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes on this machine
        return min(8, cores // max(1, min(beside, self.ranks.count)))

    def _config(self) -> dict[str, Any]:
        """What makes a run another one."""
        chosen = {k: v for k, v in dataclasses.asdict(self.options).items() if k not in OF_THE_START}
        weights = self.subject.model.state_dict()
        shapes = hashlib.sha256(repr([(name, list(value.shape)) for name, value in weights.items()]).encode())
        count = sum(value.numel() for value in weights.values())
        return chosen | {
            "data": {"title": self.sets.title, "fingerprint": self.sets.fingerprint, "classes": self.sets.classes},
            "network": f"{len(weights)} tensors of {count:,} numbers ({shapes.hexdigest()[:8]})",
        }

    def _changing(self) -> dict[str, Any]:
        chosen = {name: getattr(self.options, name) for name in OF_THE_START}
        return chosen | {"processes": self.ranks.count, "zfcuda": __version__, "torch": torch.__version__}

    def _bytes_needed(self) -> int:
        """Weights, moments and average of each checkpoint kept, and one aside; the best and the last weights."""
        size = sum(each.numel() * each.element_size() for each in self.subject.model.state_dict().values())
        one = size * (1 + (2 if self.options.optimizer == "adamw" else 1) + (1 if self.options.ema else 0))
        return one * (self.options.keep + 1) + 3 * size
