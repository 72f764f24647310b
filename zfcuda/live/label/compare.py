"""What a person answered beside what the network answered: how often each is right, where they differ, in numbers."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zfcuda.faithfulness.intervals import wilson
from zfcuda.live.label.statistics import kappa, mcnemar
from zfcuda.live.label.task import UNKNOWN

#: What may become of a picture, and how it is said; those with a truth and a network, with one of them, with none.
KINDS = {
    "person": "only the person is right",
    "network": "only the network is right",
    "same": "both say the same, and are wrong",
    "different": "both are wrong, in different ways",
    "both": "both are right",
    "wrong": "the person is wrong",
    "right": "the person is right",
    "differ": "they differ",
    "agree": "they agree",
    "answered": "answered",
}


@dataclass(frozen=True)
class Row:
    """A picture that was answered.

    Attributes:
        position: where it stood in the order.
        name: of the picture.
        truth: its class; None where that is unknown.
        person: class names, the likeliest first; none where the person did not know.
        network: the same of the network, and the probability of each; empty where there is none.
        seconds: that the person took; None where that is unknown.
    """

    position: int
    name: str
    truth: str | None
    person: tuple[str, ...]
    network: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    seconds: float | None = None

    @property
    def said(self) -> str:
        """What the person thinks likeliest."""
        return self.person[0] if self.person else UNKNOWN

    @property
    def kind(self) -> str:
        """One of KINDS, by the first answers."""
        if self.truth is None:
            return "answered" if not self.network else "agree" if self.said == self.network[0] else "differ"
        right = self.said == self.truth
        if not self.network:
            return "right" if right else "wrong"
        if right or self.network[0] == self.truth:
            return "both" if right and self.network[0] == self.truth else "person" if right else "network"
        return "same" if self.said == self.network[0] else "different"


@dataclass(frozen=True)
class Share:
    """A share of pictures, with its 95 % interval (Wilson's)."""

    hits: int
    count: int

    @property
    def value(self) -> float:
        """hits / count."""
        return self.hits / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """Within which it would probably lie if other pictures were drawn."""
        return wilson(self.hits, self.count)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        low, high = self.interval
        return {"hits": self.hits, "count": self.count, "share": self.value, "low": low, "high": high}


@dataclass(frozen=True)
class Score:
    """How often the truth is among the first so many answers.

    Attributes:
        top: how many.
        person, network: the shares; None: there is no network.
        person_alone, network_alone: pictures that only one of them has right.
        p: of McNemar's exact test, two-sided; None without a network.
    """

    top: int
    person: Share
    network: Share | None = None
    person_alone: int = 0
    network_alone: int = 0
    p: float | None = None


@dataclass(frozen=True)
class Confusion:
    """How often each class is taken for each.

    Attributes:
        classes: the rows, and the columns but for the last: those that occur.
        counts: [truth][answer]; the last column is "don't know".
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def worst(self, most: int = 20) -> list[tuple[str, str, int]]:
        """(truth, answer, how often) of the most frequent mistakes, the most frequent first."""
        columns = (*self.classes, UNKNOWN)
        found = [
            (truth, answer, count)
            for truth, row in zip(self.classes, self.counts, strict=True)
            for answer, count in zip(columns, row, strict=True)
            if count and truth != answer
        ]
        return sorted(found, key=lambda each: -each[2])[:most]


@dataclass(frozen=True)
class Comparison:
    """All that is said of one person's answers.

    Attributes:
        rows: the pictures, in the order in which they were asked.
        scores: of the first answer, and of all that may be given where that is more; empty where no truth is known.
        person, network: confusion with the truth; of the network, where there is no truth, None of both.
        agreement: the share of pictures for which the first answers are the same; kappa: Cohen's; None without network.
        unknown: how often the person did not know.
        seconds: the median time for a picture; None where no time is known.
        total: of all of them together, in seconds.
    """

    rows: tuple[Row, ...]
    scores: tuple[Score, ...]
    person: Confusion | None
    network: Confusion | None
    agreement: Share | None
    kappa: float | None
    unknown: int
    seconds: float | None
    total: float

    @property
    def kinds(self) -> dict[str, int]:
        """How many pictures there are of each of KINDS, in that order."""
        counts = Counter(row.kind for row in self.rows)
        return {kind: counts[kind] for kind in KINDS}

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "pictures": len(self.rows),
            "scores": [_plain(score) for score in self.scores],
            "kinds": {kind: count for kind, count in self.kinds.items() if count},
            "agreement": None if self.agreement is None else self.agreement.plain(),
            "kappa": self.kappa,
            "unknown": self.unknown,
            "median_seconds": self.seconds,
            "total_seconds": self.total,
            "confusion": {
                who: {"classes": found.classes, "answers": [*found.classes, UNKNOWN], "counts": found.counts}
                for who, found in (("person", self.person), ("network", self.network))
                if found is not None
            },
            "rows": [{**vars(row), "kind": row.kind} for row in self.rows],
        }


def rows(
    names: Sequence[str],
    truth: Sequence[str] | None,
    given: Mapping[str, Mapping[str, Any]],
    network: Mapping[str, Mapping[str, Any]] | None,
) -> tuple[Row, ...]:
    """The pictures that were answered, in their order; where there is a network, those that it has answered too.

    Args:
        names: of the pictures in their order.
        truth: the class of each.
        given: as :class:`zfcuda.live.label.answers.Answers` has it.
        network: as :class:`zfcuda.live.label.network.NetworkAnswers` has it.
    """
    found = []
    for position, name in enumerate(names):
        if name in given and (network is None or name in network):
            own = given[name]
            theirs = network[name] if network is not None else {"answers": (), "probabilities": ()}
            found.append(
                Row(
                    position,
                    name,
                    None if truth is None else truth[position],
                    tuple(own["answers"]),
                    tuple(theirs["answers"]),
                    tuple(theirs["probabilities"]),
                    own.get("seconds"),
                )
            )
    return tuple(found)


def compare(found: Sequence[Row], classes: Sequence[str], answers: int = 1) -> Comparison:
    """Holds a person's answers against the truth and against the network's.

    Args:
        found: the pictures, at least one.
        classes: those to choose from, in their order.
        answers: how many might be given for each.

    Raises:
        ValueError: there are no pictures.
    """
    if not found:
        raise ValueError("found: expected at least one picture that was answered, got none")
    known, asked = found[0].truth is not None, bool(found[0].network)
    firsts = [row.said for row in found], [row.network[0] if asked else "" for row in found]
    agreed = sum(a == b for a, b in zip(*firsts, strict=True))
    times = [row.seconds for row in found if row.seconds is not None]
    here = {name for row in found for name in (row.truth, *row.person[:1], *row.network[:1])}
    occurring = tuple(name for name in classes if name in here)
    truths = [str(row.truth) for row in found]
    return Comparison(
        tuple(found),
        tuple(_score(found, top, asked) for top in sorted({1, answers})) if known else (),
        _confusion(truths, firsts[0], occurring) if known else None,
        _confusion(truths, firsts[1], occurring) if known and asked else None,
        Share(agreed, len(found)) if asked else None,
        kappa(*firsts) if asked else None,
        sum(not row.person for row in found),
        statistics.median(times) if times else None,
        sum(times),
    )


def _score(found: Sequence[Row], top: int, asked: bool) -> Score:
    person = [row.truth in row.person[:top] for row in found]
    if not asked:
        return Score(top, Share(sum(person), len(found)))
    network = [row.truth in row.network[:top] for row in found]
    alone = [sum(a and not b for a, b in zip(*pair, strict=True)) for pair in ((person, network), (network, person))]
    shares = [Share(sum(hits), len(found)) for hits in (person, network)]
    return Score(top, shares[0], shares[1], alone[0], alone[1], mcnemar(*alone))


def _confusion(truths: Sequence[str], said: Sequence[str], classes: tuple[str, ...]) -> Confusion:
    counts = Counter(zip(truths, said, strict=True))
    return Confusion(
        classes, tuple(tuple(counts[truth, answer] for answer in (*classes, UNKNOWN)) for truth in classes)
    )


def _plain(score: Score) -> dict[str, Any]:
    return {
        "top": score.top,
        "person": score.person.plain(),
        "network": None if score.network is None else score.network.plain(),
        "person_alone": score.person_alone,
        "network_alone": score.network_alone,
        "p": score.p,
    }
