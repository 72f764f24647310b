"""Writes a report into a folder, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType

from zfcuda.report.explain import Explanation
from zfcuda.report.numbers import numbers_of
from zfcuda.report.page import page
from zfcuda.report.panels import draw, first_filters, sheet
from zfcuda.report.pieces import png

_STALE = re.compile(r"[\w.-]+\.png")  # the only names that an earlier report can have written


class Folder:
    """A folder that a report will be written to, claimed before the work starts, so that it fails early or not at all.

    Everything is first written beside its final place and then renamed, the page last. Until then, and on any error,
    earlier results stay as they are; folders that had to be made are removed again.

    Raises:
        ValueError: (on entry) where the folder cannot be made or written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._made: list[Path] = []
        self._draft: Path | None = None

    def __enter__(self) -> Folder:
        missing = [p for p in (self.path, *self.path.parents) if not p.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._made = missing
            self._draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.path))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{self.path}: cannot be written to ({getattr(error, 'strerror', None) or error})"
            ) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._draft is not None:
            shutil.rmtree(self._draft, ignore_errors=True)
        for made in self._made:  # innermost first
            try:
                made.rmdir()
            except OSError:  # there is a report in it
                break

    def write(self, explanations: Sequence[Explanation], title: str) -> Path:
        """Writes index.html, numbers.json and pictures/*.png, and removes the pictures of the report that was there.

        Args:
            explanations: one per picture, all of one network.
            title: what to call the network.

        Returns:
            The path of the page.

        Raises:
            ValueError: where the disk refuses; earlier results stay.
        """
        assert self._draft is not None, "use it in a with statement"
        made = datetime.now()
        drawn = [draw(e) for e in explanations]
        files: dict[str, bytes] = {}
        for e, panels, stem in zip(explanations, drawn, stems([e.name for e in explanations]), strict=True):
            pictures = panels.named(stem) | {f"{stem}-{_plain(k)}.png": v for k, v in sheet(e, panels).items()}
            files |= {name: png(picture) for name, picture in pictures.items()}
        weights = first_filters(explanations[0])
        if weights is not None:
            files["filters.png"] = png(weights.image)
        numbers = {
            "network": title,
            "made": made.isoformat(timespec="seconds"),
            "files": sorted(files),
            "pictures": [numbers_of(e) for e in explanations],
        }
        text = page(explanations, drawn, title, made)
        try:
            before = self._listed()
            pictures_folder = self.path / "pictures"
            pictures_folder.mkdir(exist_ok=True)
            for name, content in files.items():
                self._place(content, pictures_folder / name)
            self._place((json.dumps(numbers, indent=1) + "\n").encode(), self.path / "numbers.json")
            self._place(text.encode(), self.path / "index.html")
            for name in before - files.keys():
                (pictures_folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise ValueError(f"{self.path}: cannot be written to ({error.strerror or error})") from None
        return self.path / "index.html"

    def _place(self, content: bytes, final: Path) -> None:
        assert self._draft is not None
        draft = self._draft / final.name
        draft.write_bytes(content)
        os.replace(draft, final)

    def _listed(self) -> set[str]:
        """The pictures of the report that is there; nothing else in the folder is ever removed."""
        try:
            listed = json.loads((self.path / "numbers.json").read_text("utf-8"))["files"]
            return {name for name in listed if isinstance(name, str) and _STALE.fullmatch(name)}
        except (OSError, ValueError, KeyError, TypeError):
            return set()


def stems(names: Sequence[str]) -> list[str]:
    """A file name stem of its own for each picture: plain characters only, a number where two would be equal."""
    out: list[str] = []
    for name in names:
        plain = stem = _plain(Path(name).stem)[:60] or "picture"
        number = 2
        while stem.casefold() in (other.casefold() for other in out):  # some file systems ignore case
            stem, number = f"{plain}-{number}", number + 1
        out.append(stem)
    return out


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.")
