"""Records of pictures and edits as rows with intervals, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from zfcuda.faithfulness.intervals import wilson
from zfcuda.faithfulness.similarity import rank_correlation
from zfcuda.paper.estimate import Estimate, of_row, unknown
from zfcuda.paper.performance.edits import (
    AS_OBJECT,
    AS_PART,
    AS_REST,
    CLUTTER,
    CONTRAST,
    COVERED,
    LEFT_OUT,
    LIGHTNESS,
    OBJECT,
    PART,
    REST,
    SIZE,
)
from zfcuda.paper.result import Claim, Row

#: What is changed by degrees, and what leaves it as it is.
SERIES = {LIGHTNESS: 0.0, CONTRAST: 1.0, SIZE: 1.0, CLUTTER: 0.0}
_BINS = 5
_MILD = {LIGHTNESS: (-30, 30), CONTRAST: (0.7, 1.4), SIZE: (0.8, 1.25), CLUTTER: (1.0,)}
_RESAMPLES, _SEED = 500, 0
_MATTERS = 0.05  # of the probability: a mean drop from which on an attribute matters

Records = Sequence[Mapping[str, Any]]


def binned(records: Records) -> list[Row]:
    """A row for each fifth of the pictures by each attribute: how large it is, accuracy, probability of the class."""
    rows: list[Row] = []
    for name in records[0]["attributes"]:
        values = np.array([record["attributes"][name] for record in records])
        edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)))
        place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(0, len(edges) - 2))
        for each in np.unique(place):
            some = [record for record, at in zip(records, place, strict=True) if at == each]
            inside = values[place == each]
            rows.append(
                {
                    "attribute": name,
                    "from": float(inside.min()),
                    "to": float(inside.max()),
                    "middle": float(np.median(inside)),
                }
                | _performance(some)
            )
    return rows


def ranked(records: Records) -> list[Row]:
    """A row for each attribute: its rank correlation with the probability of the class, the strongest first."""
    said = torch.tensor([record["probability"] for record in records], dtype=torch.float64)
    dice = torch.Generator().manual_seed(_SEED)
    chosen = torch.randint(0, len(records), (_RESAMPLES, len(records)), generator=dice)
    rows = []
    for name in records[0]["attributes"]:
        values = torch.tensor([record["attributes"][name] for record in records], dtype=torch.float64)
        found = [rank_correlation(values[each], said[each]) for each in chosen]
        low, high = np.percentile(found, (2.5, 97.5))
        ranks = Estimate(rank_correlation(values, said), float(low), float(high))
        rows.append({"attribute": name, **ranks.columns("rank correlation")})
    return sorted(rows, key=lambda row: -abs(row["rank correlation"]))


def changed(records: Records) -> list[Row]:
    """A row for each attribute and amount: accuracy, probability, and its drop against the pictures as they are."""
    amounts: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for record in records:
        for edit in record["edits"]:
            if edit["what"] in SERIES:
                amounts.setdefault((edit["what"], edit["amount"]), []).append({**edit, "before": record["probability"]})
    return [
        {"attribute": what, "amount": amount, **_performance(some), **_mean_drop(some).columns("drop")}
        for (what, amount), some in sorted(amounts.items())
    ]


def pieces(records: Records) -> list[Row]:
    """A row for each piece: what leaving it out, and covering it, takes from the probability; background last."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for record in records:
        for edit in record["edits"]:
            if edit["what"] not in SERIES:
                known = found.setdefault(edit["amount"], {LEFT_OUT: [], COVERED: []})
                known[edit["what"]].append({**edit, "before": record["probability"]})
    rows = []
    for name, ways in found.items():
        covered = ways[COVERED]
        row: dict[str, Any] = {
            "piece": name,
            "pictures": len(covered),
            "share of the picture": float(np.mean([edit["share"] for edit in covered])),
        }
        for way, edits in ways.items():
            for name, figure in (("drop", _mean_drop), ("accuracy", _accuracy)):
                row |= figure(edits).columns(f"{way}: {name}") if edits else unknown(f"{way}: {name}")
        rows.append(row)
    controls = (AS_PART, AS_REST, AS_OBJECT)
    return sorted(rows, key=lambda row: (row["piece"] in controls, -row[f"{COVERED}: drop"]))


