"""The loop of a run: goes on where it was broken off, learns, validates, keeps."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from zfcuda.complaint import one_line
from zfcuda.files.drafts import whole
from zfcuda.models.checkpoints.trained import save_trained
from zfcuda.ranks import Ranks, own_device
from zfcuda.train.checkpoints import Checkpoints
from zfcuda.train.evaluate import Score, evaluate
from zfcuda.train.loading import Batch, Samples, batches, check_pictures
from zfcuda.train.network import Subject, subject, tried
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
        self.order = Order(options.seed, len(sets.train.names), options.batch or 1, self.ranks.rank, self.ranks.count)
        self.steps = self.order.steps * (options.epochs or 1)
        self.subject: Subject = subject(options, len(sets.classes))
        self.unused = tried(self.subject, options, len(sets.classes))
        self.folder.claim(
            self._config(),
            bytes_needed=self._bytes_needed(),
            changing={name: getattr(options, name) for name in OF_THE_START},
        )
        self.best: dict[str, Any] = {"epoch": 0, "top1": -1.0, "loss": math.inf}
        self.seconds = 0.0  # of earlier starts
        self.started = time.monotonic()

    def _prepare(self) -> None:
        """What takes long, and a run that is finished needs not."""
        options, sets = self.options, self.sets
        self.preprocess = preprocess_for(
            self.subject, sets.train, options, ranks=self.ranks, workers=self._workers(), kept=self.folder.path
        )
        with self.ranks.alike():
            teacher = None
            if options.teacher is not None:
                teacher = Teacher(options.teacher, sets.classes, torch.device(options.device), self.precision)
            view = view_for(self.preprocess, options)
            check_pictures(Samples(sets.train, view, options.seed))
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
        if self.ranks.of_first(self.folder.result.exists()):
            if self.show:
                print(f"{one_line(str(self.folder.path))}: this run is finished")
            text = self.ranks.of_first(self.ranks.first and self.folder.result.read_text(encoding="utf-8"))
            return self._result(json.loads(text))
        self._prepare()
        self._resume()
        workers = self._workers()
        samples = Samples(self.sets.train, self.training.view, self.options.seed)
        loader = batches(samples, self.order, self.training.step, self.steps, workers)
        with (
            self.pace.kept(),
            tqdm(total=self.steps, initial=self.training.step, unit="step", disable=not self.show) as bar,
        ):
            try:
                self._learn(loader, workers, bar)
            except KeyboardInterrupt as stop:
                self._save()
                epoch, step = divmod(self.training.step, self.order.steps)
                stop.args = (f"the same command goes on in epoch {epoch + 1}, after step {step} of {self.order.steps}",)
                raise
        return self._finish(workers)

    def _learn(self, loader: Iterator[Batch], workers: int, bar: Any) -> None:
        saved = time.monotonic()
        while self.training.step < self.steps:
            batch = next(loader)
            agreed = self.pace.agree(len(batch.labels), time.monotonic() - saved > 60 * self.options.save_minutes)
            self.training.learn(batch, agreed.pictures)
            bar.update()
            if self.training.step % _SHOWN == 0:
                self._look(bar)
            if self.training.step % self.order.steps == 0:
                self._validate(workers)
            if agreed.stop is not None:
                raise agreed.stop
            if agreed.save or self.training.step % self.order.steps == 0:
                self._save()
                saved = time.monotonic()

    def _resume(self) -> None:
        found = self.ranks.of_first(self.checkpoints.newest() if self.ranks.first else None)
        if found is None:
            self.folder.rewind(0)
            return
        step, state = found
        self.training.load_state(state["training"])
        self.best, self.seconds = state["best"], state["seconds"]
        self.folder.rewind(self.training.step // self.order.steps)
        if self.show:
            tqdm.write(f"going on after step {step} of {self.steps}")

    def _save(self) -> None:
        self._check()
        seconds = self.seconds + time.monotonic() - self.started
        state = {"training": self.training.state(), "best": self.best, "seconds": seconds}
        if self.ranks.first:
            self.checkpoints.save(self.training.step, state)

    def _check(self) -> None:
        loss = float(self.training.sums[0])
        if not math.isfinite(loss):
            raise NotFiniteError(
                f"loss: not finite after step {self.training.step}; the last checkpoint is whole; a smaller --rate or "
                "--clip may help"
            )

    def _look(self, bar: Any) -> None:
        loss, right, five, count = self.training.sums.tolist()
        self._check()
        count = max(1.0, count)
        bar.set_description(f"epoch {self.training.epoch + 1}", refresh=False)
        bar.set_postfix(loss=f"{loss / count:.3f}", top1=f"{right / count:.1%}", top5=f"{five / count:.1%}")

    def _validate(self, workers: int) -> None:
        self._check()
        training = self.training
        training.alike()
        score = self._score(self.sets.validation, workers)
        loss, right, five, count = training.total()
        training.sums.zero_()
        epoch = training.step // self.order.steps
        row = {
            "epoch": epoch,
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
        schedule = training.schedule
        if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            schedule.step(1 - score.top1)
            self._cut()
        better = (score.top1, -score.loss) > (self.best["top1"], -self.best["loss"])
        if better:
            self.best = {"epoch": epoch, "top1": score.top1, "loss": score.loss}
        if self.ranks.first:
            if better:
                self._write(self.folder.weights)
            self._write(self.folder.last)
            self.folder.log(row)
        if self.show:
            tqdm.write(
                f"epoch {epoch}: loss {row['loss']:.3f}, validation {score.top1:.2%} (best {self.best['top1']:.2%})"
            )

    def _cut(self) -> None:
        """A file `cut` in the run's folder cuts the rate by hand, as the paper did."""
        cut = self.folder.path / "cut"
        if self.ranks.of_first(cut.exists()):
            for group in self.training.optimizer.param_groups:
                group["lr"] *= self.options.factor
            if self.ranks.first:
                cut.unlink()

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
        if self.ranks.first:
            with whole(self.folder.result, durable=True) as [draft]:
                draft.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        return self._result(facts)

    def _score(self, source: Any, workers: int) -> Score:
        options = self.options
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
        save_trained(
            path,
            self.training.kept,
            network=self.subject.name,
            options=self.subject.options,
            classes=self.sets.classes,
            preprocess=self.preprocess,
            facts={
                "command": self.command,
                "recipe": self.options.recipe,
                "seed": self.options.seed,
                "data": self.sets.title,
                "epoch": self.best["epoch"],
                "validation": self.best["top1"],
            },
        )

    def _result(self, facts: dict[str, Any]) -> Result:
        return Result(facts["epoch"], facts["validation"], facts["test"], self.folder.weights)

    def _workers(self) -> int:
        if self.options.workers is not None:
            return self.options.workers
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes on this machine
        return min(8, cores // max(1, min(beside, self.ranks.count)))

    def _config(self) -> dict[str, Any]:
        chosen = {k: v for k, v in dataclasses.asdict(self.options).items() if k not in OF_THE_START}
        return chosen | {"data": self.sets.title, "fingerprint": self.sets.fingerprint, "classes": self.sets.classes}

    def _bytes_needed(self) -> int:
        """Weights, moments and average of each checkpoint kept, and one aside; the best and the last weights."""
        size = sum(each.numel() * each.element_size() for each in self.subject.model.state_dict().values())
        one = size * (1 + (2 if self.options.optimizer == "adamw" else 1) + (1 if self.options.ema else 0))
        return one * (self.options.keep + 1) + 3 * size
