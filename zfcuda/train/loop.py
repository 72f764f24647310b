"""The loop of a run: goes on where it was broken off, learns, validates, keeps."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import time
import warnings
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from zfcuda.complaint import one_line, reason
from zfcuda.files.signals import held
from zfcuda.files.states import digest_of
from zfcuda.models.checkpoints.trained import read_trained, save_trained
from zfcuda.ranks import Ranks, own_device
from zfcuda.train.broken import BrokenPictures
from zfcuda.train.caller import undisturbed
from zfcuda.train.chance import step_seed
from zfcuda.train.checkpoints import Checkpoints
from zfcuda.train.evaluate import Score, evaluate
from zfcuda.train.finite import check_weights
from zfcuda.train.generators import seed_generators
from zfcuda.train.given import check_given
from zfcuda.train.loading import Samples, batches, check_pictures, workers_for
from zfcuda.train.network import Subject, subject
from zfcuda.train.options import OF_THE_START, Options, refuse_unknown
from zfcuda.train.order import Order
from zfcuda.train.pace import Pace
from zfcuda.train.precision import fast_precision
from zfcuda.train.recipes import OF_PARTS, USUAL, recipe
from zfcuda.train.run_folder import RunFolder
from zfcuda.train.saying import opening
from zfcuda.train.seeing import in_memory, preprocess_for, ten_view, view_for, with_model_defaults
from zfcuda.train.sets import Sets, is_parts, read_sets
from zfcuda.train.sets.tree import FolderPart
from zfcuda.train.state import Training
from zfcuda.train.teacher import Teacher
from zfcuda.train.trial import tried
from zfcuda.train.watching import Watch
from zfcuda.train.watching.board import check_board
from zfcuda.version import __version__


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        epoch: of the weights that were kept, those best on validation.
        validation: top-1 accuracy of them.
        test: top-1 accuracy of them on test; None where there is no such part.
        weights: the file.
        facts: all that result.json holds: top-5, by class, the confusion matrix of the test, seconds.
    """

    epoch: int
    validation: float
    test: float | None
    weights: Path
    facts: Mapping[str, Any] = field(repr=False)


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

    The generators of the program that calls it are left as they are.

    Raises:
        TypeError: there is no such option.
        ValueError: naming the option, or what is wrong with the data or the folder, before any work is done.
    """
    ranks = Ranks(str(options.get("device", "cpu")))
    folder = RunFolder(Path(out))
    with undisturbed(), closing(folder), ranks.unbroken("the same command goes on from the last checkpoint"):
        with ranks.alike():
            refuse_unknown(options)
            chosen = with_model_defaults(Options(**options))
            of_parts = is_parts(data) and chosen.model.startswith("zfnet")
            taken = chosen.recipe or (OF_PARTS if of_parts else USUAL)
            chosen = dataclasses.replace(chosen, recipe=taken).completed(recipe(taken).defaults)
            chosen = dataclasses.replace(chosen, device=own_device(chosen.device))
            if chosen.tensorboard:
                check_board()
            sets = read_sets(data, seed=chosen.seed, split=chosen.split)
            _refuse_among_pictures(folder.path, sets)
            if options.get("batch") is None:  # a recipe's batch is for more pictures than some have
                most = max(1, len(sets.train.names) // ranks.count) * ranks.count
                chosen = dataclasses.replace(chosen, batch=min(chosen.batch or 1, most))
            run = Run(sets, folder, chosen, ranks, progress, command, given=options)
        return run.result()


def _refuse_among_pictures(out: Path, sets: Sets) -> None:
    """The next start would take the run's folder for a class."""
    for part in (sets.train, sets.validation, sets.test):
        if isinstance(part, FolderPart) and part.folder.resolve() in (out.resolve(), *out.resolve().parents):
            shown = one_line(os.fspath(part.folder))
            raise ValueError(
                f"out: expected a folder elsewhere than beside the classes in {shown}, got {one_line(os.fspath(out))}"
            )