def swings(rows: Sequence[Row], *, mild: bool = False) -> list[Row]:
    """A row for each attribute that was changed: the largest drop of the mean probability, and where; largest first.

    mild: of those changes alone that are about as large as what pictures of Parts differ by among themselves.
    """
    best: dict[str, Row] = {}
    for row in rows:
        if mild and row["amount"] not in _MILD[row["attribute"]]:
            continue
        if row["attribute"] not in best or row["drop"] > best[row["attribute"]]["drop"]:
            best[row["attribute"]] = row
    return sorted(best.values(), key=lambda row: -row["drop"])


def covering(records: Records) -> list[Claim]:
    """Whether covering the object drops its class, and the defining part more than the rest of it."""
    return [
        _against(
            records,
            "Covering the object drops the probability of its class.",
            OBJECT,
            AS_OBJECT,
        ),
        _against(
            records,
            "Covering the part that defines the class drops its probability, more than as much of the background.",
            PART,
            AS_PART,
        ),
        _against(
            records,
            "The defining part matters more than the rest of the object, which is larger.",
            PART,
            REST,
        ),
    ]


def mattering(by_rank: Sequence[Row], rows: Sequence[Row]) -> Claim:
    """Which attribute matters most, by the pictures as they are and by changing them."""
    moved, mild = swings(rows), swings(rows, mild=True)
    correlations = ", ".join(f"{row['attribute']} {of_row(row, 'rank correlation').shown('+.2f')}" for row in by_rank)
    drops = [of_row(row, "drop").above(_MATTERS) for row in rows if row["amount"] != SERIES[row["attribute"]]]
    return Claim(
        "How well a network does depends on attributes of the picture beside its class.",
        f"Rank correlation of the probability of the class with attributes of pictures as they are: {correlations}. "
        f"Largest mean drop of it when one is changed alone: {_drops(moved)}; by mild changes: {_drops(mild)}. What "
        f"matters most is {moved[0]['attribute']}, of mild changes {mild[0]['attribute']}. Any of {len(drops)} changes "
        f"counts whose mean drop is surely above {_MATTERS}; the intervals are not corrected for their number.",
        True if True in drops else None if None in drops else False,
    )


def _drops(rows: Sequence[Row]) -> str:
    return ", ".join(f"{row['attribute']} {of_row(row, 'drop')} at {row['amount']:g}" for row in rows)


def _against(records: Records, says: str, first: str, second: str) -> Claim:
    pairs = []
    for record in records:
        covered = {edit["amount"]: edit for edit in record["edits"] if edit["what"] == COVERED}
        if first in covered and second in covered:
            pairs.append([record["probability"] - covered[name]["probability"] for name in (first, second)])
    if not pairs:
        return Claim(says, "No picture has room for both.", None)
    drops = np.array(pairs)
    a, b, more = (Estimate.of(each.tolist()) for each in (drops[:, 0], drops[:, 1], drops[:, 0] - drops[:, 1]))
    return Claim(
        says,
        f"Drop of the probability, over {len(pairs)} pictures: {first} {a}, {second} {b}; difference {more}.",
        more.positive,
    )


def _performance(some: Records) -> dict[str, Any]:
    probability = Estimate.of([each["probability"] for each in some])
    return {"pictures": len(some), **_accuracy(some).columns("accuracy"), **probability.columns("probability")}


def _accuracy(some: Records) -> Estimate:
    right = sum(bool(each["right"]) for each in some)
    return Estimate(right / len(some), *wilson(right, len(some)))


def _mean_drop(some: Records) -> Estimate:
    return Estimate.of([each["before"] - each["probability"] for each in some])
