"""Results that are written whole or not at all: every draft first, then each to its place."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from zfcuda.files.signals import held

try:
    import fcntl
except ImportError:  # no POSIX: nothing is locked, and no draft of another run is removed
    fcntl = None  # type: ignore[assignment]

_PREFIX = ".draft-zfcuda-"
_PATIENCE = 10.0  # seconds; a run changes the files of a folder in a few milliseconds


class Drafts:
    """A folder of drafts beside the files that they will become; it is gone when the block ends.

    A run holds a lock on its drafts for as long as it lives: drafts that nobody holds are those of dead runs, and are
    removed when the next run begins.

    Attributes:
        path: the folder.

    Raises:
        OSError: (on entry) where it cannot be made.
    """

    path: Path

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = -1

    def __enter__(self) -> Drafts:
        remove_dead(self._folder)
        try:
            with held():
                while self._lock < 0:
                    self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._folder))
                    self._lock = _own(self.path)
        except BaseException:  # a signal that came meanwhile
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._remove()

    def _remove(self) -> None:
        with held():
            if self._lock >= 0:
                shutil.rmtree(self.path, ignore_errors=True)
                os.close(self._lock)
                self._lock = -1

    def place(self, finals: Mapping[Path, Path], gone: Iterable[Path] = (), *, durable: bool = False) -> None:
        """Moves every draft to its place, and removes what is `gone`; where one cannot be, all is as before.

        Args:
            finals: draft -> place. A folder for it is made where there is none.
            gone: files that go with the result that is replaced.
            durable: whether all of it is on the disk when this returns, so that a power cut loses nothing. This
                waits for the disk.

        Raises:
            OSError: the first that the disk raised.
        """
        old = Path(tempfile.mkdtemp(dir=self.path))
        if durable:
            for draft in finals:
                synced(draft)
        before: list[tuple[Path, Path | None]] = []  # place, and the second name of what was there; None: nothing was
        with held():
            try:
                for draft, final in finals.items():
                    if not final.parent.exists():
                        final.parent.mkdir()
                        before.append((final.parent, None))
                    before.append((final, _kept(final, old / str(len(before)))))
                    os.replace(draft, final)
                for path in gone:
                    if path.is_symlink() or path.is_file():
                        kept = old / str(len(before))
                        os.replace(path, kept)
                        before.append((path, kept))
                if durable:
                    for folder in {final.parent for final in finals.values()}:
                        synced(folder)
            except BaseException:
                _put_back(before)
                raise


@contextmanager
def whole(*finals: Path, durable: bool = False) -> Iterator[list[Path]]:
    """Drafts of files of one folder, which take their places together when the block ends without an error.

    Args:
        durable: whether they are on the disk when the block has ended, see `Drafts.place`.

    Yields:
        where to write each, in the same order; a file made there has the rights that every new file has.

    Raises:
        OSError: the disk refuses; earlier files are as before.
    """
    folder = finals[0].parent
    with Drafts(folder) as drafts:
        made = [drafts.path / final.name for final in finals]
        yield made
        if len(finals) == 1:
            drafts.place({made[0]: finals[0]}, durable=durable)
        else:
            with alone(folder):
                drafts.place(dict(zip(made, finals, strict=True)), durable=durable)


def synced(path: Path) -> None:
    """Waits until a file is on the disk, or the names in a folder are.

    Raises:
        OSError: the disk refuses.
    """
    if path.is_dir() and fcntl is None:  # no POSIX: a folder cannot be opened
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that knows no such thing
            raise
    finally:
        os.close(descriptor)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lets one run at a time change the files of a folder that belong together; Ctrl-C waits until it has.

    Raises:
        OSError: another run does not end to change them.
    """
    descriptor = _opened(folder)
    try:
        ends = time.monotonic() + _PATIENCE
        while not _locked(descriptor):
            if time.monotonic() > ends:
                raise OSError(f"another run is writing into {folder}")
            time.sleep(0.01)
        with held():
            yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def remove_dead(folder: Path) -> None:
    """Removes the drafts of runs that have ended without it.

    Raises:
        OSError: the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        drafts = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
    for draft in drafts:
        try:
            descriptor = _opened(draft)
        except OSError:  # just removed, or somebody else's
            continue
        if descriptor is not None:
            try:
                if _locked(descriptor, unsure=False):
                    shutil.rmtree(draft, ignore_errors=True)
            finally:
                os.close(descriptor)


def _kept(final: Path, kept: Path) -> Path | None:
    """A second name for what is in a place; None where there is nothing."""
    if not os.path.lexists(final):
        return None
    if final.is_dir() and not final.is_symlink():
        raise IsADirectoryError(21, "a folder is in the place of a file", str(final))
    try:
        os.link(final, kept, follow_symlinks=False)  # so that the place is never empty
    except (OSError, NotImplementedError):  # a file system without links, a file of somebody else's
        os.replace(final, kept)
    return kept


def _put_back(before: list[tuple[Path, Path | None]]) -> None:
    for place, kept in reversed(before):
        with suppress(OSError):  # as much as can be
            if kept is not None:
                os.replace(kept, place)
            elif place.is_dir():
                place.rmdir()
            else:
                place.unlink(missing_ok=True)


def _own(draft: Path) -> int:
    """A descriptor that locks new drafts; -1 where another run removed them before they were locked."""
    try:
        descriptor = _opened(draft)
    except FileNotFoundError:
        return -1
    if descriptor is None:
        return os.open(os.devnull, os.O_RDONLY)
    try:
        if _locked(descriptor) and os.path.samestat(os.fstat(descriptor), draft.stat()):
            return descriptor
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return -1


def _opened(folder: Path) -> int | None:
    return None if fcntl is None else os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def _locked(descriptor: int | None, *, unsure: bool = True) -> bool:
    """Whether this run now holds the lock; `unsure` is the answer on a file system that knows none."""
    if descriptor is None:
        return unsure
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return unsure
    return True
