"""One start of a run: what is checked before any long work, where it goes on, and how it ends."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from zfcuda.complaint import one_line
from zfcuda.data.preprocess import Preprocess
from zfcuda.ranks import Ranks, own_device
from zfcuda.train.caller import undisturbed
from zfcuda.train.dry_run import dry_run
from zfcuda.train.evaluation import Evaluation
from zfcuda.train.given import check_given
from zfcuda.train.identity import bytes_needed, circumstances, identity
from zfcuda.train.loading import Samples, check_pictures, workers_for
from zfcuda.train.loop import Loop
from zfcuda.train.messages import opening
from zfcuda.train.monitoring.board import check_board
from zfcuda.train.network import Subject, subject
from zfcuda.train.options import Options, refuse_unknown
from zfcuda.train.order import Order
from zfcuda.train.precision import precision_of
from zfcuda.train.preparation import in_memory, preprocess_for, view_for, with_model_defaults
from zfcuda.train.progress import Progress
from zfcuda.train.recipes import OF_PARTS, USUAL, recipe
from zfcuda.train.result import Result
from zfcuda.train.run_folder import RunFolder
from zfcuda.train.sets import Sets, is_parts, read_sets
from zfcuda.train.sets.tree import FolderPart
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
            run = Run(sets, folder, chosen, ranks, given=options, show=progress and ranks.first)
        return run.result(command)


def _refuse_among_pictures(out: Path, sets: Sets) -> None:
    """The next start would take the run's folder for a class."""
    for part in (sets.train, sets.validation, sets.test):
        if isinstance(part, FolderPart) and part.folder.resolve() in (out.resolve(), *out.resolve().parents):
            shown = one_line(os.fspath(part.folder))
            raise ValueError(
                f"out: expected a folder elsewhere than beside the classes in {shown}, got {one_line(os.fspath(out))}"
            )


class Run:
    """A run that has been checked, in a folder that is its own."""

    def __init__(
        self,
        sets: Sets,
        folder: RunFolder,
        options: Options,
        ranks: Ranks,
        *,
        given: Collection[str] = (),
        show: bool = False,
    ) -> None:
        """Checks the options and claims the folder.

        Args:
            given: the names of the options that were chosen: none of them may be in vain.
            show: whether this process says how it goes.
        """
        self.sets, self.folder, self.options, self.ranks, self.show = sets, folder, options, ranks, show
        self.progress = Progress()
        self.precision = precision_of(options)
        self.order = Order(
            options.seed, len(sets.train.names), options.batch or 1, ranks.rank, ranks.count, options.teacher_views
        )
        self.subject: Subject = subject(options, len(sets.classes), sets.classes)
        check_given(given, options, self.subject, self.order.steps * (options.epochs or 1))
        self.unused = dry_run(self.subject, options, len(sets.classes))
        model = self.subject.model
        folder.claim(
            identity(options, sets, model),
            bytes_needed=bytes_needed(options, sets, model),
            changing=circumstances(options, ranks.count),
        )

    def result(self, command: str) -> Result:
        """Goes on to the end. command: what made the weights."""
        with self.ranks.alike():
            done = self._finished() if self.ranks.first else None
        done = self.ranks.of_first(done)
        if done is not None:
            if self.show:
                print(f"{one_line(os.fspath(self.folder.path))}: this run is finished")
            return Result.of(done, self.folder.weights)
        if self.show:
            print(self._opening(), flush=True)
        loop = self.prepared(command)
        loop.run()
        try:
            return self._finish(loop)
        except KeyboardInterrupt as stop:
            stop.args = (f"the same command goes on {loop.place()}",)
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

    def _opening(self) -> str:
        return opening(
            self.subject,
            self.options,
            title=self.sets.title,
            epoch_steps=self.order.steps,
            precision=self.precision,
            folder=self.folder.path,
        )

    def prepared(self, command: str) -> Loop:
        """Does what takes long, and a run that is finished needs not. command: what made the weights."""
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
            teacher = self._teacher(sets, preprocess)
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

    def _teacher(self, sets: Sets, preprocess: Preprocess) -> Teacher | None:
        options = self.options
        if options.teacher is None:
            return None
        teacher = Teacher(options.teacher, sets.classes, torch.device(options.device), self.precision)
        teacher.check(preprocess.sides)
        if options.teacher_views:
            teacher.keep(options.teacher_views, len(sets.train.names))
        return teacher

    def _finish(self, loop: Loop) -> Result:
        with self.ranks.alike():
            weights = loop.files.best(self.progress) if self.ranks.first else None
        best, weights = self.ranks.of_first((self.progress.best, weights))
        facts: dict[str, Any] = {"epoch": best["epoch"], "validation": best["top1"], "test": None}
        score = loop.evaluation.test(weights)
        if score is not None:
            by_class = dict(zip(self.sets.classes, score.by_class, strict=True))
            facts |= {"test": score.top1, "test_top5": score.top5, "pictures": score.count, "by_class": by_class}
            facts["confusion"] = score.confusion.tolist()
        facts["seconds"] = round(self.progress.seconds, 1)
        self.folder.finish(facts)
        return Result.of(facts, self.folder.weights)
