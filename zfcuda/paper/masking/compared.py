"""Groups of pictures masked at the same parts and at random places: the distances of their changes' signs, kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zfcuda.features.loading import placed
from zfcuda.paper.cache import Cache
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.masking.exchange import exchange_test, mean_over_pairs
from zfcuda.paper.masking.signs import Agreement, agreement, signs
from zfcuda.paper.masking.squares import ANYWHERE, ON_OBJECT, Square, hidden
from zfcuda.paper.reading import LayerReader

#: What is added to the name of a layer with maps where the mean over the places of each map is compared.
POOLED = ", mean over places"
Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Compared:
    """A group of n pictures with K squares each.

    Attributes:
        squares: of the first picture; those of the others are of the same kinds, in the same order.
        measures: "distance", "kappa" and "opposite" -> layer -> [n,K,n,K], as
            :class:`zfcuda.paper.masking.signs.Agreement` has them.
        changed: layer -> [n,K], the share of units that a square changes.
    """

    squares: list[Square]
    measures: dict[str, dict[str, Numbers]]
    changed: dict[str, Numbers]

    def mean(self, kind: str, layer: str, measure: str = "distance") -> float:
        """The mean of a measure over the pairs of pictures under squares of a kind, of each turn, then over these."""
        of = self.measures[measure][layer]
        return _mean([mean_over_pairs(of[:, place, :, place]) for place in self._places(kind)])

    def share(self, kind: str, layer: str) -> float:
        """The mean share of units that squares of a kind change."""
        return _mean([float(self.changed[layer][:, place].mean()) for place in self._places(kind)])

    @property
    def control(self) -> str:
        """What parts are held against: random places on the object, as in the paper; if it is not known, anywhere."""
        return ON_OBJECT if self._places(ON_OBJECT) else ANYWHERE

    def candidates(self, kind: str, layer: str, measure: str) -> Numbers:
        """A measure [n,K,n,K] of one square of a kind and those of the control, for the permutation test."""
        places = [self._places(kind)[0], *self._places(self.control)]
        pictures = range(len(self.changed[layer]))
        return self.measures[measure][layer][np.ix_(pictures, places, pictures, places)]

    def _places(self, kind: str) -> list[int]:
        return [place for place, square in enumerate(self.squares) if square.kind == kind]


def _mean(values: list[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def compared(
    gallery: Gallery,
    reader: Callable[[], LayerReader],
    group: Sequence[int],
    squares: Sequence[Sequence[Square]],
    *,
    layers: Sequence[str],
    side: int,
    fill: float,
    cache: Cache,
) -> Compared:
    """Masks a group of pictures and compares the signs of the changes, once.

    Args:
        reader: gives what reads these layers; not called where all is kept already.
        group: the numbers of n pictures; squares: [n][K], as :func:`zfcuda.paper.masking.squares.squares` gives them.
        side: of the squares, in pixels; fill: what is put in them, in the network's units.
    """

    def work() -> dict[str, Tensor]:
        vectors: dict[str, list[Tensor]] = {}
        for index, here in zip(group, squares, strict=True):
            image = gallery.pictures.image(index)
            batch = torch.stack([image, *(hidden(image, each.centre, side, fill) for each in here)])
            for layer, values in reader()(placed(batch, gallery.model)).items():
                values = values.float().cpu()
                vectors.setdefault(layer, []).append(signs(values[0], values[1:]))
                if has_places(values):
                    pooled = values.flatten(2).mean(2)
                    vectors.setdefault(layer + POOLED, []).append(signs(pooled[0], pooled[1:]))
        found = {}
        for layer, each in vectors.items():
            count, kinds = len(each), len(each[0])
            both = agreement(torch.cat(each))
            for name, values in both._asdict().items():
                found[f"{layer}:{name}"] = values.view(count, kinds, count, kinds)
            found[f"{layer}:changed"] = torch.stack(each).ne(0).float().mean(2)
        return found

    facts = {
        "pictures": list(group),
        "squares": [[[each.kind, each.turn, *map(float, each.centre)] for each in here] for here in squares],
        "layers": list(layers),
        "side": side,
        "fill": fill,
    }
    kept = cache.tensors(gallery, "signs", facts, work)
    of: dict[str, dict[str, Numbers]] = {}
    for layer in (each + end for each in layers for end in ("", POOLED)):  # a file forgets the order
        for what in (*Agreement._fields, "changed"):
            if f"{layer}:{what}" in kept:
                of.setdefault(what, {})[layer] = kept[f"{layer}:{what}"].numpy()
    changed = of.pop("changed")
    return Compared(list(squares[0]), of, changed)


def has_places(values: Tensor) -> bool:
    """Whether a layer's output [N,...] is of maps with more than one place."""
    return values.dim() == 4 and values.shape[2] * values.shape[3] > 1


def p_value(groups: Sequence[Compared], kind: str, layer: str, measure: str, seed: int) -> float:
    """How surely squares of a kind agree more than the control: see exchange_test of zfcuda.paper.masking.exchange."""
    sign = -1 if measure == "kappa" else 1  # kappa is large where pictures agree
    chance = 0.5 if measure == "opposite" else 0.0  # of pictures of which nothing is known, as nothing changes in both
    found = [sign * np.nan_to_num(each.candidates(kind, layer, measure), nan=chance) for each in groups]
    return exchange_test(found, seed=seed)
