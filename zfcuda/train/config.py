"""What can be chosen about a training run."""

from __future__ import annotations

from dataclasses import dataclass

from zfcuda.data import HELD_OUT_SEED

MOST_AT_ONCE = 1024  # threads or processes: more than any machine has use for, fewer than bring one down


@dataclass(frozen=True)
class Config:
    """One training run; equal configurations on the same machine give equal weights.

    Attributes:
        seed: decides the pictures trained on, the initial weights and the order.
        pictures: how many are drawn.
        close_ups: epochs on 112-pixel close-ups of the defining part, at a quarter of the cost of whole pictures.
            Without them the network takes long to find out where to look.
        epochs: epochs on whole pictures.
        batch: pictures per step.
        rate: AdamW's peak learning rate.
        dropout: the share that fc6 and fc7 drop while training.
        width: how wide the network is, see ``zfcuda.models.zfnet``.
        held_out: how many pictures of the held-out seed the accuracy is measured on, with and without their part.
        workers: processes that draw.

    Raises:
        ValueError: naming the value that is out of range.
    """

    seed: int = 1
    pictures: int = 12000
    close_ups: int = 5
    epochs: int = 5
    batch: int = 64
    rate: float = 7e-4
    dropout: float = 0.3
    width: float = 0.25
    held_out: int = 2000
    workers: int = 2

    def __post_init__(self) -> None:
        for name in ("pictures", "batch", "held_out", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("seed", "close_ups", "workers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected at least 0, got {getattr(self, name)}")
        if self.seed >= 2**64:
            raise ValueError(f"seed: expected below 2**64, got {self.seed}")
        if self.workers > MOST_AT_ONCE:
            raise ValueError(f"workers: expected at most {MOST_AT_ONCE}, got {self.workers}")
        for name in ("rate", "width"):
            if not 0 < getattr(self, name) <= 4:
                raise ValueError(f"{name}: expected above 0 and at most 4, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected from 0 to below 1, got {self.dropout}")
        if self.seed == HELD_OUT_SEED:
            raise ValueError(f"seed: expected any but {HELD_OUT_SEED}, whose pictures are held out, got {self.seed}")
        if self.batch > self.pictures:
            raise ValueError(f"batch: expected at most the number of pictures, {self.pictures}, got {self.batch}")
