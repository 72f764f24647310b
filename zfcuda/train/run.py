"""One start of a run: what is checked before any long work, where it goes on, and how it ends."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch

from zfcuda.complaint import one_line
from zfcuda.ranks import Ranks, own_device
from zfcuda.train.dry_run import dry_run
from zfcuda.train.evaluation import Evaluation
from zfcuda.train.identity import bytes_needed, circumstances, identity
from zfcuda.train.loading import Samples, check_pictures, workers_for
from zfcuda.train.loop import Loop
from zfcuda.train.messages import opening
from zfcuda.train.monitoring.board import check_board
from zfcuda.train.network import Subject, subject
from zfcuda.train.options import Options
from zfcuda.train.order import Order
from zfcuda.train.precision import precision_of
from zfcuda.train.preparation import in_memory, preprocess_for, view_for, with_model_defaults
from zfcuda.train.progress import Progress
from zfcuda.train.recipes import recipe
from zfcuda.train.result import Result
from zfcuda.train.run_folder import RunFolder
from zfcuda.train.sets import Sets, read_sets
from zfcuda.train.state import Training
from zfcuda.train.teacher import Teacher
from zfcuda.train.weights_files import WeightsFiles


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
            if chosen.tensorboard:
                check_board()
            sets = read_sets(data, seed=chosen.seed, split=chosen.split)
            if options.get("batch") is None:  # a recipe's batch is for more pictures than some have
                most = max(1, len(sets.train.names) // ranks.count) * ranks.count
                chosen = dataclasses.replace(chosen, batch=min(chosen.batch or 1, most))
            run = Run(sets, RunFolder(Path(out)), chosen, ranks, show=progress and ranks.first)
        return run.result(command)


class Run:
    """A run that has been checked, in a folder that is its own."""

    def __init__(self, sets: Sets, folder: RunFolder, options: Options, ranks: Ranks, *, show: bool) -> None:
        """show: whether this process says how it goes."""
        self.sets, self.folder, self.options, self.ranks, self.show = sets, folder, options, ranks, show
        self.progress = Progress()
        self.precision = precision_of(options)
        self.order = Order(
            options.seed, len(sets.train.names), options.batch or 1, ranks.rank, ranks.count, options.teacher_views
        )
        self.subject: Subject = subject(options, len(sets.classes))
        self.unused = dry_run(self.subject, options, len(sets.classes))
        model = self.subject.model
        folder.claim(
            identity(options, sets, model),
            bytes_needed=bytes_needed(options, model),
            changing=circumstances(options, ranks.count),
        )

    def result(self, command: str) -> Result:
        """Goes on to the end. command: what made the weights."""
        done = self.ranks.of_first(self.folder.result() if self.ranks.first else None)
        if done is not None:
            if self.show:
                print(f"{one_line(os.fspath(self.folder.path))}: this run is finished")
            return Result.of(done, self.folder.weights)
        if self.show:
            print(self._opening(), flush=True)
        loop = self._prepared(command)
        loop.run()
        try:
            return self._finish(loop.evaluation)
        except KeyboardInterrupt as stop:
            stop.args = ("all epochs are done; the same command goes on with the test",)
            raise

    def _opening(self) -> str:
        return opening(
            self.subject,
            self.options,
            title=self.sets.title,
            epoch_steps=self.order.steps,
            precision=self.precision,
            folder=self.folder.path,
        )

    def _prepared(self, command: str) -> Loop:
        """What takes long, and a run that is finished needs not."""
        options, ranks = self.options, self.ranks
        workers = workers_for(options.workers, ranks.count)
        sets = in_memory(self.sets, self.subject, options)
        preprocess = preprocess_for(
            self.subject, sets.train, options, ranks=ranks, workers=workers, kept=self.folder.path
        )
        view = view_for(preprocess, options)
        samples = Samples(sets.train, view, options.seed)
        with ranks.alike():
            check_pictures(samples)
            teacher = self._teacher(sets)
        training = Training(
            self.subject.model,
            view,
            options,
            steps=self.order.steps * (options.epochs or 1),
            epoch_steps=self.order.steps,
            classes=len(sets.classes),
            precision=self.precision,
            ranks=ranks,
            teacher=teacher,
            unused=self.unused,
        )
        return Loop(
            training,
            self.order,
            samples,
            Evaluation(training, sets, preprocess, ranks=ranks, workers=workers),
            WeightsFiles(self.folder, self.subject, sets, preprocess, options, command),
            self.progress,
            show=self.show,
        )

    def _teacher(self, sets: Sets) -> Teacher | None:
        options = self.options
        if options.teacher is None:
            return None
        teacher = Teacher(options.teacher, sets.classes, torch.device(options.device), self.precision)
        if options.teacher_views:
            teacher.keep(options.teacher_views, len(sets.train.names))
        return teacher

    def _finish(self, evaluation: Evaluation) -> Result:
        best = self.progress.best
        facts: dict[str, Any] = {"epoch": best["epoch"], "validation": best["top1"], "test": None}
        score = evaluation.test(self.folder.weights)
        if score is not None:
            by_class = dict(zip(self.sets.classes, score.by_class, strict=True))
            facts |= {"test": score.top1, "test_top5": score.top5, "pictures": score.count, "by_class": by_class}
            facts["confusion"] = score.confusion.tolist()
        facts["seconds"] = round(self.progress.seconds, 1)
        self.folder.finish(facts)
        return Result.of(facts, self.folder.weights)
