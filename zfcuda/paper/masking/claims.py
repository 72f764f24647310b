"""What section 4.3 of the paper says, held against the distances that were measured."""

from __future__ import annotations

from collections.abc import Sequence

from zfcuda.faithfulness.intervals import bootstrap
from zfcuda.paper.masking.compared import POOLED, Compared
from zfcuda.paper.masking.squares import ANYWHERE, ON_OBJECT, SHARED
from zfcuda.paper.result import Claim

_FEW = 6  # groups, below which an interval over them decides nothing
_CLAIM = "At layer 5 the features change more alike under the same part than under random places."
_POOLED = "Implied: so they do where it does not count in which place of the map a feature changes."
_SHARED = "Implied: more alike than under one place that is the same in all pictures, whatever is there."
_ON_OBJECT = (
    "Implied: more alike than under random places on the object: it is the part that corresponds, and not the object "
    "as a whole."
)


def claims(found: Sequence[Compared], layers: Sequence[str], parts: Sequence[str]) -> list[Claim]:
    """The paper's two claims, and what they imply where it can be measured.

    Args:
        layers: the first stands for the paper's layer 5, the last for its layer 7.
    """
    lower, upper = layers[0], layers[-1]
    kinds = {each.kind for each in found[0].squares}
    made = [_nearer(found, lower, parts, ANYWHERE, _CLAIM)]
    if upper != lower:
        made.append(_less_so(found, lower, upper, parts))
    if lower + POOLED in found[0].distance:
        made.append(_nearer(found, lower + POOLED, parts, ANYWHERE, _POOLED))
    made.append(_nearer(found, lower, parts, SHARED, _SHARED))
    if ON_OBJECT in kinds:
        made.append(_nearer(found, lower, parts, ON_OBJECT, _ON_OBJECT))
    return made


def _mean(group: Compared, kinds: Sequence[str], layer: str) -> float:
    return sum(group.mean(kind, layer) for kind in kinds) / len(kinds)


def _nearer(found: Sequence[Compared], layer: str, parts: Sequence[str], against: str, says: str) -> Claim:
    of_parts = [_mean(group, parts, layer) for group in found]
    of_others = [group.mean(against, layer) for group in found]
    gaps = [a - b for a, b in zip(of_parts, of_others, strict=True)]
    means = (
        f"{layer}: distance {sum(of_parts) / len(found):.3f} under parts (mean of {len(parts)}), "
        f"{sum(of_others) / len(found):.3f} under {against}"
    )
    if len(found) < _FEW:
        return Claim(says, f"{means}; {len(found)} groups are too few for an interval, see the p values.", None)
    low, high = bootstrap(gaps)
    found_said = f"{means}; difference {sum(gaps) / len(gaps):+.3f}, 95 % interval {low:+.3f} to {high:+.3f}."
    return Claim(says, found_said, True if high < 0 else False if low > 0 else None)


def _less_so(found: Sequence[Compared], lower: str, upper: str, parts: Sequence[str]) -> Claim:
    """Whether parts gain less over random places, as a share of these, at the upper layer."""
    says = "At layer 7 parts and random places hardly differ: less than at layer 5."

    def gain(layer: str) -> list[float]:
        pairs = [(_mean(group, parts, layer), group.mean(ANYWHERE, layer)) for group in found]
        return [1 - a / b if b else 0.0 for a, b in pairs]

    below, above = gain(lower), gain(upper)
    said = (
        f"Parts are nearer than random places by {100 * sum(below) / len(found):.0f} % at {lower}, by "
        f"{100 * sum(above) / len(found):.0f} % at {upper}"
    )
    if len(found) < _FEW:
        return Claim(says, f"{said}; {len(found)} groups are too few for an interval.", None)
    low, high = bootstrap([a - b for a, b in zip(below, above, strict=True)])
    return Claim(
        says,
        f"{said}; the first less the second {100 * low:+.0f} to {100 * high:+.0f} points (95 % interval).",
        True if low > 0 else False if high < 0 else None,
    )
