"""The bar over all figures that ``zfcuda paper`` makes, with the time that is left by what earlier ones took."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

_USUAL = 60.0  # seconds of a figure that was never made here


class Progress:
    """A bar on stderr: which figure is being made, how many there are, how long all of them will take yet.

    Args:
        names: of the figures, in their order.
        folder: of what is kept: how long each figure took is written there, for the next time.
    """

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        self._left, self._total = list(names), len(names)
        self._file = folder / "seconds.json"
        self._took = self._read()
        self._began = 0.0
        self._bar = tqdm(
            total=len(names),
            disable=len(names) < 2,
            file=sys.stderr,
            bar_format="{n_fmt} of {total_fmt} figures |{bar:20}| {desc}",
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()
        if isinstance(error, KeyboardInterrupt) and not error.args:
            done = self._total - len(self._left)
            error.args = (f"after {done} of {self._total} figures; the same command goes on from there",)

    def begin(self, name: str) -> None:
        """A figure is begun."""
        self._began = time.monotonic()
        minutes = sum(self._took.get(each, _USUAL) for each in self._left) / 60
        left = f"about {minutes:.0f} min left" if minutes >= 1.5 else "about a minute left"
        self._bar.set_description_str(f"{name}; {left}")

    def end(self, name: str, made: bool) -> None:
        """It is through. made: whether it took the time that it takes, and was neither there nor left out."""
        if made:
            self._took[name] = round(time.monotonic() - self._began, 1)
            with suppress(OSError):  # a guess is not worth an error
                self._file.write_text(json.dumps(self._took) + "\n", encoding="utf-8")
        self._left.remove(name)
        self._bar.update()

    def _read(self) -> dict[str, float]:
        with suppress(OSError, ValueError):
            known = json.loads(self._file.read_text(encoding="utf-8"))
            if isinstance(known, dict):
                return {name: float(value) for name, value in known.items() if isinstance(value, int | float)}
        return {}
