"""The share of points that were found, by layer and by what they were found with, and what it says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from zfcuda.network import ReceptiveField
from zfcuda.paper.estimate import Estimate
from zfcuda.paper.matching.measure import IN_BOX, LEARNED, PIXELS, SAME_PLACE, SHUFFLED, by_chance, distances
from zfcuda.paper.matching.pairs import Pair
from zfcuda.paper.points import Landmarks
from zfcuda.paper.result import Claim, Row

ANYWHERE, ON_OBJECT = "a random place", "a random place on the object"
_FEW = 6  # pictures, below which an interval over them decides nothing


@dataclass(frozen=True)
class Matched:
    """Pairs of one kind, and how far from the right place each of their points was found.

    Attributes:
        marks: where the right places are.
        distances: "SOURCE:LAYER", or a guess without features -> for each pair the distances of its points, pixels.
    """

    pairs: Sequence[Pair]
    marks: Landmarks
    distances: Mapping[str, Sequence[np.ndarray]]

    @staticmethod
    def of(
        pairs: Sequence[Pair], marks: Landmarks, found: Sequence[Mapping[str, Sequence[Sequence[float]]]]
    ) -> Matched:
        """Gathers what Matcher found of each pair."""
        sources = [name for name in found[0] if all(name in each for each in found)]
        return Matched(
            pairs,
            marks,
            {
                name: [distances(each[name], pair, marks) for pair, each in zip(pairs, found, strict=True)]
                for name in sources
            },
        )

    def shares(self, source: str, alpha: float) -> list[float]:
        """For each pair the share of its points that are found within alpha times the object's longer side."""
        radii = [alpha * self.marks[pair.second].side for pair in self.pairs]
        if source in (ANYWHERE, ON_OBJECT):
            by = [
                by_chance(pair, self.marks, radius, on_object=source == ON_OBJECT)
                for pair, radius in zip(self.pairs, radii, strict=True)
            ]
            return [math.nan if each is None else each for each in by]
        return [float((apart <= radius).mean()) for apart, radius in zip(self.distances[source], radii, strict=True)]

    def guesses(self) -> list[str]:
        """What finds points without looking at features, as far as the object is known."""
        known = IN_BOX in self.distances
        return [SAME_PLACE, *([IN_BOX, ON_OBJECT] if known else []), ANYWHERE]

    def layer_row(self, layer: str, field: ReceptiveField, alpha: float, kind: str) -> Row:
        """A row of the main table."""
        row: dict[str, object] = {"pairs": kind, "layer": layer, "receptive field": max(field.size)}
        for source in (LEARNED, SHUFFLED, PIXELS):
            row |= Estimate.of(self.shares(f"{source}:{layer}", alpha)).columns(source)
        row["median error"] = median(np.concatenate(self.distances[f"{LEARNED}:{layer}"]).tolist())
        row["within the field by chance"] = fmean(self.within_field(field, alpha))
        return row

    def within_field(self, field: ReceptiveField, alpha: float) -> list[float]:
        """For each pair the share that a random place of the receptive field around the right one would hit."""
        area = field.size[0] * field.size[1]
        return [min(1.0, math.pi * (alpha * self.marks[pair.second].side) ** 2 / area) for pair in self.pairs]

    def point_rows(self, source: str, alpha: float, kind: str) -> list[Row]:
        """For each point the share of pairs in which it is found."""
        hits: dict[str, list[bool]] = {}
        for pair, apart in zip(self.pairs, self.distances[source], strict=True):
            for name, far in zip(pair.names, apart, strict=True):
                hits.setdefault(name, []).append(bool(far <= alpha * self.marks[pair.second].side))
        layer = source.split(":", 1)[1]
        return [
            {"pairs": kind, "point": name, "layer": layer, "found": fmean(each), "of": len(each)}
            for name, each in hits.items()
        ]


def claims(matched: Matched, fields: Mapping[str, ReceptiveField], alpha: float, kind: str) -> list[Claim]:
    """What Long et al. say of middle and upper convolutions: of the upper half of the layers, in pairs of one kind."""
    layers = list(fields)
    upper = layers[len(layers) // 2 :]
    names = f"{upper[0]} to {upper[-1]}" if len(upper) > 1 else upper[0]

    def over(source: str) -> np.ndarray:
        together: np.ndarray = np.mean([matched.shares(f"{source}:{layer}", alpha) for layer in upper], axis=0)
        return together

    learned = over(LEARNED)
    versus = {PIXELS: over(PIXELS), SHUFFLED: over(SHUFFLED)}
    versus |= {name: np.array(matched.shares(name, alpha)) for name in matched.guesses()}
    made = []
    for name in (name for name in _SAYS if name in versus):
        other = versus[name]
        said = (
            f"Pairs of {kind}, {names}: {100 * fmean(learned):.0f} % of the points, against {100 * fmean(other):.0f} %"
        )
        made.append(_compared(_SAYS[name], said, learned - other))
    last = layers[-1]
    shares = np.array(matched.shares(f"{LEARNED}:{last}", alpha))
    guess = np.array(matched.within_field(fields[last], alpha))
    said = (
        f"Pairs of {kind}, {last}: {100 * fmean(shares):.0f} % of the points; a random place of the receptive field of "
        f"{max(fields[last].size)} pixels around the right one would hit {100 * fmean(guess):.0f} %"
    )
    made.append(_compared("Features localise finer than their receptive fields.", said, shares - guess))
    return made


_SAYS = {
    PIXELS: "Features of middle and upper convolutions find points better than raw pixels, squares as large as their "
    "receptive fields.",
    ON_OBJECT: "They find them better than chance, a random place on the object.",
    ANYWHERE: "They find them better than chance, a random place in the picture.",
    SHUFFLED: "Implied: it is learned: they find them better than the same layers with shuffled weights.",
    IN_BOX: "Implied: better than whoever knows the object's box, and no features: the same place in it.",
}


def _compared(says: str, said: str, gaps: np.ndarray) -> Claim:
    if len(gaps) < _FEW:
        return Claim(says, f"{said}; {len(gaps)} pictures are too few for an interval.", None)
    more = Estimate.of(gaps.tolist())
    return Claim(says, f"{said}; difference {more.points()}.", more.positive)
