"""A labelling of labelling: who is at it, what comes next for each, and what they may know by then."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from math import isfinite
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any

from zfcuda.live.label.answers import Answers, labeller_name, labellers
from zfcuda.live.label.compare import Comparison, compare, rows
from zfcuda.live.label.examples import Examples
from zfcuda.live.label.network import NetworkAnswers
from zfcuda.live.label.shown import File, shown_by
from zfcuda.live.label.task import Task

_MOST = 64  # labellers at a time
_LONGEST = 86400.0  # seconds for a picture; who takes longer was away


class Labelling:
    """What the page asks of the server, without the server; as a context.

    A labeller is told neither what a picture is nor what the network says of it before the results are asked for, and
    then of the pictures alone that were answered, whose answers are final.

    Args:
        task: what is asked.
        folder: where answers are kept.
        network: what the network says; None: there is none.
        examples: pictures of each class to learn from; None: there are none.
        labeller: who is at the page; None: the page asks.

    Attributes:
        broken: why a picture is not asked, by its position: it cannot be read.
    """

    def __init__(
        self,
        task: Task,
        folder: Path,
        network: NetworkAnswers | None = None,
        examples: Examples | None = None,
        labeller: str | None = None,
    ) -> None:
        self.task, self.folder, self.network, self.examples = task, folder, network, examples
        self.labeller = None if labeller is None else labeller_name(labeller)
        self.broken: dict[int, str] = {}
        self._shown = shown_by(task.pictures, task.view)
        self._open: dict[str, Answers] = {}
        self._files = ExitStack()
        self._lock = RLock()

    def __enter__(self) -> Labelling:
        if self.labeller is not None:
            self.answers(self.labeller)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._files.close()

    def known(self) -> list[str]:
        """Who may go on: the labellers that have a file here."""
        return labellers(self.folder) if self.labeller is None else [self.labeller]

    def answers(self, labeller: Any) -> Answers:
        """The answers of a labeller, whose file is opened, or made, the first time.

        Raises:
            ValueError: no name, not the one of the command, too many; or as :class:`Answers`.
            OSError: the disk refuses.
        """
        name = labeller_name(labeller)
        if self.labeller is not None and name.casefold() != self.labeller.casefold():
            raise ValueError(f"labeller: expected {self.labeller}, as the command says, got {name}")
        with self._lock:
            own = Answers(self.folder, name, self.task.facts)
            if own.path.name not in self._open:
                if len(self._open) >= _MOST:
                    raise ValueError(f"labeller: expected at most {_MOST} at a time")
                self._open[own.path.name] = self._files.enter_context(self._checked(own))
            return self._open[own.path.name]

    def state(self, labeller: Any) -> dict[str, Any]:
        """What the page has to know: which picture comes next and after that, and how far the labeller is."""
        with self._lock:
            own = self.answers(labeller)
            waiting = self._waiting(own)
            done = sum(name in own.given for name in self.task.pictures.names)
            return {
                "labeller": own.labeller,
                "position": waiting[0] if waiting else None,
                "after": waiting[1] if len(waiting) > 1 else None,
                "answered": done,
                "of": len(self.task.pictures) - len(self.broken),
                "undoable": own.undoable,
                "shown": own.shown,
            }

    def answer(self, labeller: Any, position: Any, answers: Any, seconds: Any) -> dict[str, Any]:
        """Keeps an answer, and gives the state after it.

        Args:
            position: of the picture.
            answers: indices of classes, the likeliest first; none: the labeller does not know.
            seconds: that it took; None where that is unknown.

        Raises:
            ValueError: no such picture or class, one twice, too many, or the picture's answer is final.
            OSError: the disk refuses; nothing has changed.
        """
        names, classes = self.task.pictures.names, self.task.classes
        if not _is_index(position, len(names)):
            raise ValueError(f"position: expected 0 to {len(names) - 1}, got {position!r:.80}")
        most = self.task.answers
        fits = isinstance(answers, list) and all(_is_index(index, len(classes)) for index in answers)
        if not fits or len(answers) > most or len(set(answers)) < len(answers):
            raise ValueError(
                f"answers: expected at most {most} different classes, 0 to {len(classes) - 1}, got {answers!r:.80}"
            )
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool) and isfinite(seconds)
        if seconds is not None and not (number and seconds >= 0):
            raise ValueError(f"seconds: expected a number of at least 0, got {seconds!r:.80}")
        took = None if seconds is None or seconds > _LONGEST else round(float(seconds), 2)
        with self._lock:
            self.answers(labeller).answer(names[position], [classes[index] for index in answers], took)
            return self.state(labeller)

    def undo(self, labeller: Any) -> dict[str, Any]:
        """Takes the newest answer back, whose picture then comes next; gives the state after it.

        Raises:
            OSError: the disk refuses; nothing has changed.
        """
        with self._lock:
            picture = self.answers(labeller).undo()
            found = self.state(labeller)
            position = self.task.positions.get(picture) if picture is not None else None
            if position is not None:  # not the first that waits, where somebody labels in two windows
                found["after"] = found["position"] if found["position"] != position else found["after"]
                found["position"] = position
            return found

    def show(self, labeller: Any) -> dict[str, Any]:
        """Makes the answers so far final, so that they may be looked at.

        Raises:
            ValueError: nothing is answered yet.
            OSError: the disk refuses.
        """
        with self._lock:
            own = self.answers(labeller)
            if not own.given:
                raise ValueError("results: expected an answer first, got none")
            own.show()
            return self.state(labeller)

    def comparison(self, labeller: Any) -> Comparison | None:
        """The labeller's answers beside the network's; None while the network has answered none of these pictures.

        Raises:
            PermissionError: the labeller has not asked for the results.
        """
        own = self.answers(labeller)
        if not own.shown:
            raise PermissionError("the results have not been asked for")
        truth = None if self.task.truth is None else [self.task.classes[label] for label in self.task.truth]
        final = own.final()
        network = None if self.network is None else dict(self.network.found)
        found = rows(self.task.pictures.names, truth, final, network)
        return compare(found, self.task.classes, self.task.answers) if found else None

    def picture(self, position: int) -> File:
        """A picture as the labeller sees it.

        Raises:
            IndexError: there is none of this number.
            ValueError, TypeError: it cannot be read.
        """
        if not 0 <= position < len(self.task.pictures):
            raise IndexError(f"position: expected 0 to {len(self.task.pictures) - 1}, got {position}")
        return self._shown(position)

    def _checked(self, own: Answers) -> Answers:
        """Refuses a file of answers that are none of the classes."""
        with own:
            said = dict.fromkeys(name for record in own.given.values() for name in record["answers"])
        strange = [name for name in said if name not in self.task.classes]
        if strange:
            raise ValueError(
                f"--classes: expected all that {own.labeller} has answered so far, not among them: "
                f"{', '.join(map(repr, strange[:5]))}; give those of before, or another --labeller or --out"
            )
        return own

    def _waiting(self, own: Answers) -> Sequence[int]:
        """The next two pictures that can be shown."""
        found: list[int] = []
        for position, name in enumerate(self.task.pictures.names):
            if name in own.given or position in self.broken:
                continue
            try:
                self._shown(position)
            except (ValueError, TypeError) as error:
                self.broken[position] = str(error)
                continue
            found.append(position)
            if len(found) == 2:
                break
        return found


def _is_index(value: Any, count: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < count
