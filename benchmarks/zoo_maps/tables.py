"""The zoo as tables: a row for each network, and where the time of the slowest goes."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.tables import Row, markdown
from benchmarks.zoo_maps.trial import BATCHED, CAPTUM, COMPILED, ENGINE, LOOP, OURS, SINGLE

PARTS = 8  # of a profile, named; the others are one
_DTYPES = ("float32", "bfloat16", "float16")
# "198 M parameters, more than 150 M"; "the loop alone would take 17 s, more than 8 s".
_BEYOND = re.compile(r"(\D*)(\d+ \w+)( parameters)?, more than (\d+ \w+)")
_ALT = "How many times faster than brute force, against what the multiply-adds allow; a point for each network."


def lines(result: Mapping[str, Any], picture: str) -> list[str]:
    """All tables of a file of results, with the picture."""
    parts = [(dtype, result[dtype]["rows"]) for dtype in _DTYPES if dtype in result]
    found = [f"![{_ALT}]({picture})"]
    for dtype, rows in parts:
        measured = sorted((row for row in rows if "skipped" not in row), key=lambda row: str(row["network"]))
        if measured:
            found += ["", *table(dtype, measured), "", *(f"- {said}." for said in sentences(measured))]
        found += left_out(rows)
    for _, rows in parts:
        found += profiles(rows)
    return found


def left_out(rows: Sequence[Row]) -> list[str]:
    """Which networks were not measured, by why; how far one is beyond a limit stands with its name."""
    skipped: dict[str, list[str]] = {}
    for row in rows:
        if "skipped" not in row:
            continue
        why, name = row["skipped"], row["network"]
        if (beyond := _BEYOND.fullmatch(why)) is not None:
            before, amount, unit, most = beyond.groups("")
            why, name = f"{before}more than {most}{unit}", f"{name} ({amount})"
        skipped.setdefault(why, []).append(name)
    return [f"- Left out, {why}: {', '.join(names)}." for why, names in skipped.items()]


def table(dtype: str, rows: Sequence[Row]) -> list[str]:
    """A row for each network; the opponents' cells are times of ours."""
    against = {CAPTUM: "Captum", LOOP: "loop", COMPILED: "loop, torch.compile"}
    if dtype != "float32":
        against = {SINGLE: "auto in float32", LOOP: f"loop in {dtype}"}
    columns = [f"network, {dtype}", "auto, s (quartiles)", "engine, s", "brute force, s", *against.values()]
    columns += [
        "the arithmetic allows",
        "won",
        "reached of it",
        "auto, of the better way",
        "worst logit, of the tolerance",
    ]
    return markdown(columns, [_cells(row, against) for row in rows])


def _cells(row: Row, against: Mapping[str, str]) -> list[str]:
    low, high = row["quartiles"][OURS]
    seconds = row["seconds"]
    exact = row.get("in_float64")
    return [
        row["network"],
        f"{seconds[OURS]:.3g} ({low:.3g} to {high:.3g}), {row['method']}",
        *(f"{seconds[side]:.3g}" if side in seconds else "-" for side in (ENGINE, BATCHED)),
        *(f"{row['ratio'][side]:.2f}x ({seconds[side]:.3g} s)" if side in seconds else "-" for side in against),
        f"{row['bound']:.2f}x",
        f"{row['won']:.2f}x",
        f"{row['reached']:.0%}",
        f"{row['of_better_way']:.0%}",
        f"{row['deviation_over_tolerance']:.2g}" + (f"; {exact['engine']:.1g} in float64" if exact else ""),
    ]


def sentences(rows: Sequence[Row]) -> list[str]:
    """What the rows say together."""
    won, reached, better = ([row[name] for row in rows] for name in ("won", "reached", "of_better_way"))
    mean = statistics.geometric_mean(won)
    above = sum(share >= 0.95 for share in reached)
    said = [
        f"{len(rows)} networks: {mean:.2f}x in the geometric mean, {min(won):.2f}x to {max(won):.2f}x; {above} reach "
        f"95 % of what the arithmetic allows or more"
    ]
    below = [row["network"] for row in rows if row["of_better_way"] < 0.95]
    ends = f": {', '.join(below)}" if below else ""
    return [*said, f"auto reaches {min(better):.0%} of the better way or more; less than 95 % on {len(below)}{ends}"]


def profiles(rows: Sequence[Row]) -> list[str]:
    """Where the engine's time goes, of the networks that were profiled."""
    with_profile = sorted((row for row in rows if "profile" in row), key=lambda row: float(row["reached"]))
    found: list[str] = []
    for row in with_profile:
        parts = sorted(row["profile"].items(), key=lambda part: -part[1])
        total = sum(spent for _, spent in parts)
        rest = sum(spent for _, spent in parts[PARTS:])
        shown = [*parts[:PARTS], *([(f"{len(parts) - PARTS} other parts", rest)] if rest else [])]
        cells = [[part, f"{spent:.3f}", f"{spent / total:.0%}"] for part, spent in shown]
        title = f"{row['network']}, {row['dtype']}: where the engine's {total:.2f} s go"
        found += ["", *markdown([title, "s", "of all"], cells)]
    return found
