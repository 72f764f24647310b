"""The networks of a report: one as a rule, each with its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from zfcuda.report.filters import Filters
from zfcuda.report.part import Part
from zfcuda.report.record import record_of


@dataclass(frozen=True)
class Network:
    """One network of a report.

    Attributes:
        number: 0, 1, ...
        record: what is known about it, as in numbers.json.
        filters: those of its first layer, drawn; None where there are none.
        parts: one per picture that it was shown.
    """

    number: int
    record: dict[str, Any]
    filters: Filters | None
    parts: tuple[Part, ...]


def networks_of(parts: Sequence[Part]) -> list[Network]:
    """The networks of parts in which those of one network stand one after the other."""
    groups = [tuple(group) for _, group in groupby(parts, key=lambda part: id(part.subject))]
    return [
        Network(number, record_of(group[0].subject), group[0].filters, group) for number, group in enumerate(groups)
    ]
