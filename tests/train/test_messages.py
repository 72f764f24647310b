"""What a training says when it has ended."""

from __future__ import annotations

from pathlib import Path

from zfcuda.train.messages import by_class, ending


def test_the_table_of_classes() -> None:
    confusion = [[8, 2, 0], [0, 5, 5], [0, 0, 4]]
    assert by_class(["cat", "dog", "a bird"], confusion) == [
        "class   pictures   right  most often taken for",
        "cat           10   80.0%  dog (2)",
        "dog           10   50.0%  a bird (5)",
        "a bird         4  100.0%  -",
    ]


def test_of_many_classes_the_hardest_are_shown() -> None:
    count = 50
    confusion = [[0] * count for _ in range(count)]
    for index in range(count - 1):  # the last one has no pictures
        confusion[index][index], confusion[index][0 if index else 1] = index, 60 - index
    lines = by_class([f"class {index}" for index in range(count)], confusion)
    assert len(lines) == 22 and lines[1].startswith("class 0 ") and lines[20].startswith("class 19 ")
    assert lines[21] == "the 20 hardest of 49 classes; result.json has all"


def test_without_a_test_part_validation_is_what_there_is() -> None:
    said = ending({"epoch": 3, "validation": 0.875, "test": None}, Path("out/a run"))
    assert said.splitlines()[0] == "validation 87.50%, best in epoch 3"
