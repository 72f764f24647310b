"""Writes a report into a folder, whole or not at all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType

from PIL import Image

from zfcuda.files.drafts import Drafts, alone
from zfcuda.files.regular import refusal
from zfcuda.report.explanation import Explanation
from zfcuda.report.networks import networks_of
from zfcuda.report.numbers import numbers_of
from zfcuda.report.page import page
from zfcuda.report.panels import draw, sheet
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

    Raises:
        ValueError: (on entry) where the folder cannot be made or written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.page: Path | None = None
        self._made: list[Path] = []
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

    def write(self, explanations: Sequence[Explanation], asked: Asked | None = None) -> Path:
        """Writes index.html, numbers.json and pictures/*.png, and removes the pictures of the report that was there.

        Args:
            explanations: one per picture; those of one network one after the other.
            asked: what somebody asked for, as the page tells how it is made again; None: what is known anyway.

        Returns:
            The path of the page.

        Raises:
            ValueError: where the disk refuses; earlier results stay.
        """
        made, asked = datetime.now(), asked or Asked(out=str(self.path))
        drawn = [draw(e) for e in explanations]
        pictures: dict[str, Image.Image] = {}
        names = stems([e.name for e in explanations])
        for e, panels, stem in zip(explanations, drawn, names, strict=True):
            sheets = {f"{stem}-{plain(k)}.png": v for k, v in sheet(e, panels).items()}
            pictures |= panels.named(stem) | sheets
        networks = networks_of(explanations)
        for network in networks:
            if network.filters is not None:
                suffix = f"-{network.number + 1}" if network.number else ""
                pictures[f"filters{suffix}.png"] = network.filters.panel.image
        numbers = {
            "network": " and ".join(network.record["title"] for network in networks),
            "made": made.isoformat(timespec="seconds"),
            "versions": versions(),
            "reproduce": reproduction(networks, asked),
            "networks": [network.record for network in networks],
            "files": sorted(pictures),
            "pictures": [numbers_of(e) | {"network": n.number} for n in networks for e in n.explanations],
        }
        files = {Path("pictures", name): png(picture) for name, picture in pictures.items()}
        files[Path("numbers.json")] = (json.dumps(numbers, indent=1) + "\n").encode()
        files[Path("index.html")] = page(networks, drawn, names, made, asked).encode()
        return self.place(files)

    def place(self, files: dict[Path, bytes]) -> Path:
        """Writes the files of a report, all at once, and removes the pictures of the report that was there.

        Args:
            files: what is in each, by its path in the folder: index.html, numbers.json, which lists the names of the
                pictures under "files", and pictures/*.png.

        Returns:
            The path of the page.

        Raises:
            ValueError: where the disk refuses; earlier results stay.
        """
        try:
            return self._placed(files)
        except OSError as error:
            raise self._refused(error) from None

    def _placed(self, files: dict[Path, bytes]) -> Path:
        drafts = {self._drafts.path / str(i): self.path / name for i, name in enumerate(files)}
        for draft, content in zip(drafts, files.values(), strict=True):
            draft.write_bytes(content)
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


def stems(names: Sequence[str]) -> list[str]:
    """A file name stem of its own for each picture: plain characters only, a number where two would be equal."""
    out: list[str] = []
    for name in names:
        short = stem = plain(Path(name).stem)[:60] or "picture"
        number = 2
        while stem.casefold() in (other.casefold() for other in out):  # some file systems ignore case
            stem, number = f"{short}-{number}", number + 1
        out.append(stem)
    return out


def plain(text: str) -> str:
    """Text in the plain characters that every file system takes."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.")
