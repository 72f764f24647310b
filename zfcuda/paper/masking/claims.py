"""What section 4.3 of the paper says, held against the distances that were measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from zfcuda.paper.estimate import Estimate
from zfcuda.paper.masking.compared import POOLED, Compared
from zfcuda.paper.masking.squares import ANYWHERE, SHARED
from zfcuda.paper.result import Claim, Row

_FEW = 6  # groups, below which an interval over them decides nothing
_SURE = 0.05
_CLAIM = "At layer 5 the features change more alike under the same part than under random places on the object."
_UPPER = "At layer 7 parts and random places hardly differ: less than at layer 5."
_KAPPA = "Implied: so they do where it does not count how many units change (Cohen's kappa)."
_POOLED = "Implied: so they do where it does not count in which place of the map a feature changes, either (kappa)."
_SIGNS = "Implied: units that change in both pictures change in the same direction more often under the same part."
_SHARED = "Implied: more alike than under one place that is the same in all pictures, whatever is there (kappa)."
_ANYWHERE = "Implied: more alike than under random places anywhere (kappa)."


def claims(found: Sequence[Compared], layers: Sequence[str], parts: Sequence[str], rows: Sequence[Row]) -> list[Claim]:
    """The paper's two claims, and what they imply where it can be measured.

    Args:
        layers: the first stands for the paper's layer 5, the last for its layer 7.
        rows: those of the table, with the p value of each part.
    """
    lower, upper = layers[0], layers[-1]
    where = lower + POOLED if lower + POOLED in found[0].changed else lower
    study = _Study(found, parts, rows)
    control = study.control
    made = [study.nearer(_CLAIM, lower, "distance", control)]
    if upper != lower:
        made.append(study.less_so(_UPPER, lower, upper))
    made.append(study.nearer(_KAPPA, lower, "kappa", control))
    if where != lower:
        made.append(study.nearer(_POOLED, where, "kappa", control))
    made.append(study.nearer(_SIGNS, where, "opposite", control))
    if control != ANYWHERE:
        made.append(study.nearer(_ANYWHERE, where, "kappa", ANYWHERE))
    made.append(study.nearer(_SHARED, where, "kappa", SHARED))
    return made


@dataclass(frozen=True)
class _Study:
    found: Sequence[Compared]
    parts: Sequence[str]
    rows: Sequence[Row]

    @property
    def control(self) -> str:
        return self.found[0].control

    def nearer(self, says: str, layer: str, measure: str, against: str) -> Claim:
        """Whether the parts, taken together, agree more than random places of a kind."""
        pairs = [
            (_mean(group, self.parts, layer, measure), group.mean(against, layer, measure)) for group in self.found
        ]
        pairs = [pair for pair in pairs if math.isfinite(sum(pair))]
        if not pairs:
            return Claim(says, f"{layer}: no square changes any unit.", None)
        of_parts, of_others = (fmean(values) for values in zip(*pairs, strict=True))
        sure, tests = self._sure(layer, measure), len(self.parts)
        what = "share of opposite signs" if measure == "opposite" else measure
        said = f"{layer}: {what} {of_parts:.3f} under parts (mean of {tests}), {of_others:.3f} under {against}"
        tested = (
            f"permutation tests of {tests} parts against {self.control}: p below {_SURE}, corrected for {tests} tests, "
            f"for {', '.join(sure) or 'none'}."
        )
        if len(pairs) < _FEW:
            return Claim(says, f"{said}; {len(pairs)} groups are too few for an interval; {tested}", None)
        gap = Estimate.of([a - b for a, b in pairs])
        more = gap.positive
        holds = more if measure == "kappa" or more is None else not more
        return Claim(says, f"{said}, difference {gap.shown('+.3f')}; {tested}", holds)

    def less_so(self, says: str, lower: str, upper: str) -> Claim:
        """Whether parts gain less over random places, as a share of their distance, at the upper layer."""
        below, above = self._gains(lower), self._gains(upper)
        said = (
            f"Parts are nearer than random places by {100 * fmean(below):.0f} % of the distance at {lower}, by "
            f"{100 * fmean(above):.0f} % at {upper}"
        )
        if len(self.found) < _FEW:
            return Claim(says, f"{said}; {len(self.found)} groups are too few for an interval.", None)
        gap = Estimate.of([a - b for a, b in zip(below, above, strict=True)])
        return Claim(says, f"{said}; the first less the second {gap.points()}.", gap.positive)

    def _gains(self, layer: str) -> list[float]:
        pairs = [(_mean(group, self.parts, layer, "distance"), group.mean(self.control, layer)) for group in self.found]
        return [1 - a / b if b else 0.0 for a, b in pairs]

    def _sure(self, layer: str, measure: str) -> list[str]:
        """The parts whose p value is small though so many are tested (Bonferroni)."""
        p = {row["masked"]: row[f"{measure} p"] for row in self.rows if row["layer"] == layer}
        return [part for part in self.parts if p[part] * len(self.parts) < _SURE]


def _mean(group: Compared, kinds: Sequence[str], layer: str, measure: str) -> float:
    known = [value for value in (group.mean(kind, layer, measure) for kind in kinds) if math.isfinite(value)]
    return fmean(known) if known else math.nan
