"""The file that keeps what a pass has done, so that a killed one goes on: safetensors, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from zfcuda.complaint import one_line
from zfcuda.data.sources import bytes_of
from zfcuda.features.loading import Skipped
from zfcuda.files.drafts import whole
from zfcuda.files.regular import refusal
from zfcuda.files.tensors import save_tensors

_MARK = "zfcuda.features"
# What a state is of -> how it is called where it is of another one.
_WORDS = {
    "of": "another question",
    "pictures": "other pictures (or another preprocess)",
    "model": "another model (or other weights)",
    "layers": "other layers",
    "settings": "other settings",
    "block": "images of another size",
    "sample": "another model (its layers give other values for the first picture)",
}
_TOLERANCE = 0.02  # of the magnitudes in a sample, which rounding changes from one machine to the next


class OtherStateError(ValueError):
    """Raised where a state is of something else."""


@dataclass
class Kept:
    """What is done of a pass.

    Attributes:
        subject: what it is of, by the words of _WORDS.
        answer: the accumulator's state.
        done: bool, for each block.
        skipped: the pictures of the blocks that are done which were left out.
    """

    subject: dict[str, Any]
    answer: dict[str, Tensor]
    done: Tensor
    skipped: list[Skipped] = field(default_factory=list)


class StateFile:
    """A state file, and those beside it that other processes write.

    Raises:
        TypeError, ValueError: the path is none where a file can be written; what is there is no state.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"state: expected the path of a file, got {type(path).__name__}")
        self.path = Path(path)
        self.shown = one_line(os.fspath(path))
        folder = self.path.parent
        if not folder.is_dir():
            raise ValueError(f"state: {self.shown}: there is no folder {one_line(os.fspath(folder))}")
        if not os.access(folder, os.W_OK):
            raise ValueError(f"state: {self.shown}: cannot be written to")
        if os.path.lexists(self.path):
            self._read(self.path)

    def read(self, subject: Mapping[str, Any]) -> list[Kept]:
        """What was done of this subject: the file, then those of the other processes of a killed pass.

        Raises:
            OtherStateError: (a ValueError) the file is of something else.
        """
        found = []
        for path in [self.path, *self.parts]:
            if os.path.lexists(path):
                kept = self._read(path)
                if path == self.path:
                    self._check(kept.subject, subject)
                if all(_same(key, kept.subject, subject) for key in _WORDS):
                    found.append(kept)
        return found

    def write(self, kept: Kept, rank: int = 0) -> None:
        """Writes what a process has done; the first one into the file itself.

        Raises:
            ValueError: the disk refuses; what was there stays.
        """
        path = self.path if rank == 0 else self.path.with_name(f"{self.path.name}.part{rank}")
        tensors = {f"answer.{name}": value.detach().cpu().contiguous() for name, value in kept.answer.items()}
        tensors["done"] = kept.done.to(torch.uint8)
        skipped = [[each.index, each.name, each.reason] for each in kept.skipped]
        known = {"is": _MARK, "subject": json.dumps(kept.subject), "skipped": json.dumps(skipped)}
        try:
            with whole(path) as [draft]:
                save_tensors(tensors, draft, known)
        except (OSError, SafetensorError) as error:
            said = getattr(error, "strerror", None) or error
            raise ValueError(f"state: {self.shown}: cannot be written to ({said})") from None

    def remove_parts(self) -> None:
        """Removes the files of the other processes, whose work the file itself has now."""
        for path in self.parts:
            path.unlink(missing_ok=True)

    @property
    def parts(self) -> list[Path]:
        """The files of other processes."""
        beginning = f"{self.path.name}.part"
        try:
            names = [name for name in os.listdir(self.path.parent) if name.startswith(beginning)]
        except OSError:
            return []
        ranks = sorted(int(name.removeprefix(beginning)) for name in names if name.removeprefix(beginning).isdecimal())
        return [self.path.with_name(f"{beginning}{rank}") for rank in ranks]

    def _read(self, path: Path) -> Kept:
        why = refusal(path)
        if why is None:
            try:
                with safe_open(path, framework="pt") as file:
                    known = file.metadata() or {}
                    if known.get("is") == _MARK:
                        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                        answer = {
                            name.removeprefix("answer."): value for name, value in tensors.items() if name != "done"
                        }
                        skipped = [Skipped(*each) for each in json.loads(known["skipped"])]
                        return Kept(json.loads(known["subject"]), answer, tensors["done"].bool(), skipped)
                why = "a safetensors file, but none with what was done of a pass over pictures"
            except (SafetensorError, KeyError, TypeError, ValueError, OSError):
                why = "not a file with what was done of a pass over pictures"
        raise ValueError(f"state: {one_line(os.fspath(path))}: {why}; it is left as it is: name another file")

    def _check(self, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
        for key, words in _WORDS.items():
            if not _same(key, there, here):
                raise OtherStateError(
                    f"state: {self.shown} is of {words}{_difference(there.get(key), here.get(key))}; "
                    "name another file, or remove this one"
                )


def _same(key: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Whether two subjects agree in one of the words of _WORDS."""
    one, other = there.get(key), here.get(key)
    if key != "sample" or one is None or other is None or len(one) != len(other):
        return bool(one == other)
    return all(
        torch.allclose(
            torch.tensor(a), torch.tensor(b), rtol=0, atol=_TOLERANCE * max(map(abs, (*a, *b))), equal_nan=True
        )
        for a, b in zip(one, other, strict=True)
    )


def _difference(there: Any, here: Any) -> str:
    """What differs, where that can be said in a few words."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
        return f": {keys[0]} {there.get(keys[0])}, not {here.get(keys[0])}" if keys else ""
    if isinstance(there, list) and isinstance(here, list) and all(isinstance(each, str) for each in there + here):
        return f": {', '.join(map(str, there))}, not {', '.join(map(str, here))}"
    return ""


def model_fingerprint(model: nn.Module) -> str:
    """Tells other modules, and other numbers in parameters and buffers. model: unwrapped."""
    known = hashlib.sha256(repr(model).encode())
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        known.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        known.update(bytes_of(value))
    return known.hexdigest()
