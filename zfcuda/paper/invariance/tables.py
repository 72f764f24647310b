"""The figures of Figure 5 as rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from zfcuda.paper.estimate import Estimate
from zfcuda.paper.invariance.changes import DISC, FLIP, HALF_PIXEL, OTHER_BORDER, SCALE, SHIFT, TURN, of_kind
from zfcuda.paper.invariance.curves import Array, Curves, harmonics, mean, peak, resampled, straightness
from zfcuda.paper.result import Row

#: What is compared, and what each is called in tables and pictures.
NAMES = {
    SHIFT: "vertical shift",
    SCALE: "enlargement",
    TURN: "rotation",
    DISC: "rotation of a disc",
    FLIP: "flips",
    OTHER_BORDER: "vertical shift, other border",
    HALF_PIXEL: "half a pixel right and down",
}
#: Where a curve of period 90 degrees comes back, in degrees.
QUARTERS = (90, 180, 270)


def by_layer(curves: Curves) -> list[Row]:
    """A row for each layer: the mean relative distance over all changes of a kind."""
    return [
        {"layer": layer} | _columns({NAMES[kind]: mean(curves.changed(values, kind)) for kind in NAMES})
        for layer, values in curves.distances.items()
    ]


def small(curves: Curves) -> list[Row]:
    """A row for each kind: the relative distance at its smallest changes, in the first and in the last layer."""
    rows: list[Row] = []
    for kind in (SHIFT, SCALE, TURN, DISC):
        places = smallest(curves, kind)
        first, last = (curves.distances[layer][:, places] for layer in ends(curves))
        rows.append(
            {
                "change": NAMES[kind],
                "amounts": [curves.changes[place].amount for place in places],
                **mean(first).columns("first layer"),
                **mean(last).columns("last layer"),
                **mean(first - last).columns("first less last"),
                **kept(curves, kind, places).columns("probability kept"),
            }
        )
    return rows


def answers(curves: Curves) -> list[Row]:
    """A row for each kind: what is left of the probability and of the answer."""
    return [
        {
            **_answer(curves, kind),
            **(_in_view(curves, kind, curves.in_view) if curves.in_view is not None else {}),
        }
        for kind in NAMES
    ]


def _answer(curves: Curves, kind: str) -> dict[str, Any]:
    return {
        "change": NAMES[kind],
        "mean probability before": float(curves.reference(kind).mean()),
        **mean(curves.changed(curves.probability, kind)).columns("mean probability"),
        **kept(curves, kind).columns("share of it kept"),
        **mean(curves.changed(curves.same.astype(float), kind)).columns("same answer"),
    }


def _in_view(curves: Curves, kind: str, in_view: Any) -> dict[str, Any]:
    seen = curves.changed(in_view, kind)
    left = kept_in_view(curves, kind, in_view)
    return {"part in view": float(seen.mean()), **left.columns("share kept, part in view")}


def lines(curves: Curves) -> list[Row]:
    """A row for each layer: R^2 of a line through the origin, for shifts and for enlargements."""
    return [
        {"layer": layer}
        | _columns(
            {
                f"R^2, {NAMES[kind]}": resampled(straightness(curves.amounts(kind), kind), curves.of(values, kind))
                for kind in (SHIFT, SCALE)
            }
        )
        for layer, values in curves.distances.items()
    ]


def circle(curves: Curves) -> list[Row]:
    """A row for each curve over the circle: how its variance is shared by periods, and its peaks at quarters."""
    rows: list[Row] = []
    first, last = ends(curves)
    for kind in (TURN, DISC):
        for what, values in (
            ("probability", curves.probability),
            (f"distance, {first}", curves.distances[first]),
            (f"distance, {last}", curves.distances[last]),
        ):
            shares = harmonics(curves.of(values, kind))
            rows.append(
                {
                    "change": NAMES[kind],
                    "curve": what,
                    **{f"{360 // n} degrees": float(shares[n - 1]) for n in (1, 2, 3, 4, 6, 8)},
                    "largest": f"{360 / (1 + int(shares.argmax())):g} degrees",
                    **at_quarters(curves, values, kind, (180,)).columns("180 over 130 to 230"),
                    **at_quarters(curves, values, kind).columns("quarters over between"),
                }
            )
    return rows


def all_curves(curves: Curves) -> list[Row]:
    """A row for each change: medians and quartiles over the pictures."""
    rows: list[dict[str, Any]] = []
    for place, change in enumerate(curves.changes):
        row: dict[str, Any] = {"change": NAMES[change.kind], "amount": change.amount, "border": change.border}
        first, last = ends(curves)
        for what, values in (
            ("first layer", curves.distances[first]),
            ("last layer", curves.distances[last]),
            ("first layer, of the norm", curves.of_norm[first]),
            ("last layer, of the norm", curves.of_norm[last]),
            ("probability", curves.probability),
        ):
            low, middle, high = np.percentile(values[:, place], (25, 50, 75))
            row |= {f"{what}: median": float(middle), f"{what}: quartiles": [float(low), float(high)]}
        rows.append(row | {"same answer": float(curves.same[:, place].mean())})
    return list(rows)


def ends(curves: Curves) -> tuple[str, str]:
    """The first and the last layer."""
    names = list(curves.distances)
    return names[0], names[-1]


def smallest(curves: Curves, kind: str) -> list[int]:
    """The places of the smallest changes of a kind, one to each side where there are two."""
    none = 1 if kind == SCALE else 0
    size = {
        place: min(abs(curves.changes[place].amount - none), 360 - curves.changes[place].amount)
        if kind in (TURN, DISC)
        else abs(curves.changes[place].amount - none)
        for place in of_kind(curves.changes, kind)
        if not curves.changes[place].same
    }
    return [place for place, by in size.items() if by <= min(size.values()) + 1e-9]


def kept(curves: Curves, kind: str, places: list[int] | None = None) -> Estimate:
    """The mean probability under the changes of a kind, as a share of that before."""
    found = curves.changed(curves.probability, kind) if places is None else curves.probability[:, places]
    return resampled(
        lambda after, before: float(after.mean() / max(before.mean(), 1e-12)),
        found.mean(axis=1),
        curves.reference(kind),
    )


def kept_in_view(curves: Curves, kind: str, in_view: Any) -> Estimate:
    """The same of those changed pictures in which the part that tells the class is still shown."""
    return resampled(_share, *_weighed(curves, kind, in_view))


def kept_more(curves: Curves, first: str, second: str) -> Estimate:
    """How much more of the probability is left under changes of one kind than of another, over the same pictures.

    As far as it is known, where the part that tells the class is still shown.
    """
    return resampled(
        lambda *rows: _share(*rows[:2]) - _share(*rows[2:]),
        *_weighed(curves, first, curves.in_view),
        *_weighed(curves, second, curves.in_view),
    )


def _weighed(curves: Curves, kind: str, in_view: Any) -> tuple[Array, Array]:
    after = curves.changed(curves.probability, kind)
    seen = np.ones_like(after) if in_view is None else curves.changed(in_view, kind).astype(float)
    return after * seen, curves.reference(kind)[:, None] * seen


def _share(after: Array, before: Array) -> float:
    return float(after.sum() / max(before.sum(), 1e-12))


def at_quarters(curves: Curves, values: Any, kind: str, at: tuple[int, ...] = QUARTERS) -> Estimate:
    """How much higher a curve is at quarters of the circle than between them."""
    angles = curves.amounts(kind)
    return resampled(lambda rows: peak(rows, angles, at), curves.of(values, kind))


def _columns(figures: Mapping[str, Estimate]) -> dict[str, Any]:
    """Figures by their headings, each with its interval."""
    return {heading: value for name, each in figures.items() for heading, value in each.columns(name).items()}
