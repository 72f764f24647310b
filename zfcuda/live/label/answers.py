"""What one person said of the pictures: a file to which lines are added alone, each on the disk once confirmed."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

from zfcuda.complaint import one_line
from zfcuda.files.drafts import synced
from zfcuda.files.regular import refusal

try:
    import fcntl
except ImportError:  # no POSIX: nobody is kept out
    fcntl = None  # type: ignore[assignment]

Record = dict[str, Any]

_LONGEST = 40  # letters of a name, which is part of the name of a file
_BEGIN, _END = "answers-", ".jsonl"


def labeller_name(text: Any) -> str:
    """The name of a labeller, as it is shown, and as a file's name can hold it.

    Raises:
        ValueError: it is empty or too long, or holds more than letters, digits, blanks and . _ -.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split()) if isinstance(text, str) else ""
    plain = all(letter.isalnum() or letter in " ._-" for letter in name)
    if not name or len(name) > _LONGEST or not plain or not any(letter.isalnum() for letter in name):
        raise ValueError(
            f"labeller: expected a name of at most {_LONGEST} letters, digits, blanks and . _ -, got {text!r:.80}"
        )
    return name


def labellers(folder: Path) -> list[str]:
    """Who has answered in a folder so far, in alphabetical order."""
    found = []
    for path in sorted(folder.glob(f"{_BEGIN}*{_END}")):
        if not refusal(path):
            with path.open(encoding="utf-8", errors="replace") as file:
                first = file.readline()
            try:
                found.append(labeller_name(json.loads(first)["labeller"]))
            except (ValueError, KeyError, TypeError, RecursionError):  # no file of ours
                continue
    return sorted(found, key=str.casefold)


class Answers:
    """The answers of one labeller, as a context; whoever else opens the same file meanwhile is refused.

    Nothing is ever overwritten: an answer that is given anew is a further line, and one that is taken back, too. What
    was answered before the results were seen stays as it is.

    Args:
        folder: where the file lies.
        labeller: whose.
        facts: what the answers depend on (how many may be given, what is shown); fit for JSON.

    Attributes:
        given: the answer to each picture that counts now, by the picture's name: "answers", class names, the likeliest
            first and none where the person did not know; "seconds"; "at".
        shown: how many were answered when the results were last seen; 0 before.

    Raises:
        ValueError: (on entry) a name that none can have, a file that is damaged, or of other facts.
        OSError: the disk refuses.
    """

    def __init__(self, folder: Path, labeller: str, facts: Record) -> None:
        self.labeller = labeller_name(labeller)
        self.path = folder / f"{_BEGIN}{self.labeller.casefold().replace(' ', '_')}{_END}"
        self._facts = facts
        self._lock = Lock()  # of the threads of this process
        self._file = -1
        self._final: set[str] = set()
        self.given: dict[str, Record] = {}
        self.shown = 0

    def __enter__(self) -> Answers:
        self.given, self.shown, self._final = {}, 0, set()
        reason = refusal(self.path) if self.path.exists() or self.path.is_symlink() else None
        if reason and reason != "an empty file":
            raise ValueError(f"{one_line(str(self.path))}: {reason}")
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            self._alone()
            self._read()
        except BaseException:
            os.close(self._file)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._file)

    def answer(self, picture: str, answers: Sequence[str], seconds: float | None) -> None:
        """Keeps an answer; it is on the disk when this returns.

        Args:
            picture: its name.
            answers: class names, the likeliest first; none: the person does not know.
            seconds: how long it took; None where that is unknown.

        Raises:
            ValueError: the results have been seen, and this was answered before.
            OSError: the disk refuses; nothing has changed.
        """
        with self._lock:
            if picture in self._final:
                raise ValueError("this picture was answered before the results were seen, and its answer stays")
            self._keep({"picture": picture, "answers": list(answers), "seconds": seconds, "at": _now()})

    def undo(self) -> str | None:
        """Takes the newest answer back; the file keeps both. Returns the picture's name, or None: there is none.

        Raises:
            OSError: the disk refuses; nothing has changed.
        """
        with self._lock:
            if not self.undoable:
                return None
            picture = next(reversed(self.given))
            self._keep({"undone": picture, "at": _now()})
            return picture

    @property
    def undoable(self) -> bool:
        """Whether there is an answer that can be taken back."""
        return bool(self.given) and next(reversed(self.given)) not in self._final

    def show(self) -> None:
        """Keeps that the results are seen now; all answers so far are final.

        Raises:
            OSError: the disk refuses.
        """
        with self._lock:
            if self.given.keys() != self._final or not self.shown:
                self._keep({"shown": len(self.given), "at": _now()})

    def final(self) -> dict[str, Record]:
        """The answers that were given before the results were last seen."""
        with self._lock:
            return {picture: record for picture, record in self.given.items() if picture in self._final}

    def _alone(self) -> None:
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"{one_line(str(self.path))}: another zfcuda label has it open; use that one, end it, or "
                    "take another --labeller or --out"
                ) from None
            except OSError:  # a file system that knows no locks
                pass

    def _read(self) -> None:
        with open(self.path, "rb") as file:
            text = file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):  # a line that was never confirmed: the computer lost power meanwhile
            os.ftruncate(self._file, whole)
        lines = text[:whole].decode("utf-8", "replace").splitlines()
        first = {"labeller": self.labeller, **self._facts}
        if not lines:
            self._write(first)
            synced(self.path.parent)
            return
        found = [self._parsed(number, line) for number, line in enumerate(lines, 1)]
        self._check(found[0], first)
        self.labeller = labeller_name(found[0].get("labeller"))  # as it was written first: Ann and ann are one
        for number, record in enumerate(found[1:], 2):
            try:
                self._apply(record)
            except (KeyError, TypeError, ValueError, OverflowError):
                raise self._damaged(number) from None

    def _parsed(self, number: int, line: str) -> Record:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise self._damaged(number)
        return record

    def _damaged(self, number: int) -> ValueError:
        return ValueError(f"{one_line(str(self.path))}: line {number} is damaged; mend or remove it")

    def _check(self, found: Record, wanted: Record) -> None:
        """Refuses the file of an earlier command that asked for something else."""
        for name, value in wanted.items():
            if name != "labeller" and found.get(name) != value:
                raise ValueError(
                    f"{one_line(str(self.path))}: begun with --{name} {found.get(name)}, now it is {value}; give that "
                    "again, or another --labeller or --out"
                )

    def _apply(self, record: Record) -> None:
        if "picture" in record:
            picture = record["picture"]
            answers = record["answers"]
            if not isinstance(answers, list) or not all(isinstance(name, str) for name in [picture, *answers]):
                raise TypeError
            self.given.pop(picture, None)  # the newest is last
            self.given[picture] = record
        elif "undone" in record:
            self.given.pop(record["undone"], None)
        else:
            self.shown = int(record["shown"])
            self._final = set(self.given)

    def _keep(self, record: Record) -> None:
        self._write(record)
        self._apply(record)

    def _write(self, record: Record) -> None:
        line = (json.dumps(record) + "\n").encode("ascii")
        before = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) < len(line):
                raise OSError(28, "no space left for the answer", str(self.path))
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, before)
            raise


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
