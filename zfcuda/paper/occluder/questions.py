"""What many pictures under an occluder come to: does the class fall with the object, the map with its projection?"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from zfcuda.faithfulness.similarity import rank_correlation
from zfcuda.faithfulness.truth.paper import sums_under
from zfcuda.paper.estimate import Estimate
from zfcuda.paper.result import Claim, Row

Measured = Mapping[str, Tensor]

#: What is asked of a picture, in the order of the table.
WORDS = {
    "base": "probability of the class, nothing covered",
    "worst": "probability where it is lowest",
    "beside": "probability, square beside the part",
    "on": "probability, square on the part",
    "most": "probability, as much of the part covered as can be",
    "hit": "lowest with the square on the part (share of pictures)",
    "chance": "square on the part (share of positions)",
    "other": "another answer (share of positions)",
    "other_beside": "another answer, square beside the part (share)",
    "other_on": "another answer, square on the part (share)",
    "own": "rank correlation, activity's fall with its projection",
    "shuffled": "rank correlation, with projections of other pictures",
}


def answers(found: Measured, part: Tensor | None) -> dict[str, float]:
    """What one picture says to the questions, by the names in WORDS; what needs the part only where it is given.

    part: bool [H,W], the pixels of the image that the class depends on.
    """
    probability, other = found["probability"].numpy(), (found["label"] != found["target"]).numpy()
    out = {"base": float(found["base"]), "worst": float(probability.min()), "other": float(other.mean())}
    covered = None if part is None else _covered(part, found)
    if covered is not None and (covered > 0).any() and (covered == 0).any():
        on = covered > 0
        out |= {
            "beside": float(probability[~on].mean()),
            "on": float(probability[on].mean()),
            "most": float(probability[covered == covered.max()].mean()),
            "hit": float(on.flat[int(probability.argmin())]),
            "chance": float(on.mean()),
            "other_beside": float(other[~on].mean()),
            "other_on": float(other[on].mean()),
        }
    return out


def agreement(every: Sequence[Measured]) -> list[dict[str, float]]:
    """For each picture, whether the activity falls where the projection's energy lies, against projections of others.

    Nothing is said of those that have no projection, or are of another size than most; of none where fewer than two
    are left.
    """
    shapes = [found["energy"].shape for found in every if "energy" in found]
    usual = max(shapes, key=shapes.count, default=None)
    able = [found for found in every if "energy" in found and found["energy"].shape == usual]
    said: list[dict[str, float]] = []
    for found in every:
        others = [other for other in able if other is not found]
        if len(others) in (0, len(able)):  # alone, or not able itself
            said.append({})
            continue
        by_others = statistics.fmean(rank_correlation(-found["activity"], other["energy"]) for other in others)
        said.append({"own": rank_correlation(-found["activity"], found["energy"]), "shuffled": by_others})
    return said


def rows(said: Sequence[Mapping[str, float]]) -> list[Row]:
    """A row for each question that was answered: mean, 95 % interval, pictures."""
    found: list[Row] = []
    for name, words in WORDS.items():
        values = [each[name] for each in said if name in each]
        if values:
            found.append({"what": words, **Estimate.of(values).columns("mean"), "pictures": len(values)})
    return found


def claims(said: Sequence[Mapping[str, float]]) -> list[Claim]:
    """What the paper says of its Figure 7, against what pictures said."""
    known = [each for each in said if "on" in each]
    pairs = [each for each in said if "own" in each]
    return [*(_of_the_part(known) if known else [_of_no_part(said)]), _of_the_map(pairs)]


_DROPS = "When the object is covered, the probability of the correct class drops."
_PART = "the part that the class depends on"


def _of_the_part(said: Sequence[Mapping[str, float]]) -> list[Claim]:
    fall = Estimate.of([each["beside"] - each["on"] for each in said])
    hits = Estimate.of([each["hit"] - each["chance"] for each in said])
    flip = Estimate.of([each["other_on"] - each["other_beside"] for each in said])
    return [
        Claim(
            _DROPS,
            f"Probability {_mean(said, 'on')} with the occluder on {_PART}, {_mean(said, 'beside')} beside it: lower "
            f"by {fall}; {_mean(said, 'most')} where as much of it is covered as can be; {len(said)} pictures.",
            fall.positive,
        ),
        Claim(
            "The class is least probable where the occluder covers the object.",
            f"In {_percent(said, 'hit')} of {len(said)} pictures the occluder then lies on {_PART}; of all its "
            f"positions {_percent(said, 'chance')} do.",
            hits.positive,
        ),
        Claim(
            "Covering the object changes the answer; covering what is around it does not.",
            f"Another answer at {_percent(said, 'other_on')} of the positions on {_PART}, and at "
            f"{_percent(said, 'other_beside')} of those beside it: a difference of {flip} as a share.",
            flip.positive,
        ),
    ]


def _of_no_part(said: Sequence[Mapping[str, float]]) -> Claim:
    return Claim(
        _DROPS,
        f"Where the object lies in these pictures is not known. The probability is {_mean(said, 'base')} with nothing "
        f"covered and {_mean(said, 'worst')} where it is lowest; at {_percent(said, 'other')} of the positions the "
        f"answer is another one; {len(said)} pictures.",
        None,
    )


def _of_the_map(said: Sequence[Mapping[str, float]]) -> Claim:
    says = "The map's activity falls where its projection shows something: the projection shows what excites the map."
    if not said:
        return Claim(says, "There are no two pictures whose strongest map can be projected down to the pixels.", None)
    more = Estimate.of([each["own"] - each["shuffled"] for each in said])
    return Claim(
        says,
        f"Rank correlation of the fall with the projection's energy under the occluder: {_mean(said, 'own')}; with "
        f"projections of the other pictures {_mean(said, 'shuffled')}: more by {more}; {len(said)} pictures.",
        more.positive,
    )


def _percent(said: Sequence[Mapping[str, float]], name: str) -> str:
    return f"{100 * statistics.fmean(each[name] for each in said):.0f} %"


def _mean(said: Sequence[Mapping[str, float]], name: str) -> str:
    return f"{statistics.fmean(each[name] for each in said):.2f}"


def _covered(part: Tensor, found: Measured) -> np.ndarray:
    """How many pixels of the part each occluder covers, [rows,cols]."""
    return sums_under(part.numpy().astype(np.int64), found["origins"].numpy(), int(found["window"]))