class Run:
    """One start of a run."""

    def __init__(
        self,
        sets: Sets,
        folder: RunFolder,
        options: Options,
        ranks: Ranks,
        progress: bool,
        command: str,
        *,
        given: Collection[str] = (),
    ) -> None:
        """given: the names of the options that were chosen: none of them may be in vain."""
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
        self.subject: Subject = subject(options, len(sets.classes), sets.classes)
        check_given(given, options, self.subject, self.steps)
        self.unused = tried(self.subject, options, len(sets.classes))
        self.folder.claim(self._config(), bytes_needed=self._bytes_needed(), changing=self._changing())
        self.best: dict[str, Any] = {"epoch": 0, "top1": -1.0, "loss": math.inf}
        self.validated = 0  # epochs
        self.validation = 0.0  # top-1 accuracy after the last of them
        self.cut: int | None = None  # the time of the file that cut the rate last
        self.seconds = 0.0  # of earlier starts
        self.started = time.monotonic()

    def _prepare(self) -> None:
        """What takes long, and a run that is finished needs not."""
        options = self.options
        self.sets = sets = in_memory(self.sets, self.subject, options)
        self.preprocess = preprocess_for(
            self.subject, sets.train, options, ranks=self.ranks, workers=self._workers(), kept=self.folder.path
        )
        view = view_for(self.preprocess, options)
        with self.ranks.alike():
            check_pictures(Samples(sets.train, view, options.seed))
            teacher = None
            if options.teacher is not None:
                teacher = Teacher(options.teacher, sets.classes, torch.device(options.device), self.precision)
                teacher.check(self.preprocess.sides)
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
        with self.ranks.alike():
            done = self._finished() if self.ranks.first else None
        done = self.ranks.of_first(done)
        if done is not None:
            if self.show:
                print(f"{one_line(os.fspath(self.folder.path))}: this run is finished")
            return self._result(done)
        if self.show:
            print(self._opening(), flush=True)
        self._prepare()
        self._resume()
        sets, show = self.sets, self.ranks.first
        self.unread = BrokenPictures("train", sets.train.labels, sets.classes, self.training.broken, show=show)
        self.unread_to_validate = BrokenPictures("validation", sets.validation.labels, sets.classes, {}, show=show)
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
            stop.args = (f"the same command goes on {self._place()}",)
            raise

    def _finished(self) -> dict[str, Any] | None:
        """How the run has ended; None where it has not.

        Raises:
            ValueError: what it left is not there any more.
        """
        done = self.folder.result()
        if done is None:
            return None
        shown = one_line(os.fspath(self.folder.path))
        if not {"epoch", "validation", "test"} <= done.keys():
            raise ValueError(
                f"out: {shown}: its result.json does not say how the run ended; remove it, and the same command ends "
                "the run again"
            )
        if not self.folder.weights.exists():
            raise ValueError(f"out: {shown}: the run is finished, but its {self.folder.weights.name} is gone")
        return done

    def _learn(self, workers: int) -> None:
        """Learns to the end of the last epoch. Where it is interrupted, what a checkpoint keeps is of one moment."""
        training, steps = self.training, self.order.steps
        samples = Samples(self.sets.train, training.view, self.options.seed)
        loader = batches(samples, self.order, training.step, self.steps, workers)
        saved = time.monotonic()
        with closing(self._watch()) as watch:
            loader = watch.timed(loader)
            while self.validated * steps < self.steps:
                if training.step == (self.validated + 1) * steps:
                    self._validate(workers, watch)
                    saved = time.monotonic()
                    if (stop := self.pace.agree().stop) is not None:
                        raise stop
                    continue
                batch = next(loader)
                self.unread.add(batch.broken, len(batch.labels))
                self.unread.check()
                due = time.monotonic() - saved > 60 * self.options.save_minutes
                agreed = self.pace.agree(len(batch.labels), due)
                with held():
                    training.learn(batch, self.order.keys(training.step), agreed.pictures)
                watch.stepped()
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
        if epoch == self.options.epochs:
            return "with the test; all epochs are done"
        return f"in epoch {epoch + 1} of {self.options.epochs}, after step {step} of {self.order.steps}"

    def _opening(self) -> str:
        return opening(
            self.subject,
            self.options,
            title=self.sets.title,
            epoch_steps=self.order.steps,
            precision=self.precision,
            folder=self.folder.path,
        )

    def _resume(self) -> None:
        found = self.ranks.of_first(self.checkpoints.newest() if self.ranks.first else None)
        if found is None:
            with self.ranks.alike():
                self.folder.begin()
            return
        _, state = found
        self.training.load_state(state["training"])
        self.best, self.seconds = state["best"], state["seconds"]
        self.validated, self.cut = state["validated"], state["cut"]
        self.validation = state.get("validation", self.validation)
        self.folder.rewind(self.validated)
        with self.ranks.alike():
            if self.ranks.first:
                if self.training.step == self.validated * self.order.steps and "validation" in state:
                    self._write_epoch()  # a kill may have come before it
                if self.validated and not self.folder.weights.exists():
                    raise ValueError(
                        f"out: {one_line(os.fspath(self.folder.weights))}, of epoch {self.best['epoch']}, the best "
                        "so far, is gone; put it back, or take another folder"
                    )
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
            "validation": self.validation,
        }
        if self.ranks.first:
            self.checkpoints.save(self.training.step, state)

    def _check(self) -> None:
        with self.ranks.alike():
            check_weights(self.training, self.folder.path)

    def _watch(self) -> Watch:
        return Watch(
            self.training,
            self.sets.validation,
            self.preprocess,
            pictures=len(self.sets.train.names),
            steps=self.steps,
            folder=self.folder.path,
            ranks=self.ranks,
            show=self.show,
        )

    def _validate(self, workers: int, watch: Watch) -> None:
        """Validates an epoch. What it changes is changed at once at the end, and saved."""
        self._check()
        training = self.training
        training.alike()
        begun = time.monotonic()
        score = self._score(self.sets.validation, workers)
        self.unread_to_validate.add(score.broken, score.count)
        self.unread_to_validate.check(of_classes=False)
        for broken in self.ranks.gathered(list(training.broken.values())):
            self.unread.add(broken, 0)
        self.unread.check()
        seen = watch.epoch(self.validated + 1, training.kept, time.monotonic() - begun)
        sums = training.total()
        cut = self.ranks.of_first(self._asked_to_cut()) if self.options.schedule == "plateau" else None
        with held():
            row = self._count(score, sums, seen)
            if cut is not None and cut != self.cut:
                for group in training.optimizer.param_groups:
                    group["lr"] *= self.options.factor
                self.cut = cut
            self._save()
            if self.ranks.first:
                self._write_epoch()
            if cut is not None and self.ranks.first:
                self.folder.cut.unlink(missing_ok=True)  # now that it is known to have been followed
        watch.validated(row, self.best)

    def _count(self, score: Score, sums: list[float], seen: dict[str, Any]) -> dict[str, Any]:
        """Takes note of what came of an epoch, and logs it; returns the line of the log."""
        training = self.training
        loss, right, five, count = sums
        training.sums.zero_()
        self.validated += 1
        self.validation = score.top1
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
            "broken": len(training.broken),
            **seen,
            "seconds": round(self.seconds + time.monotonic() - self.started, 1),
        }
        if isinstance(training.schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            training.schedule.step(1 - score.top1)
        better = (score.top1, -score.loss) > (self.best["top1"], -self.best["loss"])
        if better:
            self.best = {"epoch": self.validated, "top1": score.top1, "loss": score.loss}
        self.folder.log(row)
        return row

    def _write_epoch(self) -> None:
        """Writes the weights after an epoch, once the checkpoint that knows of them is there.

        So the next start can write them again, wherever a kill came, and no earlier best is lost to one of a past that
        nobody goes on from.
        """
        if self.best["epoch"] == self.validated:
            self._write(self.folder.weights)
        self._write(self.folder.last)
        if self.validated in (self.options.snapshots or ()):
            self._write(self.folder.snapshot(self.validated))

    def _asked_to_cut(self) -> int | None:
        """When the file was made that cuts the rate by hand, as the paper did; None where there is none."""
        try:
            return self.folder.cut.stat().st_mtime_ns
        except OSError:
            return None

    def _finish(self, workers: int) -> Result:
        training = self.training
        with self.ranks.alike():
            kept = self._best() if self.ranks.first else None
        self.best, kept = self.ranks.of_first((self.best, kept))
        facts: dict[str, Any] = {"epoch": self.best["epoch"], "validation": self.best["top1"], "test": None}
        if self.sets.test is not None:
            own = training.kept.state_dict()
            training.kept.load_state_dict({name: kept[name].to(value) for name, value in own.items()})
            score = self._score(self.sets.test, workers)
            unread = BrokenPictures("test", self.sets.test.labels, self.sets.classes, {}, show=self.ranks.first)
            unread.add(score.broken, score.count)
            by_class = dict(zip(self.sets.classes, score.by_class, strict=True))
            facts |= {"test": score.top1, "test_top5": score.top5, "pictures": score.count, "by_class": by_class}
            facts["confusion"] = score.confusion.tolist()
        facts["seconds"] = round(self.seconds + time.monotonic() - self.started, 1)
        self.folder.finish(facts)
        return self._result(facts)

    def _best(self) -> dict[str, Tensor]:
        """The weights that are the best on validation, as they were written.

        Raises:
            ValueError: they are not there any more, or damaged.
        """
        from safetensors.torch import load_file

        try:
            known, weights = read_trained(self.folder.weights), load_file(self.folder.weights)
            epoch, validation = known.facts["epoch"], known.facts["validation"]  # type: ignore[union-attr]
            if epoch != self.best["epoch"]:
                # A start that was lost with its checkpoints has found better ones, and this one, not bitwise as on a
                # GPU, has not.
                warnings.warn(
                    f"out: {one_line(os.fspath(self.folder.weights))} is of epoch {epoch} of another start, not of "
                    f"epoch {self.best['epoch']}: that is tested",
                    stacklevel=2,
                )
                self.best = {**self.best, "epoch": epoch, "top1": validation}
            return weights
        except Exception as error:  # whatever is wrong with the file
            said = reason(error)
        raise ValueError(
            f"out: {one_line(os.fspath(self.folder.weights))}, the best weights, which are to be tested: {said}; put "
            "the file back, and the same command goes on"
        )

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

    def _write(self, path: Path) -> None:
        facts = {
            "command": self.command,
            "recipe": self.options.recipe,
            "seed": self.options.seed,
            "data": self.sets.title,
            "epoch": self.validated,
            "validation": self.validation,
        }
        try:
            path.parent.mkdir(exist_ok=True)
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
        return Result(facts["epoch"], facts["validation"], facts["test"], self.folder.weights, facts)

    def _workers(self) -> int:
        return workers_for(self.options.workers, self.ranks.count)

    def _config(self) -> dict[str, Any]:
        """What makes a run another one."""
        chosen = {k: v for k, v in dataclasses.asdict(self.options).items() if k not in OF_THE_START}
        weights = self.subject.model.state_dict()
        shapes = hashlib.sha256(repr([(name, list(value.shape)) for name, value in weights.items()]).encode())
        count = sum(value.numel() for value in weights.values())
        return chosen | {
            "data": {"title": self.sets.title, "fingerprint": self.sets.fingerprint, "classes": self.sets.classes},
            "network": f"{len(weights)} tensors of {count:,} numbers ({shapes.hexdigest()[:8]})",
            "files": {name: _digest(getattr(self.options, name)) for name in ("weights", "teacher")},
        }

    def _changing(self) -> dict[str, Any]:
        chosen = {name: getattr(self.options, name) for name in OF_THE_START}
        return chosen | {"processes": self.ranks.count, "zfcuda": __version__, "torch": torch.__version__}

    def _bytes_needed(self) -> int:
        """Weights, moments and average of each checkpoint kept, and one aside; the best, the last, chosen weights."""
        size = sum(each.numel() * each.element_size() for each in self.subject.model.state_dict().values())
        one = size * (1 + (2 if self.options.optimizer == "adamw" else 1) + (1 if self.options.ema else 0))
        snapshots = sum(epoch <= (self.options.epochs or 1) for epoch in self.options.snapshots or ())
        if self.options.teacher_views:  # the answers that are kept
            one += 4 * self.options.teacher_views * len(self.sets.train.labels) * len(self.sets.classes)
        return one * (self.options.keep + 1) + (3 + snapshots) * size


def _digest(named: str | None) -> str | None:
    """The beginning of a file's SHA-256, or of that in the folder of a run; None of what is no file."""
    path = Path(named or "")
    path = path / "weights.safetensors" if path.is_dir() else path
    return digest_of(path)[:16] if named and path.is_file() else None
