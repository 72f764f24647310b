"""Two labellers of the same pictures: how far they agree beyond chance, and whether one is better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import comb


def kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Cohen's kappa (1960): the agreement beyond what chance would give, of 1; 0 is chance.

    Args:
        first, second: what each said of picture i; "does not know" is an answer like another.

    Returns:
        None where it has no value: no pictures, or both said one and the same of all of them.

    Raises:
        ValueError: not as many answers.
    """
    if len(first) != len(second):
        raise ValueError(f"first, second: expected as many answers, got {len(first)} and {len(second)}")
    count = len(first)
    agreed = sum(a == b for a, b in zip(first, second, strict=True))
    shares = Counter(first), Counter(second)
    by_chance = sum(shares[0][each] * shares[1][each] for each in shares[0])  # times count squared
    if count * count == by_chance:
        return None
    return (agreed * count - by_chance) / (count * count - by_chance)


def mcnemar(first_alone: int, second_alone: int) -> float:
    """The exact, two-sided p of McNemar's test (1947): how often a difference as large comes by chance.

    Pictures where both are right or both are wrong say nothing of who is better; of the others each would be right
    alone in half of them.

    Args:
        first_alone, second_alone: pictures that only the first, only the second, has right.

    Raises:
        ValueError: one is below 0.
    """
    if min(first_alone, second_alone) < 0:
        raise ValueError(f"expected counts of at least 0, got {first_alone} and {second_alone}")
    tries = first_alone + second_alone
    tail = sum(comb(tries, k) for k in range(min(first_alone, second_alone) + 1))
    return min(1.0, 2 * tail / 2**tries)
