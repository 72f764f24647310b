"""Files for TensorBoard: the extra ``log``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_CURVES = ("loss", "top1", "top5")


def check_board() -> None:
    """Refuses to go on where TensorBoard is not installed.

    Raises:
        ValueError: with what to install.
    """
    if find_spec("tensorboard") is None:
        raise ValueError(
            "tensorboard: expected the package of that name, which is not installed: pip install zfcuda[log]"
        )


class Board:
    """Curves of training and validation, one above the other: ``tensorboard --logdir RUN/tensorboard``."""

    def __init__(self, folder: Path, step: int) -> None:
        """step: the run goes on after it; what an earlier start wrote of later ones is no longer shown."""
        from torch.utils.tensorboard import SummaryWriter

        self._training: Any = SummaryWriter(str(folder / "training"), purge_step=step + 1)
        self._validation: Any = SummaryWriter(str(folder / "validation"), purge_step=step + 1)

    def steps(self, step: int, loss: float) -> None:
        """Adds the mean loss of the steps since the last time."""
        self._training.add_scalar("steps/loss", loss, step)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Adds a line of the log."""
        step = row["step"]
        for name in _CURVES:
            self._training.add_scalar(name, row[name], step)
            self._validation.add_scalar(name, row[f"validation_{name}"], step)
        for name in ("rate", "images_per_second"):
            self._training.add_scalar(name, row[name], step)
        self._training.flush()
        self._validation.flush()

    def close(self) -> None:
        """Writes what is left."""
        self._training.close()
        self._validation.close()
