"""How well the boxes of methods fit: each method's rule is tuned on some pictures, and measured on others."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from zfcuda.faithfulness.intervals import wilson
from zfcuda.paper.boxes.components import Box
from zfcuda.paper.boxes.measured import OBJECTS, Boxed
from zfcuda.paper.boxes.rule import RULES, Rule, overlap
from zfcuda.paper.estimate import Estimate
from zfcuda.paper.result import Claim, Row

#: The boxes that look at no picture.
CENTRE, WHOLE = "centre box", "whole picture"
_SHARES = np.arange(0.1, 1.001, 0.05)  # of the image's sides, that the centre box is tuned over
_SIGNED = "+.2f"
_HIT = 0.5  # an overlap from here on counts as found
_OBJECT = (
    " Of a drawn picture the part alone tells the class: a map that is true to a good network misses the rest of the "
    "object, so that this says where the network looks, not how well a map does."
)


@dataclass(frozen=True)
class Fit:
    """What a method's boxes come to.

    Attributes:
        wanted: "object" or "part". name: the method, CENTRE or WHOLE.
        rule: the tuned one; of the centre box its (height, width) as shares of the image's; None for the whole.
        overlaps: intersection over union with the true box, for each picture measured.
    """

    wanted: str
    name: str
    rule: Rule | tuple[float, float] | None
    overlaps: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean overlap."""
        return statistics.fmean(self.overlaps)

    @property
    def words(self) -> str:
        """The rule."""
        if isinstance(self.rule, Rule):
            return f"blur 1/{round(1 / self.rule.blur)} of the side, from {100 * self.rule.share:.0f} % of the maximum"
        return "" if self.rule is None else "{:.0f} % x {:.0f} % of the image".format(*(100 * x for x in self.rule))

    def row(self) -> Row:
        """A row of the table."""
        hits = sum(each >= _HIT for each in self.overlaps)
        share = Estimate(hits / len(self.overlaps), *wilson(hits, len(self.overlaps)))
        return {
            "wanted": self.wanted,
            "box": self.name,
            **Estimate.of(self.overlaps).columns("mean IoU"),
            **share.columns("share from 0.5"),
            "pictures": len(self.overlaps),
            "rule": self.words,
        }

    def box(self, one: Boxed) -> Box:
        """The box in a picture."""
        if isinstance(self.rule, Rule):
            top, left, bottom, right = one.found[self.name][RULES.index(self.rule)]
            return top, left, bottom, right
        return _centred(one.size, self.rule or (1.0, 1.0))


def fits(tuning: Sequence[Boxed], measured: Sequence[Boxed], methods: Sequence[str]) -> list[Fit]:
    """For object and part: each method's fit, best first, then the centre box and the whole picture."""
    found = []
    for wanted in OBJECTS:
        rules: dict[str, Rule | tuple[float, float] | None] = {name: _best(tuning, wanted, name) for name in methods}
        of_methods = [_fit(measured, wanted, name, rule) for name, rule in rules.items()]
        others = [(CENTRE, _best_centre(tuning, wanted)), (WHOLE, None)]
        found += sorted(of_methods, key=lambda fit: -fit.mean)
        found += [_fit(measured, wanted, name, rule) for name, rule in others]
    return found


def claims(found: Sequence[Fit]) -> list[Claim]:
    """Whether maps find more than the middle does."""
    said = []
    for wanted, words, after in (("part", "the part that the class depends on", ""), ("object", "the object", _OBJECT)):
        *methods, centre, _ = [fit for fit in found if fit.wanted == wanted]
        gains = {fit.name: _difference(fit, centre) for fit in methods}
        listed = "; ".join(f"{name} {gain.shown(_SIGNED)}" for name, gain in gains.items())
        said.append(
            Claim(
                f"A box around a map finds {words} better than a box in the middle does.",
                f"Mean intersection over union of the centre box {centre.mean:.2f}; the others' less that: {listed}; "
                f"{len(centre.overlaps)} pictures.{after}",
                _all_above(list(gains.values())),
            )
        )
    return said


def best(found: Sequence[Fit]) -> list[str]:
    """Which method's boxes fit object and part best: sentences, no claims, as the winner is named after looking."""
    said = []
    for wanted in OBJECTS:
        methods = [fit for fit in found if fit.wanted == wanted and fit.name not in (CENTRE, WHOLE)]
        if len(methods) > 1:
            first, second = methods[:2]
            said.append(
                f"Boxes of {first.name} fit the {wanted} best here, {first.mean:.2f} on average; the next are those of "
                f"{second.name}, {second.mean:.2f}: {_difference(first, second).shown(_SIGNED)}."
            )
    return said


def _best(tuning: Sequence[Boxed], wanted: str, name: str) -> Rule:
    table = np.stack([overlap(one.found[name], one.true[wanted]) for one in tuning])
    return RULES[int(table.mean(0).argmax())]


def _best_centre(tuning: Sequence[Boxed], wanted: str) -> tuple[float, float]:
    sizes = list(product(_SHARES.tolist(), _SHARES.tolist()))
    table = [overlap([_centred(one.size, size) for size in sizes], one.true[wanted]) for one in tuning]
    return sizes[int(np.stack(table).mean(0).argmax())]


def _fit(measured: Sequence[Boxed], wanted: str, name: str, rule: Rule | tuple[float, float] | None) -> Fit:
    fit = Fit(wanted, name, rule, ())
    return Fit(wanted, name, rule, tuple(float(overlap(fit.box(one), one.true[wanted])) for one in measured))


def _centred(size: tuple[int, int], shares: tuple[float, float]) -> Box:
    sides = [max(1, round(share * side)) for share, side in zip(shares, size, strict=True)]
    top, left = ((side - inner) // 2 for side, inner in zip(size, sides, strict=True))
    return top, left, top + sides[0], left + sides[1]


def _difference(first: Fit, second: Fit) -> Estimate:
    """The mean of the differences picture by picture."""
    return Estimate.of([a - b for a, b in zip(first.overlaps, second.overlaps, strict=True)])


def _all_above(gains: Sequence[Estimate]) -> bool | None:
    """Whether all are above 0: False where none is, and one is below; None where that is not decided."""
    verdicts = [gain.positive for gain in gains]
    if True in verdicts:
        return True if all(verdicts) else None
    return False if False in verdicts else None
