"""The comparison: against counts by hand, scikit-learn and SciPy where they are."""

from __future__ import annotations

import random

import pytest

from zfcuda.faithfulness.intervals import wilson
from zfcuda.live.label.compare import KINDS, UNKNOWN, Confusion, Row, compare, rows
from zfcuda.live.label.statistics import kappa, mcnemar

CLASSES = ["cat", "dog", "owl"]


def row(truth: str | None, person: list[str], network: list[str], position: int = 0, seconds: float = 1.0) -> Row:
    return Row(position, f"{position}.png", truth, tuple(person), tuple(network), (0.5,) * len(network), seconds)


# truth, person, network; worked out by hand below.
SIX = [
    row("cat", ["cat"], ["cat"], 0, 1.0),
    row("cat", ["dog"], ["cat"], 1, 3.0),
    row("dog", ["dog"], ["cat"], 2, 2.0),
    row("dog", [], ["dog"], 3, 9.0),
    row("owl", ["cat"], ["cat"], 4, 4.0),
    row("owl", ["cat"], ["dog"], 5, 5.0),
]


def test_six_pictures_by_hand() -> None:
    found = compare(SIX, CLASSES)
    (score,) = found.scores
    assert (score.person.hits, score.network.hits, score.person.count) == (2, 3, 6)
    assert (score.person_alone, score.network_alone) == (1, 2)
    assert score.p == 1.0  # 2 * (1 + 3) / 8
    assert score.person.interval == wilson(2, 6)
    kinds = [each.kind for each in SIX]
    assert kinds == ["both", "network", "person", "network", "same", "different"] and set(kinds) < set(KINDS)
    assert found.person.counts == ((1, 1, 0, 0), (0, 1, 0, 1), (2, 0, 0, 0))
    assert found.network.counts == ((2, 0, 0, 0), (1, 1, 0, 0), (1, 1, 0, 0))
    assert found.person.worst() == [("owl", "cat", 2), ("cat", "dog", 1), ("dog", UNKNOWN, 1)]
    assert found.unknown == 1 and found.seconds == 3.5 and found.total == 24.0
    # Agreed: 0 and 4. The person says cat 3, dog 2, nothing 1; the network cat 4, dog 2.
    assert found.agreement.hits == 2
    assert found.kappa == pytest.approx((2 / 6 - (3 * 4 + 2 * 2) / 36) / (1 - (3 * 4 + 2 * 2) / 36))


def test_up_to_several_answers() -> None:
    five = [
        row("cat", ["dog", "cat"], ["cat", "owl", "dog"]),
        row("dog", ["dog"], ["owl", "dog", "cat"]),
        row("owl", ["cat", "dog"], ["cat", "dog", "owl"]),
    ]
    first, second = compare(five, CLASSES, answers=2).scores
    assert (first.top, first.person.hits, first.network.hits) == (1, 1, 1)
    assert (second.top, second.person.hits, second.network.hits) == (2, 2, 2)
    assert (second.person_alone, second.network_alone) == (0, 0) and second.p == 1.0


def test_without_truth_there_is_agreement_alone() -> None:
    found = compare([row(None, ["cat"], ["cat"]), row(None, ["cat"], ["dog"], 1)], CLASSES)
    assert found.scores == () and found.person is None and found.network is None
    assert found.agreement.hits == 1 and [each.kind for each in found.rows] == ["agree", "differ"]


def test_without_a_network_there_is_the_person_alone() -> None:
    found = compare([row("cat", ["cat"], []), row("cat", ["dog"], [], 1)], CLASSES)
    assert found.scores[0].network is None and found.scores[0].p is None
    assert found.agreement is None and found.kappa is None and found.network is None
    assert [each.kind for each in found.rows] == ["right", "wrong"]
    assert compare([row(None, ["cat"], [])], CLASSES).rows[0].kind == "answered"


def test_classes_that_do_not_occur_are_no_rows() -> None:
    assert compare([row("dog", ["dog"], ["owl"])], CLASSES).person == Confusion(("dog", "owl"), ((1, 0, 0), (0, 0, 0)))


def test_no_pictures() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        compare([], CLASSES)


def test_pictures_that_the_network_has_not_answered_yet_are_left_out() -> None:
    given = {"b": {"answers": ["cat"], "seconds": 1.0}, "a": {"answers": [], "seconds": None}, "gone": {"answers": []}}
    network = {"b": {"answers": ["dog"], "probabilities": [0.9]}}
    (only,) = rows(["a", "b", "c"], ["cat", "dog", "owl"], given, network)
    assert (only.position, only.truth, only.said, only.network) == (1, "dog", "cat", ("dog",))
    first, second = rows(["a", "b", "c"], None, given, None)
    assert (first.said, first.seconds, first.truth, second.network) == (UNKNOWN, None, None, ())


def test_kappa_of_cohens_book() -> None:
    """Two readers, 50 proposals: both yes 20, both no 15, yes and no 5, no and yes 10; kappa is 0.4."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert kappa(first, second) == pytest.approx(0.4)
    assert kappa(first, first) == 1.0
    assert kappa([1, 2], [2, 1]) == -1.0
    assert kappa([], []) is None and kappa([1, 1], [1, 1]) is None
    with pytest.raises(ValueError, match="as many answers"):
        kappa([1], [])


def test_kappa_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    dice = random.Random(0)
    first, second = ([dice.randrange(7) for _ in range(200)] for _ in range(2))
    second[:80] = first[:80]
    assert kappa(first, second) == pytest.approx(metrics.cohen_kappa_score(first, second))


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1.0 and mcnemar(3, 3) == 1.0
    assert mcnemar(0, 5) == 2 / 32 == mcnemar(5, 0)
    assert mcnemar(1, 9) == 2 * (1 + 10) / 1024
    assert 0 <= mcnemar(200, 1300) < 1e-100  # whole numbers far beyond what a float holds
    with pytest.raises(ValueError, match="at least 0"):
        mcnemar(-1, 2)


def test_mcnemar_against_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for one, other in ((4, 7), (12, 30), (150, 101)):
        assert mcnemar(one, other) == pytest.approx(stats.binomtest(one, one + other, 0.5).pvalue)
