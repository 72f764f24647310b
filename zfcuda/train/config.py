"""What can be chosen about a training run."""

from __future__ import annotations

from dataclasses import dataclass

from zfcuda.data import HELD_OUT_SEED


@dataclass(frozen=True)
class Config:
    """One training run; equal configurations on the same machine give equal weights.

    Attributes:
        seed: of the pictures trained on, of the initial weights, of the order.
        pictures: how many are drawn.
        close_ups: epochs on 112-pixel close-ups of the defining part, at a quarter of the cost of whole pictures.
            Without them the network takes long to find out where to look.
        epochs: epochs on whole pictures.
        batch: pictures per step.
        rate: AdamW's peak learning rate.
        dropout: of fc6 and fc7 while training.
        width: of the network, see ``zfcuda.models.zfnet``.
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
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "close_ups", "workers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("rate", "width"):
            if not 0 < getattr(self, name) <= 4:
                raise ValueError(f"{name} must be above 0 and at most 4, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, got {self.dropout}")
        if self.seed == HELD_OUT_SEED:
            raise ValueError(f"seed must not be {HELD_OUT_SEED}: those pictures are held out")
        if self.batch > self.pictures:
            raise ValueError(f"batch must be at most the number of pictures, {self.pictures}, got {self.batch}")
