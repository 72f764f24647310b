"""What can be chosen of a transfer."""

from __future__ import annotations

from dataclasses import dataclass

from zfcuda.train.transfer.grid import Pool
from zfcuda.train.transfer.linear import NAMES


@dataclass(frozen=True)
class Settings:
    """What can be chosen of a transfer.

    Attributes:
        layers: whose codes are compared, in this order, the last of them the last codes; None: a handful of them all.
        pool: how maps become codes, as :func:`zfcuda.train.transfer.grid.as_layer` has it.
        classifiers: "softmax", "svm", or both.
        mirror: average the codes of a picture and of its mirror image; the network runs twice.
        per_class: the training pictures of each class that learning curves are measured at; None: 1, 2, 5, 10, ... as
            far as the smallest class has them; (): no curve.
        curve_layers: whose curves; None: the last one's, and of the others that of the best on validation.
        folds: draws of each.
        most: training pictures that are taken of each class at most, and pictures of the other parts; None: all.
        seed: of all draws.

    Raises:
        ValueError: naming what is out of range.
    """

    layers: tuple[str, ...] | None = None
    pool: Pool = "auto"
    classifiers: tuple[str, ...] = NAMES
    mirror: bool = False
    per_class: tuple[int, ...] | None = None
    curve_layers: tuple[str, ...] | None = None
    folds: int = 5
    most: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("layers", "classifiers"):
            given = getattr(self, name)
            if given is not None and not given:
                raise ValueError(f"{name}: expected at least one, got none")
        for name in self.classifiers:
            if name not in NAMES:
                raise ValueError(f"classifiers: expected some of {', '.join(NAMES)}, got {name!r}")
        for name in ("folds", "most"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed: expected 0 to {2**32 - 1}, got {self.seed}")
