"""The newest states of a long computation, in a folder: whole or not there, checked when they are read.

They know nothing of what they hold.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from zfcuda.complaint import one_line, reason
from zfcuda.files.drafts import Drafts, remove_dead, synced
from zfcuda.files.states import digest_of, read_state, write_state

_NAME = re.compile(r"(\d{9,})-([0-9a-f]{16})\.safetensors")


class _File(NamedTuple):
    step: int
    digest: str
    path: Path


class Checkpoints:
    """States by step, ``000000120-0f1e2d3c4b5a6978.safetensors``: the step, and the beginning of the file's SHA-256.

    Args:
        folder: where they are; it is made by the first one.
        keep: how many are kept.

    Raises:
        ValueError: keep is below 1.
    """

    def __init__(self, folder: Path, keep: int = 3) -> None:
        if keep < 1:
            raise ValueError(f"keep: expected at least 1, got {keep}")
        self.folder = Path(folder)
        self.keep = keep

    def save(self, step: int, state: Mapping[str, Any]) -> Path:
        """Writes a state, and removes those before it which are too many, and those of later steps: of another past.

        At every moment, that of a power cut too, the states before it are there whole, or it is.

        Args:
            step: how far the computation is, at least 0.
            state: nested dicts, lists and tuples of tensors, numbers, strings, bools, None and bytes; see
                `zfcuda.files.states.write_state`.

        Returns:
            the file.

        Raises:
            TypeError: something else is in the state.
            ValueError: the disk refuses; all earlier ones are there.
        """
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True, exist_ok=True)
                synced(self.folder.parent)
            with Drafts(self.folder) as drafts:
                draft = drafts.path / "state"
                digest = write_state(draft, dict(state))
                path = self.folder / f"{step:09d}-{digest[:16]}.safetensors"
                drafts.place({draft: path}, durable=True)
            files = self._files()
        except OSError as error:
            raise ValueError(
                f"checkpoints: {_shown(self.folder)}: cannot be written to ({error.strerror or error}); "
                "the earlier ones are there"
            ) from error
        before = [file for file in files if file.step < step]
        for file in [*before[self.keep - 1 :], *(file for file in files if file.step >= step)]:
            if file.path != path:
                with suppress(OSError):
                    file.path.unlink()
        return path

    def newest(self) -> tuple[int, dict[str, Any]] | None:
        """Reads the newest state that is whole; None where there is none. Drafts of killed runs are removed.

        Warns:
            of each newer one that is damaged or cannot be read, by name.
        """
        if not self.folder.is_dir():
            return None
        with suppress(OSError):
            remove_dead(self.folder)
        for file in self._files():
            try:
                if digest_of(file.path).startswith(file.digest):
                    return file.step, read_state(file.path)
                why = "damaged (its checksum is another)"
            except Exception as error:  # whatever is wrong with it, an earlier one may be whole
                why = f"cannot be read ({reason(error)})"
            warnings.warn(f"checkpoint passed over: {_shown(file.path)} is {why}", stacklevel=2)
        return None

    def _files(self) -> list[_File]:
        """The newest first; of several of a step, that which was written last."""
        with os.scandir(self.folder) as entries:
            found = [(match, entry) for entry in entries if (match := _NAME.fullmatch(entry.name))]
        dated = [(int(match[1]), entry.stat().st_mtime_ns, match[2], Path(entry.path)) for match, entry in found]
        return [_File(step, digest, path) for step, _, digest, path in sorted(dated, reverse=True)]


def _shown(path: Path) -> str:
    return one_line(os.fspath(path))
