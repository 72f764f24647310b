"""When pictures that cannot be read stop a run."""

from __future__ import annotations

import warnings

import pytest

from zfcuda.train.broken import Broken, BrokenPictures

LABELS = [0] * 150 + [1] * 150 + [2] * 2


def unread(found: dict[int, Broken] | None = None) -> BrokenPictures:
    return BrokenPictures("train", LABELS, ["cat", "dog", "owl"], {} if found is None else found)


def lost(*indices: int) -> list[Broken]:
    return [Broken(index, f"{index}.png", "truncated") for index in indices]


def test_each_is_told_once_and_counted() -> None:
    known = unread()
    with pytest.warns(UserWarning) as said:
        known.add(lost(3), 7)
        known.add(lost(3, 4), 6)
    assert [str(each.message) for each in said] == [f"data: train: left out: {k}.png: truncated" for k in (3, 4)]
    assert sorted(known.found) == [3, 4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unread(dict(known.found)).add(lost(3), 1)  # an earlier start has told
        BrokenPictures("train", LABELS, [], {}, show=False).add(lost(3), 1)
    known.check()


def test_of_very_many_the_number_is_told() -> None:
    known = unread()
    with pytest.warns(UserWarning) as said:
        known.add(lost(*range(100)), 1000)
    assert len(said) == 50 and "more of them are counted alone" in str(said[-1].message)
    assert len(known.found) == 100
    known.check()


@pytest.mark.filterwarnings("ignore")
def test_a_run_stops_where_a_class_is_lost() -> None:
    known = unread()
    known.add(lost(300), 9)
    known.check()
    known.add(lost(301), 9)
    with pytest.raises(ValueError, match=r"data: train: none of 2 pictures of owl can be read; 300\.png: truncated"):
        known.check()
    known.check(of_classes=False)


@pytest.mark.filterwarnings("ignore")
def test_a_run_stops_where_more_than_half_is_lost() -> None:
    known = unread()
    known.add(lost(*range(50)), 49)
    known.check()
    known.add([], 1)
    known.check()
    known.add(lost(50, 51), 0)  # another process has found them
    known.check()
    known.add(lost(53), 1)
    known.add(lost(54, 55), 1)
    with pytest.raises(ValueError, match=r"data: train: 53 of 105 pictures cannot be read; 0\.png"):
        known.check()
    few = BrokenPictures("validation", [0, 0, 1], ["a", "b"], {})
    few.add(lost(0, 2), 0)
    with pytest.raises(ValueError, match="validation: 2 of 3 pictures cannot be read"):
        few.check(of_classes=False)
