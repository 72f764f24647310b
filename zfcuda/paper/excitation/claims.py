"""What the paper reads off Figure 2, held against the tables."""

from __future__ import annotations

from collections.abc import Sequence

from zfcuda.paper.estimate import all_of, of_row
from zfcuda.paper.result import Claim, Row

_BEYOND = "difference beyond two units"


def of_likeness(pixels: Sequence[Row], edges: Sequence[Row]) -> list[Claim]:
    """Whether patches vary more than projections, and whether units are the more invariant the deeper they are.

    pixels, edges: the rows by pixels, and by edges.
    """
    says = "Within each grid the patches vary more than their projections"
    beyond = (
        "The projections of a unit show what its patches have in common: they are alike, beyond what projections of "
        "any two units are, by more than the patches are."
    )
    invariance = "Units are the more invariant the deeper they are: what excites them looks less and less alike."
    return [
        _differences(pixels, "difference", f"{says}, pixel by pixel."),
        _differences(edges, "difference", f"{says}, by where their edges are."),
        _differences(edges, _BEYOND, beyond),
        _trend(pixels, "patches", invariance, "the mean correlation of a unit's patches, pixel by pixel", up=False),
    ]


def of_classes(rows: Sequence[Row]) -> list[Claim]:
    """Whether deeper units tell classes apart."""
    says = "Features are the more discriminative the deeper they are."
    named = "the share of the most frequent class among a unit's strongest pictures"
    claim = _trend(rows, "share of the most frequent class", says, named, up=True)
    return [Claim(claim.says, f"{claim.found} At random it is {rows[0]['at random']:.2f}.", claim.holds)]


def of_truth(rows: Sequence[Row]) -> list[Claim]:
    """Whether deeper units look at the part that tells the class."""
    says = "Deeper units answer to the part that tells the class."
    named = "the share of a unit's strongest patches whose middle is on it"
    claim = _trend(rows, "middle on the part", says, named, up=True)
    at_random = rows[-1]["part, at random"]
    beside = "" if at_random is None else f" Any place is on it with {at_random:.2f}."
    return [Claim(claim.says, claim.found + beside, claim.holds)]


def _differences(rows: Sequence[Row], difference: str, says: str) -> Claim:
    """Holds the likeness of projections against that of patches, in each layer."""
    measured = [row for row in rows if row[difference] is not None]
    if not measured:
        return Claim(says, "No layer could be measured whose projections differ from patch to patch.", None)
    said, gains = [], []
    for row in measured:
        projections, patches = row["projections"], row["patches"]
        if difference == _BEYOND:
            projections, patches = projections - row["projections of two units"], patches - row["patches of two units"]
        gains.append(of_row(row, difference))
        said.append(f"{row['layer']} {projections:.2f} against {patches:.2f}: {gains[-1].shown('+.2f')}")
    less = ", less that between two units" if difference == _BEYOND else ""
    found = f"Mean correlation within a unit{less}, projections against patches, and the difference: {'; '.join(said)}."
    return Claim(says, found, all_of(gain.positive for gain in gains))


def _trend(rows: Sequence[Row], name: str, says: str, named: str, *, up: bool) -> Claim:
    """Holds what a first layer and the last come to against each other."""
    known = [row for row in rows if row[name] is not None]
    if len(known) < 2:
        return Claim(says, "Fewer than two layers could be measured.", None)
    each = ", ".join(f"{row['layer']} {of_row(row, name)}" for row in known)
    first, last = of_row(known[0], name), of_row(known[-1], name)
    rises, falls = last.low > first.high, last.high < first.low
    holds = None if not (rises or falls) else rises == up
    return Claim(says, f"{named[0].upper()}{named[1:]}: {each}.", holds)
