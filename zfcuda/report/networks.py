"""The networks of a report: one as a rule, each with its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from zfcuda.report.explanation import Explanation
from zfcuda.report.filters import Filters, first_filters
from zfcuda.report.record import record_of


@dataclass(frozen=True)
class Network:
    """One network of a report.

    Attributes:
        number: 0, 1, ...
        record: what is known about it, as in numbers.json.
        filters: those of its first layer, drawn; None where there are none.
        explanations: one per picture that it was shown.
    """

    number: int
    record: dict[str, Any]
    filters: Filters | None
    explanations: tuple[Explanation, ...]


def networks_of(explanations: Sequence[Explanation]) -> list[Network]:
    """The networks of explanations in which those of one network stand one after the other."""
    groups = [tuple(group) for _, group in groupby(explanations, key=lambda e: id(e.subject))]
    return [
        Network(number, record_of(group[0].subject), first_filters(group[0]), group)
        for number, group in enumerate(groups)
    ]
