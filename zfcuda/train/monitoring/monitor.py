"""Shows how a run goes while it goes, and warns: the loop calls it at a few points."""

from __future__ import annotations

import sys
import textwrap
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import nn
from tqdm import tqdm

from zfcuda.complaint import one_line
from zfcuda.data.preprocess import Preprocess
from zfcuda.ranks import Ranks
from zfcuda.train.finite import check_loss
from zfcuda.train.loading import Batch
from zfcuda.train.monitoring import health
from zfcuda.train.monitoring.bar import Bar
from zfcuda.train.monitoring.board import Board
from zfcuda.train.sets import Labelled
from zfcuda.train.state import Training

COLUMNS = 100  # of a terminal that messages fit
_LOOK = 0.5  # seconds between two looks at the loss, for which a GPU is waited for


class Monitor:
    """Shows how a run goes, and warns. Under several processes the first one speaks; all have to make the same calls.

    Args:
        training: what learns, as it is at this start.
        validation: its pictures.
        preprocess: what the network reads.
        steps: of the whole run.
        folder: the run's.
        show: whether there is a bar, and lines on the terminal; else warnings are Python's.
    """

    def __init__(
        self,
        training: Training,
        validation: Labelled,
        preprocess: Preprocess,
        *,
        pictures: int,
        steps: int,
        folder: Path,
        ranks: Ranks,
        show: bool,
    ) -> None:
        self.training, self.ranks, self.folder, self.show = training, ranks, folder, show and ranks.first
        self._validation = validation
        self._layers = health.rectified(training.network, training.frozen)
        self._sample = health.sample_of(validation, preprocess) if self._layers else None
        self._every = health.every(pictures, 0 if self._sample is None else len(self._sample))
        self._told = health.HealthWarnings(health.runaways(training.network))
        self._above = ExitStack()
        if self.show:
            self._above.enter_context(_above_the_bar())
        self._bar = Bar(steps, training.epoch_steps, training.step, show=self.show)
        board = training.options.tensorboard and ranks.first
        self._board = Board(folder / "tensorboard", training.step) if board else None
        self._validation_seconds = 0.0
        self._looked = time.monotonic()
        self._before = training.sums.tolist()  # at the last look
        self._clear()

    def _clear(self) -> None:
        self._steps, self._waiting, self._learning = 0, 0.0, 0.0  # of the epoch
        self._seconds, self._since = 0.0, 0  # of learning, and steps, since the last look

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches, and how long they are waited for."""
        source = iter(batches)
        while True:
            begun = time.monotonic()
            try:
                batch = next(source)
            except StopIteration:
                return
            self._begun = begun
            self._waiting += time.monotonic() - begun
            yield batch

    def stepped(self) -> None:
        """Notes that a step is done.

        Raises:
            NotFiniteError: the loss is not, if this is looked at in this step.
        """
        now = time.monotonic()
        self._steps, self._learning = self._steps + 1, self._learning + now - self._begun
        self._seconds, self._since = self._seconds + now - self._begun, self._since + 1
        self._bar.update(self.training.step)
        if now - self._looked >= _LOOK:
            self._look()
            self._looked = time.monotonic()

    def _look(self) -> None:
        training = self.training
        if self.ranks.count == 1:  # several processes find out together, before they save
            check_loss(training, self.folder)
        sums = training.sums.tolist()
        before = self._before
        if self._board is not None and sums[3] > before[3]:
            self._board.steps(training.step, (sums[0] - before[0]) / (sums[3] - before[3]))
        self._before = sums
        loss, right, five, count = sums
        count = max(1.0, count)
        figures = f"loss {loss / count:.3f}, top-1 {right / count:.1%}"
        if training.classes > 5:
            figures += f", top-5 {five / count:.1%}"
        images = float(training.options.batch or 1)
        self._bar.tell(figures, self._seconds / max(1, self._since), images, self._validation_seconds)
        self._seconds, self._since = 0.0, 0

    def epoch(self, epoch: int, network: nn.Module, seconds: float) -> dict[str, Any]:
        """What a line of the log says of speed and health.

        Args:
            epoch: how many are done.
            network: what was validated.
            seconds: of the validation.
        """
        self._validation_seconds = seconds
        if self._since:
            self._look()
        images = self._steps * (self.training.options.batch or 1)
        row: dict[str, Any] = {
            "images_per_second": round(images / self._learning, 2) if self._learning else None,
            "waiting_seconds": round(self._waiting, 3),
            "learning_seconds": round(self._learning, 3),
            "validation_seconds": round(seconds, 3),
            **self._examined(epoch, network),
        }
        self._clear()
        self._before = [0.0] * 4
        return row

    def _examined(self, epoch: int, network: nn.Module) -> dict[str, int | None]:
        far = health.runaways(self.training.network)
        warned = [self._told.of_runaways(far)]
        units: int | None = None
        if self._sample is not None and epoch % self._every == 0:
            found = health.dead(network, self._sample, self._layers, self.training.precision)
            units = sum(len(each.units) for each in found)
            warned.append(self._told.of_dead(found, len(self._sample)))
        for text in warned:
            if text is not None:
                self.warn(f"epoch {epoch}: {text}")
        return {"dead": units, "runaway": len(far)}

    def validated(self, row: Mapping[str, Any], best: Mapping[str, Any]) -> None:
        """Says what came of an epoch, once it is in the log."""
        training = self.training
        epoch = row["epoch"]
        if self._board is not None:
            self._board.epoch(row)
        if self.show:
            mark = "the best so far" if best["epoch"] == epoch else f"best: {best['top1']:.1%}, epoch {best['epoch']}"
            five = f"top-5 {row['validation_top5']:.1%}; " if training.classes > 5 else ""
            tqdm.write(
                f"epoch {epoch}: loss {row['loss']:.3f}, top-1 {row['top1']:.1%}; "
                f"validation {row['validation_loss']:.3f}, {row['validation_top1']:.1%} "
                f"({five}{mark})"
            )
        chosen = {"rate": training.options.rate, "init": training.options.init}
        hint = health.at_chance(epoch, training.epoch_steps, best["top1"], self._validation.labels, chosen)
        if hint is not None:
            self.warn(hint)

    def warn(self, text: str) -> None:
        """A warning of the process that speaks."""
        if self.ranks.first:
            warnings.warn(text, stacklevel=2)

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()
        self._above.close()
        if self._board is not None:
            self._board.close()


@contextmanager
def _above_the_bar() -> Iterator[None]:
    """Shows Python's warnings above the bar, which stays, in lines that fit a terminal."""
    before = warnings.showwarning

    def show(message: Warning | str, *others: Any, **named: Any) -> None:
        lines = textwrap.wrap(
            f"zfcuda: warning: {one_line(str(message))}",
            COLUMNS,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        with suppress(OSError):  # a full disk under stderr
            tqdm.write("\n".join(lines), file=sys.stderr)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before
