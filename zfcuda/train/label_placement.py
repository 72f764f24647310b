"""Labels beside curves that do not stand on one another."""

from __future__ import annotations

from collections.abc import Sequence


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Places as near to the wanted ones as a smallest distance of any two of them allows, in the same order."""
    groups: list[list[int]] = []

    def lowest(group: list[int]) -> float:  # so that its places lie around the middle of what its members want
        return sum(wanted[index] for index in group) / len(group) - gap * (len(group) - 1) / 2

    for index in sorted(range(len(wanted)), key=lambda index: wanted[index]):
        groups.append([index])
        while len(groups) > 1 and lowest(groups[-1]) - lowest(groups[-2]) < gap * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    return [
        place
        for _, place in sorted(
            (index, lowest(group) + gap * rank) for group in groups for rank, index in enumerate(group)
        )
    ]
