"""What an OcclusionMap holds, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda.inputs import probabilities
from zfcuda.occlusion.any_function import Grid
from zfcuda.occlusion.log_odds import log_odds
from zfcuda.shown.pixels import Shown

#: What a heat map can be of.
QUANTITIES = ("score", "log_odds", "probability")

Rectangle = tuple[int, int, int, int]  # top, left, bottom, right in pixels; bottom and right are exclusive


@dataclass(frozen=True, eq=False, repr=False)
class MapData:
    """The numbers of an :class:`zfcuda.OcclusionMap`, which says what they are."""

    logits: Tensor
    score: Tensor
    probability: Tensor
    label: Tensor
    activity: Tensor | None
    unit: int | None
    target: int | Callable[[Tensor], Tensor] | None
    base_logits: Tensor
    base_score: Tensor
    origins: Tensor
    window: tuple[int, int]
    stride: tuple[int, int]
    size: tuple[int, int]
    method: str
    reason: str
    normalization: str = "softmax"
    fill: str | float | tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None
    shown: Shown | None = None

    def __eq__(self, other: object) -> bool:
        """Whether all is the same to the last digit, NaN included, on whatever device; pictures by their pixels."""
        if not isinstance(other, MapData):
            return NotImplemented
        names = [field.name for field in fields(MapData) if field.name != "shown"]
        return all(_same(getattr(self, name), getattr(other, name)) for name in [*names, "pixels"])

    def __hash__(self) -> int:
        return hash((self.size, self.window, self.stride, self.method))

    @property
    def target_class(self) -> int:
        """The class that `probability` and `log_odds` are of."""
        return self.target if isinstance(self.target, int) else int(self.base_logits.argmax())

    @cached_property
    def log_odds(self) -> Tensor:
        return log_odds(self.logits, self.target_class, self.normalization)

    @cached_property
    def base_log_odds(self) -> Tensor:
        return log_odds(self.base_logits, self.target_class, self.normalization)

    @cached_property
    def base_probability(self) -> Tensor:
        return probabilities(self.base_logits[None], self.normalization)[0, self.target_class]

    @property
    def pixels(self) -> Tensor | None:
        return None if self.shown is None else self.shown.pixels

    @property
    def worst(self) -> tuple[int, int]:
        """(row, column) of the position where the target is least probable; the first of several.

        Where probabilities are rounded to the same number, such as 0 or 1, the log-odds may still tell them apart.
        """
        grid = torch.nan_to_num(self.probability, nan=torch.inf)
        odds = torch.nan_to_num(self.log_odds, nan=torch.inf).masked_fill(grid > grid.min(), torch.inf)
        row, column = divmod(int(odds.argmin()), grid.shape[1])
        return row, column

    def rectangle(self, row: int, column: int) -> Rectangle:
        """The pixels covered at a position; the last positions are cut off at the border."""
        y, x = (int(v) for v in self.origins[row, column])
        return y, x, min(y + self.window[0], self.size[0]), min(x + self.window[1], self.size[1])

    def class_name(self, index: int) -> str:
        """The name of a class; "class 7" where it has none."""
        return f"class {index}" if self.classes is None else self.classes[index]

    def label_name(self, label: int) -> str:
        """The name of an entry of `label`; of a network of one output, 1 is its class, 0 is not."""
        if len(self.base_logits) > 1:
            return self.class_name(label)
        return self.class_name(0) if label else f"not {self.class_name(0)}"

    @property
    def target_label(self) -> int:
        """The class of the target as an entry of `label`."""
        return self.target_class if len(self.base_logits) > 1 else 1

    def heatmap(self, size: tuple[int, int] | None = None, *, of: str = "score") -> Tensor:
        """The mean of base - occluded over the windows that cover each pixel, float32 [H,W].

        Positive: covering the pixel costs the target. NaN where no window covers a pixel (a stride larger than the
            window), and where the value of one that does is NaN.

        Args:
            size: (rows, columns) to resize to; None: the image's.
            of: "score", "log_odds" or "probability": what is compared. Log-odds tell most evenly: a probability hardly
                moves near 0 and 1, and a logit may move with those of all other classes.

        Raises:
            ValueError: another name.
        """
        check_quantity(of)
        drop: Tensor = getattr(self, f"base_{of}") - getattr(self, of)
        mean = Grid(self.size, self.window, self.stride).mean(drop[None])[0]
        if size is None:
            return mean
        return F.interpolate(mean[None, None], size, mode="bilinear", align_corners=False)[0, 0]


def check_quantity(of: str) -> None:
    """Raises ValueError for a name that no heat map is of."""
    if of not in QUANTITIES:
        raise ValueError(f"of: expected one of {QUANTITIES}, got {of!r}")


def _same(one: object, other: object) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return type(one) is type(other) and one == other
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    one, other = one.detach().cpu(), other.detach().cpu()
    return bool(((one == other) | (one.isnan() & other.isnan())).all())
