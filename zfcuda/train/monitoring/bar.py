"""A bar over the steps of a run: epoch, loss, accuracies, images per second, time left."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

_FORMAT = "{desc} {percentage:3.0f}%|{bar}| "  # with what follows it fits 100 columns
_SMOOTH = 0.3  # the weight of the newest speed


def patience() -> float:
    """Seconds between two states of a bar; in a file each is a line, and one every half minute is enough."""
    return 0.1 if sys.stderr is not None and sys.stderr.isatty() else 30.0


class Bar:
    """A bar on stderr, or nothing.

    Attributes:
        left: seconds to the end of the run, as far as can be told; None: not yet.
    """

    def __init__(self, steps: int, epoch_steps: int, first: int, *, show: bool) -> None:
        self.steps, self.epoch_steps, self.step = steps, epoch_steps, first
        self.left: float | None = None
        self._pace: float | None = None  # seconds of a step
        self._bar: Any = tqdm(
            total=steps,
            initial=first,
            disable=not show,
            bar_format=_FORMAT,
            dynamic_ncols=True,
            mininterval=patience(),
            maxinterval=patience(),
        )

    def update(self, step: int) -> None:
        """Moves on to a step."""
        self._bar.update(step - self.step)
        self.step = step

    def tell(self, figures: str, seconds: float, images: float, validation: float) -> None:
        """Shows how it goes.

        Args:
            figures: loss and accuracies.
            seconds: of a step, as of late.
            images: of a step.
            validation: seconds that one takes.
        """
        self._pace = seconds if self._pace is None else (1 - _SMOOTH) * self._pace + _SMOOTH * seconds
        epochs = self.steps // self.epoch_steps
        to_validate = epochs - self.step // self.epoch_steps
        self.left = (self.steps - self.step) * self._pace + to_validate * validation
        now = max(0, self.step - 1) // self.epoch_steps + 1
        self._bar.set_description_str(f"epoch {now}/{epochs}", refresh=False)
        speed = images / self._pace if self._pace else 0.0
        # Not as a postfix: tqdm puts a comma before that.
        self._bar.bar_format = f"{_FORMAT}{figures}, {shown(speed)} images/s, {spoken_time(self.left)} left"

    def close(self) -> None:
        """Ends the bar; it stays on the screen as it is."""
        self._bar.close()


def shown(speed: float) -> str:
    """Images per second, with as many digits as mean something."""
    return f"{speed:.1f}" if speed < 10 else f"{speed:,.0f}"


def spoken_time(seconds: float) -> str:
    """Seconds as 1:02:03, or 2:03, or 3 d 4 h."""
    whole = round(seconds)
    if whole >= 2 * 86400:
        return f"{whole // 86400} d {whole % 86400 // 3600} h"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
