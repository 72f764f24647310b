"""A transfer from the pictures to the advice, and what is refused before any of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.train.transfer.data import CLASSES, Counting, Network, sets
from zfcuda.train.transfer import Settings, Transfer, measure, output, prepare, tables
from zfcuda.train.transfer.parts import parts_of

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Transfer:
    prepared = prepare(Network(), sets(), Settings(per_class=(1, 4, 8), folds=3))
    result = measure(prepared, tmp_path_factory.mktemp("codes"))
    assert result is not None
    return result


def test_the_table_has_each_layer_and_classifier(found: Transfer) -> None:
    assert [(row.layer.name, row.fitted.classifier) for row in found.rows] == [
        (layer, classifier) for layer in ("relu1", "pool") for classifier in ("softmax", "svm")
    ]
    assert all(row.fitted.test.accuracy == 1.0 and row.fitted.test.of == 12 for row in found.rows)  # colours alone
    assert found.chance == pytest.approx(1 / 3) and found.ran == ["relu1", "pool"]


def test_the_curves_have_exact_counts_and_folds(found: Transfer) -> None:
    assert {point.layer for point in found.points} == {"relu1", "pool"}
    assert [point.per_class for point in found.points] == [1, 4, 8] * 2
    assert all(len(point.shares) == 3 for point in found.points)
    assert found.points[2].spread == 0.0  # all pictures in every fold
    assert {(choice.way, choice.per_class, choice.pictures) for choice in found.few} == {
        ("last", 4, 12),
        ("earlier", 4, 12),
    }
    assert [choice.way for choice in found.many] == ["last", "earlier"] and found.many[0].pictures == 24


def test_a_second_run_gives_the_same_and_runs_no_picture(tmp_path: Path) -> None:
    model, settings = Counting(), Settings(per_class=(2,), folds=2, classifiers=("svm",))
    first = measure(prepare(model, sets(), settings), tmp_path)
    before = model.runs
    prepared = prepare(model, sets(), settings)
    looked = model.runs
    again = measure(prepared, tmp_path)
    assert first is not None and again is not None
    assert model.runs == looked and looked - before <= 4 and again.ran == []
    one, other = (output.numbers(each) for each in (first, again))
    for each in (one, other):
        for row in [*each["by_layer"], each["best_on_validation"]]:
            row.pop("seconds")
    assert one == other


def test_what_is_written_and_printed(found: Transfer, tmp_path: Path) -> None:
    files = output.write(found, tmp_path, "a network on colours", {"command": "zfcuda transfer"})
    numbers = json.loads(files[0].read_text())
    assert numbers["command"] == "zfcuda transfer" and numbers["pictures"] == {
        "training": 24,
        "validation": 9,
        "test": 12,
    }
    assert numbers["best_on_validation"]["by_class"] == dict.fromkeys(CLASSES, 1.0)
    assert numbers["best_on_validation"]["layer"] == "pool"  # of equals the last
    assert [row["pictures"] for row in numbers["cases"]] == ["few", "many"]
    assert numbers["advice"].startswith("With all 24 pictures take a linear classifier on the last codes")
    lines = tables.by_layer(found.rows).splitlines()
    assert len(lines) == 6 and "6 x 7 x 7" in lines[2] and lines[2].endswith("100.0% +- 5.8%")
    assert "pool, softmax" in tables.curves(found.points).splitlines()[0]
    assert len(tables.choices([*found.few, *found.many]).splitlines()) == 6


def test_pictures_of_the_figures(found: Transfer, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    names = [file.name for file in output.write(found, tmp_path, "title", {})]
    assert names == ["transfer.json", "by-layer.png", "curves.png"]
    for name in names[1:]:
        with Image.open(tmp_path / name) as picture:
            assert len(picture.convert("L").getcolors()) > 20


def test_without_matplotlib_there_are_the_numbers(
    found: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfcuda.train.transfer.plot.find_spec", lambda name: None)
    assert [file.name for file in output.write(found, tmp_path, "title", {})] == ["transfer.json"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(layers=("relu9",)), "layer: Counting has no layer 'relu9'; there are: conv1, relu1, conv2"),
        (Settings(curve_layers=("conv1",)), "curve_layers: expected some of the layers relu1, pool, got 'conv1'"),
        (Settings(per_class=(1, 9)), "per_class: expected at most 8, the training pictures of 'red', got 9"),
    ],
)
def test_what_is_refused_before_the_work(settings: Settings, said: str) -> None:
    model = Counting()
    with pytest.raises(ValueError, match=f"^{said}"):
        prepare(model, sets(), settings)
    assert model.runs <= 2


def test_a_layer_without_a_code_is_refused() -> None:
    class Odd(Network):
        def __init__(self) -> None:
            super().__init__()
            self.unused = self.fc.__class__(2, 2)

    with pytest.raises(ValueError, match=r"^layer: 'unused' is not called when the model runs"):
        prepare(Odd(), sets(), Settings(layers=("relu1", "unused")))


def test_more_codes_than_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["zfcuda.train.transfer.measure"], "limit_of", lambda asked, device: 1000)
    with pytest.raises(ValueError, match=r"^layers: the codes take 54,360 bytes .*--pool 2"):
        prepare(Network(), sets())


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfcuda.features.embed.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install zfcuda\[features\]"):
        prepare(Network(), sets())


def test_without_test_pictures_some_are_set_aside() -> None:
    data = sets(train=10, validation=3, test=None)
    parts = parts_of(data, seed=4)
    assert [len(part.labels) for _, part in parts.items()] == [27, 3, 9] and "no test pictures" in parts.note
    assert sorted(parts.validation.labels) == [0, 1, 2]
    assert parts_of(data, seed=4).validation.labels == parts.validation.labels
    assert {*parts.training.names}.isdisjoint(parts.validation.names)


def test_some_pictures_of_each_class() -> None:
    parts = parts_of(sets(), most=2)
    assert [sorted(part.labels) for _, part in parts.items()] == [[0, 0, 1, 1, 2, 2]] * 3
