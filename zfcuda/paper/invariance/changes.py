"""The changes of Figure 5: what each does to a picture, as a map of places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: What may stand where a picture has nothing to show.
BORDERS = ("reflect", "mean", "edge")
#: The paper's changes, beside turns of a disc, in which nothing but the angle changes.
SHIFT, SCALE, TURN, DISC, FLIP = "shift", "scale", "turn", "turn of a disc", "flip"
#: Controls: shifts with another border, and half a pixel, which shows what interpolation alone may do.
OTHER_BORDER, HALF_PIXEL = "shift, other border", "half a pixel"

_SIDE = 224  # of the paper's images, to which its 60 pixels belong
_FARTHEST, _STEPS = 60, 12


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
        kind: one of the words above.
        amount: pixels down of a shift, the factor of a scale, degrees counter-clockwise of a turn; of a flip 0 swaps
            left and right, 1 top and bottom.
        border: what stands where the picture has nothing to show, one of BORDERS.
    """

    kind: str
    amount: float
    border: str

    @property
    def disc(self) -> bool:
        """Whether all outside the largest circle around the centre is covered with the mean colour."""
        return self.kind == DISC

    @property
    def same(self) -> bool:
        """Whether it changes nothing."""
        return self.amount == {SCALE: 1, FLIP: -1}.get(self.kind, 0)

    def source(self) -> Tensor:
        """Where what is shown comes from: float64 [2,3], from (x, y, 1) to (x, y), pixels from the centre."""
        along, across, down, aside = 1.0, 0.0, 0.0, 0.0
        if self.kind in (TURN, DISC):
            turned = math.radians(self.amount)
            # Exactly 0 and 1 at the quarters of the circle.
            along, across = (
                (round(math.cos(turned)), round(math.sin(turned)))
                if self.amount % 90 == 0
                else (math.cos(turned), math.sin(turned))
            )
        if self.kind in (SHIFT, OTHER_BORDER):
            down = -self.amount
        if self.kind == HALF_PIXEL:
            down = aside = self.amount / 2
        if self.kind == SCALE:
            return torch.tensor([[1 / self.amount, 0, 0], [0, 1 / self.amount, 0]], dtype=torch.float64)
        if self.kind == FLIP:
            wide, high = (1, -1) if self.amount else (-1, 1)
            return torch.tensor([[wide, 0, 0], [0, high, 0]], dtype=torch.float64)
        return torch.tensor([[along, -across, aside], [across, along, down]], dtype=torch.float64)


def farthest_shift(high: int) -> int:
    """The largest shift of images of that height: the paper's 60 pixels of 224."""
    return max(1, round(_FARTHEST * high / _SIDE))


def all_changes(high: int, border: str) -> list[Change]:
    """The changes of one picture.

    Args:
        high: of the network's images, in pixels.
        border: as in :class:`Change`; a few shifts have another one beside it.
    """
    far = farthest_shift(high)
    shifts = sorted({round(step * far / _STEPS) for step in range(-_STEPS, _STEPS + 1)})
    other = "mean" if border != "mean" else "reflect"
    turns = range(0, 360, 10)
    return [
        *(Change(SHIFT, by, border) for by in shifts),
        *(Change(SCALE, round(1 + 0.05 * step, 2), border) for step in range(17)),
        *(Change(TURN, degrees, border) for degrees in turns),
        *(Change(DISC, degrees, border) for degrees in turns),
        *(Change(FLIP, axis, border) for axis in (0, 1)),
        *(Change(OTHER_BORDER, by, other) for by in (-far, -round(far / 3), round(far / 3), far)),
        Change(HALF_PIXEL, 1, border),
    ]


def of_kind(changes: Sequence[Change], kind: str) -> list[int]:
    """The places of the changes of a kind."""
    return [place for place, change in enumerate(changes) if change.kind == kind]
