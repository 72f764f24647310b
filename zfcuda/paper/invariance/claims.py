"""What the paper says of Figure 5, and what the curves say."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from zfcuda.data.parts import Parts
from zfcuda.faithfulness.similarity import rank_correlation
from zfcuda.paper.estimate import Estimate, all_of
from zfcuda.paper.invariance.changes import DISC, SCALE, SHIFT, TURN
from zfcuda.paper.invariance.curves import Curves, mean, resampled, stepwise, straightness
from zfcuda.paper.invariance.symmetry import symmetry_of
from zfcuda.paper.invariance.tables import NAMES, at_quarters, ends, kept, kept_in_view, kept_more, smallest
from zfcuda.paper.result import Claim, Row

_STRAIGHT = 0.9  # R^2 of a line, above which a curve is called one
_SHUFFLES = 2000
_AT_ALL_ANGLES = (
    " The part that tells the class is drawn at all angles, in training too: a network that learned from such pictures "
    "has learned to be indifferent to its turn, as one that learned from upright photographs has not."
)


def claims(curves: Curves) -> list[Claim]:
    """The paper's sentences about Figure 5, in its order, and the one of this project's own about depth."""
    return [
        _dramatic(curves),
        _lines(curves),
        _stable(curves),
        *(_deeper(curves, kind) for kind in (SHIFT, SCALE, DISC)),
        _period(curves),
    ]


def _dramatic(curves: Curves) -> Claim:
    first, last = ends(curves)
    said, verdicts = [], []
    for kind, word in ((SHIFT, "{:g} pixels"), (SCALE, "a factor of {:g}"), (TURN, "{:g} degrees")):
        places = smallest(curves, kind)
        a, b = (curves.distances[layer][:, places] for layer in (first, last))
        verdicts.append(mean(a - b).positive)
        amount = min(abs(curves.changes[place].amount) for place in places)
        said.append(f"{word.format(amount)}: {mean(a)} in {first}, {mean(b)} in {last}")
    return Claim(
        "Small changes have a dramatic effect on the first layer and a lesser one on the top layer.",
        "Mean distance to the original, as a share of the median distance between two different pictures, at "
        + "; ".join(said)
        + ".",
        all_of(verdicts),
    )


def _lines(curves: Curves) -> Claim:
    said, verdicts = [], []
    for kind in (SHIFT, SCALE):
        fit = straightness(curves.amounts(kind), kind)
        first, last = (curves.of(curves.distances[layer], kind) for layer in ends(curves))
        line, step = resampled(fit, last), resampled(stepwise(curves.amounts(kind), kind), last)
        less = resampled(lambda rows, fit=fit, kind=kind: fit(rows) - stepwise(curves.amounts(kind), kind)(rows), last)  # type: ignore[misc]
        verdicts.append(True if line.above(_STRAIGHT) else False if less.positive is False else None)
        said.append(
            f"{NAMES[kind]} R^2 = {line} of the line and {step.value:.2f} of the step in {ends(curves)[1]}, the line's "
            f"less the step's {less}; in {ends(curves)[0]} {fit(first):.2f} and "
            f"{stepwise(curves.amounts(kind), kind)(first):.2f}"
        )
    return Claim(
        "In the top layer the distance grows quasi-linearly with translation and scaling.",
        "The mean distance against a line through the origin, and against a step, the same distance however large the "
        f"change: R^2 of the line surely above {_STRAIGHT} would confirm the claim, a step that surely fits better "
        "refute it: " + "; ".join(said) + ".",
        all_of(verdicts),
    )


def _stable(curves: Curves) -> Claim:
    def share(kind: str) -> Estimate:
        return kept(curves, kind) if curves.in_view is None else kept_in_view(curves, kind, curves.in_view)

    shares = {kind: share(kind) for kind in (SHIFT, SCALE, TURN)}
    said = "; ".join(f"{NAMES[kind]} {figure.percent()}" for kind, figure in shares.items())
    meant = (
        f"Of the mean probability, {curves.reference(SHIFT).mean():.2f} before, there is left on average over all sizes"
    )
    if curves.in_view is not None:
        everything = "; ".join(f"{NAMES[kind]} {kept(curves, kind).percent()}" for kind in shares)
        meant = f"{meant} of the change {everything}. Where the part that tells the class stays in view"
    else:
        meant += " of the change"
    more = {kind: kept_more(curves, kind, TURN) for kind in (SHIFT, SCALE)}
    return Claim(
        "The output is stable to translation and scaling, and in general not invariant to rotation.",
        f"{meant}: {said}. More than under rotation by: "
        + "; ".join(f"{NAMES[kind]} {each.points()}" for kind, each in more.items())
        + "."
        + (_AT_ALL_ANGLES if curves.in_view is not None else ""),
        all_of(each.positive for each in more.values()),
    )


def _deeper(curves: Curves, kind: str) -> Claim:
    first, last = (curves.changed(curves.distances[layer], kind) for layer in ends(curves))
    course = [float(curves.changed(values, kind).mean()) for values in curves.distances.values()]
    along = rank_correlation(torch.arange(len(course)), torch.tensor(course)) if len(course) > 2 else float("nan")
    less = mean(first - last)
    rotation = kind == DISC
    holds = less.positive
    if rotation and holds is not None:
        holds = not holds
    says = (
        "Deeper layers are not more invariant to rotation."
        if rotation
        else f"Deeper layers are more invariant to {'translation' if kind == SHIFT else 'scaling'}."
    )
    shown = ", ".join(f"{layer} {value:.2f}" for layer, value in zip(curves.distances, course, strict=True))
    return Claim(
        says,
        f"Mean relative distance under {NAMES[kind]}, by depth: {shown} (rank correlation with depth {along:.2f}); "
        f"first layer less last {less}." + (_AT_ALL_ANGLES if rotation and curves.in_view is not None else ""),
        holds,
    )


def _period(curves: Curves) -> Claim:
    first, last = ends(curves)
    probability = at_quarters(curves, curves.probability, DISC)
    nearer = {layer: at_quarters(curves, -curves.distances[layer], DISC) for layer in (first, last)}
    return Claim(
        "Over the circle the curves have a period: turned by 90, 180 or 270 degrees a picture is more like itself.",
        f"Discs at these angles, beside 40 and 50 degrees to both sides of them: probability higher by {probability}, "
        f"relative distance smaller by {nearer[last]} in {last} and by {nearer[first]} in {first}.",
        probability.positive,
    )


def symmetric(curves: Curves, parts: Parts) -> tuple[list[Row], Claim] | None:
    """Whether pictures whose defining part looks the same when turned keep their probability; None with too few.

    Those whose part lies in the disc at all angles, turned as discs.
    """
    assert curves.in_view is not None
    turned, before = curves.changed(curves.probability, DISC).mean(axis=1), curves.reference(DISC)
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(curves.of(curves.in_view, DISC).all(axis=1)):
        rows.setdefault(parts.classes[parts.label(curves.pictures[row])], []).append(int(row))
    if len(rows) < 4:
        return None

    def left(names: Iterable[str]) -> Estimate:
        chosen = [row for name in names for row in rows[name]]
        return resampled(lambda a, b: float(a.mean() / max(b.mean(), 1e-12)), turned[chosen], before[chosen])

    known = {name: symmetry_of(name) for name in parts.classes if name in rows}
    table: list[Row] = [
        {
            "part": name,
            "order of symmetry": each.order,
            "likeness over all angles": round(each.mean, 3),
            "pictures": len(rows[name]),
            **left([name]).columns("probability kept"),
        }
        for name, each in sorted(known.items(), key=lambda each: -each[1].order)
    ]
    alike = torch.tensor([each.mean for each in known.values()])
    ratios = torch.tensor([left([name]).value for name in known])
    found, chance = rank_correlation(alike, ratios), _by_chance(alike, ratios)
    groups = [[name for name in known if (known[name].order > 1) == turns] for turns in (True, False)]
    means = " against ".join(f"{left(group).percent()} ({len(group)} classes)" for group in groups if group)
    holds = None
    if all(groups):
        turns, others = map(left, groups)
        holds = True if turns.low > others.high else False if turns.high < others.low else None
    return table, Claim(
        "Objects with rotational symmetry keep their probability when they are turned.",
        f"Share of the mean probability that is left over the circle: {means} for parts with and without a turn that "
        f"leaves them alike. Rank correlation, over {len(known)} classes, of how alike a part is to itself turned with "
        f"what is left: {found:.2f}, p = {chance:.2f} by permutation.{_AT_ALL_ANGLES}",
        holds,
    )


def _by_chance(first: torch.Tensor, second: torch.Tensor) -> float:
    """How often chance gives so strong a rank correlation, of either sign."""
    dice = np.random.default_rng(0)
    a, b = (each.argsort().argsort().double().numpy() for each in (first, second))
    a, b = a - a.mean(), b - b.mean()
    shuffled = np.abs(dice.permuted(np.tile(a, (_SHUFFLES, 1)), axis=1) @ b)
    return float((1 + (shuffled >= abs(a @ b) - 1e-9).sum()) / (1 + _SHUFFLES))
