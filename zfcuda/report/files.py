"""Writes a report into a folder, whole or not at all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

from zfcuda.files.drafts import Drafts, alone
from zfcuda.files.regular import refusal
from zfcuda.report.explanation import Explanation
from zfcuda.report.networks import Network, networks_of
from zfcuda.report.page import page
from zfcuda.report.panels import Drawn, draw, sheet
from zfcuda.report.part import Part, part_of
from zfcuda.report.pieces import png
from zfcuda.report.record import versions
from zfcuda.report.reproduce import Asked, reproduction

_STALE = re.compile(r"[\w.-]+\.png")  # the only names that an earlier report can have written


class Folder:
    """A folder that a report will be written to, claimed before the work starts, so that it fails early or not at all.

    All of it is first written beside its final place; only then everything takes its place at once. Until then, and on
    any error, earlier results stay as they are; folders that had to be made are removed again.

    Attributes:
        page: the page that was written; None before.
        parts: the pictures that were added, in their order.

    Raises:
        ValueError: (on entry) where the folder cannot be made or written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.page: Path | None = None
        self.parts: list[Part] = []
        self._made: list[Path] = []
        self._names = count()
        self._drafts = Drafts(self.path)

    def __enter__(self) -> Folder:
        try:
            missing = [p for p in (self.path, *self.path.parents) if not p.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            self._made = missing
            self._drafts.__enter__()
        except (OSError, ValueError) as error:
            self._remove_made()
            raise self._refused(error) from None
        except BaseException:
            self._remove_made()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._drafts.__exit__(kind, error, at)
        self._remove_made()

    def write(self, explanations: Iterable[Explanation], asked: Asked | None = None) -> Path:
        """Adds the explanations and writes the page, as :meth:`add` and :meth:`finish` do."""
        for e in explanations:
            self.add(e)
        return self.finish(asked)

    def add(self, e: Explanation) -> None:
        """Draws what is on the page of one picture, and keeps little of it in memory: the rest lies in drafts.

        Args:
            e: those of one network come one after the other.

        Raises:
            ValueError: where the disk refuses.
        """
        drawn = draw(e)
        try:
            self.parts.append(self._drafted(e, drawn))
        except OSError as error:
            raise self._refused(error) from None

    def _drafted(self, e: Explanation, drawn: Drawn) -> Part:
        stem = free_stem(e.name, {part.stem.casefold() for part in self.parts})
        sheets = {f"{stem}-{plain(name)}.png": picture for name, picture in sheet(e, drawn).items()}
        pictures = {name: self._draft(png(picture)) for name, picture in (drawn.named(stem) | sheets).items()}
        first = not self.parts or self.parts[-1].subject is not e.subject
        return part_of(e, drawn, self._draft(b""), pictures, number=len(self.parts), stem=stem, first=first)

    def finish(self, asked: Asked | None = None) -> Path:
        """Writes index.html, numbers.json and pictures/*.png, and removes the pictures of the report that was there.

        Args:
            asked: what somebody asked for, as the page tells how it is made again; None: what is known anyway.

        Returns:
            The path of the page.

        Raises:
            ValueError: where the disk refuses; earlier results stay.
        """
        made, asked = datetime.now(), asked or Asked(out=str(self.path))
        pictures: dict[str, bytes | Path] = {}
        for part in self.parts:
            pictures |= part.pictures
        networks = networks_of(self.parts)
        for network in networks:
            if network.filters is not None:
                suffix = f"-{network.number + 1}" if network.number else ""
                pictures[f"filters{suffix}.png"] = png(network.filters.panel.image)
        numbers = {
            "network": " and ".join(network.record["title"] for network in networks),
            "made": made.isoformat(timespec="seconds"),
            "versions": versions(),
            "reproduce": reproduction(networks, asked),
            "networks": [network.record for network in networks],
            "files": sorted(pictures),
        }
        files: dict[Path, bytes | Path | Iterable[str]] = {
            Path("pictures", name): content for name, content in pictures.items()
        }
        files[Path("numbers.json")] = _numbers(numbers, networks)
        files[Path("index.html")] = page(networks, made, asked)
        return self.place(files)

    def place(self, files: Mapping[Path, bytes | Path | Iterable[str]]) -> Path:
        """Writes the files of a report, all at once, and removes the pictures of the report that was there.

        Args:
            files: what is in each, or the draft that it is, by its path in the folder: index.html, numbers.json, which
                lists the names of the pictures under "files", and pictures/*.png.

        Returns:
            The path of the page.

        Raises:
            ValueError: where the disk refuses; earlier results stay.
        """
        try:
            return self._placed(files)
        except OSError as error:
            raise self._refused(error) from None

    def _draft(self, content: bytes | Iterable[str]) -> Path:
        draft = self._drafts.path / str(next(self._names))
        if isinstance(content, bytes):
            draft.write_bytes(content)
        else:
            streamed(draft, content)
        return draft

    def _placed(self, files: Mapping[Path, bytes | Path | Iterable[str]]) -> Path:
        drafts = {
            content if isinstance(content, Path) else self._draft(content): self.path / name
            for name, content in files.items()
        }
        with alone(self.path):
            stale = (Path("pictures", name) for name in self._listed())
            self._drafts.place(drafts, [self.path / name for name in stale if name not in files])
            self.page = self.path / "index.html"  # before a signal that was held back ends this
        return self.page

    def _listed(self) -> set[str]:
        """The pictures of the report that is there; nothing else in the folder is ever removed."""
        file = self.path / "numbers.json"
        try:
            listed = json.loads(file.read_text("utf-8"))["files"] if refusal(file) is None else []
            return {name for name in listed if isinstance(name, str) and _STALE.fullmatch(name)}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return set()

    def _refused(self, error: Exception) -> ValueError:
        if self.path.exists() and not self.path.is_dir():
            return ValueError(f"{self.path}: expected a folder, got what is no folder")
        return ValueError(f"{self.path}: cannot be written to ({getattr(error, 'strerror', None) or error})")

    def _remove_made(self) -> None:
        for made in self._made:  # innermost first
            try:
                made.rmdir()
            except OSError:  # there is a report in it
                break


def streamed(path: Path, texts: Iterable[str]) -> None:
    """Writes texts that come one by one into a file."""
    with path.open("wb") as file:
        for text in texts:
            file.write(text.encode())


def _numbers(numbers: Mapping[str, Any], networks: Sequence[Network]) -> Iterator[str]:
    """numbers.json: what is known of the page, then each of its pictures."""
    yield json.dumps(numbers, indent=1).removesuffix("\n}") + ',\n "pictures": ['
    between = ""
    for network in networks:
        for part in network.parts:
            one = json.dumps(part.read()["numbers"] | {"network": network.number}, indent=1)
            yield f"{between}\n{one}".replace("\n", "\n  ")
            between = ","
    yield "\n ]\n}\n"


def free_stem(name: str, taken: Set[str]) -> str:
    """A stem for a picture's files: plain characters only, a number where another has it; some file systems ignore
    case.

    taken: those of the others, casefolded.
    """
    short = stem = plain(Path(name).stem)[:60] or "picture"
    number = 2
    while stem.casefold() in taken:
        stem, number = f"{short}-{number}", number + 1
    return stem


def plain(text: str) -> str:
    """Text in the plain characters that every file system takes."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.")
