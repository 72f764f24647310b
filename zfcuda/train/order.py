"""Which pictures a step has, and which of them a process."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from zfcuda.train.chance import order


@dataclass
class Order:
    """The order of pictures, epoch by epoch.

    The processes of a step have parts of it that lie side by side, so that together they see what one alone would.
    The pictures that fill no batch at the end of an epoch are left out of it; the order of the next is another.

    Attributes:
        seed: decides the order.
        count: of pictures.
        batch: pictures of a step, of all processes together.
        rank, ranks: which process this is, of how many.
        views: after so many epochs pictures are seen as they were before; None: in every epoch anew.
    """

    seed: int
    count: int
    batch: int
    rank: int = 0
    ranks: int = 1
    views: int | None = None
    _known: tuple[int, np.ndarray] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.batch > self.count:
            raise ValueError(f"batch: expected at most the number of training pictures, {self.count}, got {self.batch}")
        if self.batch % self.ranks:
            raise ValueError(f"batch: expected a multiple of the {self.ranks} processes, got {self.batch}")

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.count // self.batch

    def keys(self, step: int) -> list[tuple[int, int]]:
        """(view, index) of this process's pictures in a step of the whole run; a view is an epoch, modulo `views`."""
        epoch, at = divmod(step, self.steps)
        if self._known is None or self._known[0] != epoch:
            self._known = epoch, order(self.seed, epoch, self.count)
        share = self.batch // self.ranks
        start = at * self.batch + self.rank * share
        seen = epoch % self.views if self.views else epoch
        return [(seen, int(index)) for index in self._known[1][start : start + share]]
