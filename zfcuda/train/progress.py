"""How far a run is, beside what its network has learnt."""

from __future__ import annotations

import math
import time
from typing import Any

from zfcuda.train.evaluate import Score


class Progress:
    """What a checkpoint keeps of a run beside :class:`zfcuda.train.state.Training`.

    Attributes:
        validated: epochs that are validated.
        validation: top-1 accuracy after the last of them.
        best: epoch, top1 and loss on validation of the best of them.
        cut: st_mtime_ns of the user's file that cut the rate last; None: there was none.
    """

    def __init__(self) -> None:
        self.validated = 0
        self.validation = 0.0
        self.best: dict[str, Any] = {"epoch": 0, "top1": -1.0, "loss": math.inf}
        self.cut: int | None = None
        self._earlier = 0.0  # seconds of earlier starts
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """What all starts have taken so far."""
        return self._earlier + time.monotonic() - self._started

    def validate(self, score: Score) -> None:
        """Counts an epoch."""
        self.validated += 1
        self.validation = score.top1
        if (score.top1, -score.loss) > (self.best["top1"], -self.best["loss"]):
            self.best = {"epoch": self.validated, "top1": score.top1, "loss": score.loss}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "best": self.best,
            "seconds": self.seconds,
            "validated": self.validated,
            "cut": self.cut,
            "validation": self.validation,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from what a checkpoint has kept."""
        self.best, self._earlier = state["best"], state["seconds"]
        self.validated, self.cut = state["validated"], state["cut"]
        self.validation = state.get("validation", self.validation)
