"""What each piece of a drawn picture means to a network: the true drop of its score, which a map is held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.data import Parts
from zfcuda.data.preprocessing import as_preprocess, preprocess_of
from zfcuda.data.transforms import image_of
from zfcuda.faithfulness.checks import checked_map
from zfcuda.faithfulness.scored import Scored
from zfcuda.faithfulness.similarity import rank_correlation
from zfcuda.inputs import ClassTarget, integer, target_score
from zfcuda.network.example import image_dtypes
from zfcuda.network.graph import unwrap
from zfcuda.shown import Display, Displayed, Table
from zfcuda.shown.plot import bars

DEFINING = "the defining part"


@dataclass(frozen=True, eq=False, repr=False)
class PartImportance(Displayed):
    """How much the score of a class truly drops without each piece of a picture.

    Attributes:
        names: of the pieces that can be seen in the picture; the last one is the defining part.
        drops: float64 [pieces], the score of the whole picture less that of the picture without the piece; negative
            where the class gains.
        masks: bool [pieces,H,W], the pixels of the network's image that change with each piece.
    """

    names: tuple[str, ...]
    drops: Tensor
    masks: Tensor

    def mass(self, map: Tensor) -> Tensor:
        """What a map [H,W] gives to each piece: the sum of its values over the piece's pixels, float64 [pieces].

        Raises:
            TypeError, ValueError: it is no map of the image's size, or not finite.
        """
        values = checked_map(map)
        if values.shape != self.masks.shape[1:]:
            raise ValueError(f"map: expected {list(self.masks.shape[1:])}, as the image, got {list(values.shape)}")
        return (self.masks * values).sum((1, 2))

    def rank_correlation(self, map: Tensor) -> float:
        """Spearman's rank correlation of the true drops with the map's mass, -1 ... 1.

        By luck it is above 0: a large piece collects more of any map, and matters more as well. The map is [H,W], as
        large as the picture.

        Raises:
            TypeError, ValueError: as :meth:`mass`.
        """
        return rank_correlation(self.mass(map), self.drops)

    def finds_the_first(self, map: Tensor) -> bool:
        """Whether the piece to which the map [H,W] gives most is the one without which the score drops most.

        Raises:
            TypeError, ValueError: as :meth:`mass`.
        """
        return int(self.mass(map).argmax()) == int(self.drops.argmax())

    def display(self) -> Display:
        """The pieces, the most important one first."""
        rows = [[self.names[i], float(self.drops[i])] for i in self.drops.argsort(descending=True).tolist()]
        return Display("Part importance", tables=[Table(["without", "the score drops by"], rows)])

    def plot(self, ax: Any = None) -> Any:
        """Draws the drop of the score without each piece with matplotlib, and returns the Axes.

        ax: matplotlib's Axes; None: those of a new figure.

        Raises:
            ImportError: matplotlib is not installed.
        """
        return bars(self.names, self.drops.tolist(), "drop of the score without it", ax)

    def __repr__(self) -> str:
        order = self.drops.argsort(descending=True)[:3].tolist()
        most = ", ".join(f"{self.names[i]} {float(self.drops[i]):.3g}" for i in order)
        return f"PartImportance of {len(self.names)} pieces; the score drops most without: {most}"


def part_importance(
    model: nn.Module,
    parts: Parts,
    index: int,
    *,
    target: ClassTarget = None,
    preprocess: Callable[[Any], Tensor] | None = None,
) -> PartImportance:
    """The true importance of each piece of a picture of Parts, drawn again without it (Hesse et al. 2023, FunnyBirds).

    No grey square has to stand for "nothing there": the picture shows what lies behind the piece. FunnyBirds' "single
    deletion" is the rank correlation that `.rank_correlation(map)` gives.

    Args:
        model: images [N,C,H,W] -> [N,classes], in any mode; it is run as in eval, and left as it was.
        parts: the drawn pictures.
        index: which one.
        target: a class index or name, a callable on the logits, or None: the most probable class of the whole picture.
            The score is the logit, before any softmax.
        preprocess: picture -> image [1,C,H,W]; None: the model's own.

    Raises:
        TypeError, ValueError: naming the argument; the model carries no preprocess and none is given.
    """
    if not isinstance(parts, Parts):
        raise TypeError(f"parts: expected zfcuda.data.Parts, got {type(parts).__name__}")
    index = integer("index", index)
    preprocess = preprocess_of(unwrap(model)) if preprocess is None else as_preprocess(preprocess)
    if preprocess is None:
        raise TypeError(f"preprocess: expected one, since {type(model).__name__} has no .preprocess of its own")
    pieces = parts.pieces(index)

    def drawn(**without: Any) -> Tensor:
        return image_of(preprocess, parts.draw(index, **without).image, "preprocess").to(device, dtype)

    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    dtype = image_dtypes(model)[0]
    scored = Scored(model, drawn(), target)
    whole = scored.image
    names, images = [], [whole]
    for name in (*pieces, DEFINING):
        image = drawn(part=False) if name == DEFINING else drawn(without=[name])
        if not torch.equal(image, whole):  # it may be hidden behind others, or outside
            names.append(name)
            images.append(image)
    batch = torch.cat(images)
    scores = target_score(scored.target, scored.run(batch)).to("cpu", torch.float64)
    return PartImportance(tuple(names), scores[0] - scores[1:], (batch[1:] != whole).any(1).cpu())
