"""Folders of class folders, in parts and without."""

from __future__ import annotations

import os
import shutil
import warnings
from collections import Counter
from pathlib import Path

import pytest

from tests.train.sets.trees import picture, three_parts, tree
from zfcuda.train.sets import read_sets


@pytest.fixture(autouse=True)
def no_warnings() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_three_parts(tmp_path: Path) -> None:
    found = read_sets(three_parts(tmp_path / "pets"))
    assert found.title == "pets: 9 training, 3 validation, 3 test pictures of 2 classes"
    assert found.classes == ["cat", "dog"] == found.train.classes
    assert found.train.names[3:5] == ["cat/3.png", "dog/0.png"] and found.train.labels == [0] * 4 + [1] * 5
    assert found.test is not None and found.test.labels == [0, 1, 1]
    assert found.validation.item(2) == str(tmp_path / "pets" / "validation" / "dog" / "0.png")


@pytest.mark.parametrize("names", [("training", "val"), ("Train", "Valid")])
def test_other_names_of_the_parts_and_none_to_test_on(tmp_path: Path, names: tuple[str, str]) -> None:
    found = read_sets(tree(tmp_path, {f"{name}/{kind}": 2 for name in names for kind in "ab"}))
    assert (len(found.train.names), len(found.validation.names), found.test) == (4, 4, None)
    assert "4 training, 4 validation pictures" in found.title


def test_a_part_of_training_is_set_aside_where_nothing_else_is_there_to_validate_on(tmp_path: Path) -> None:
    tree(tmp_path, {"train/a": 20, "train/b": 10, "train/c": 1, "test/a": 1, "test/b": 1, "test/c": 1})
    with pytest.warns(UserWarning, match="data: validation: no picture of 1 of 3 classes: c"):
        found = read_sets(tmp_path, seed=3, split=0.2)
    assert Counter(found.validation.labels) == {0: 4, 1: 2} and Counter(found.train.labels) == {0: 16, 1: 8, 2: 1}
    assert not {*found.validation.names} & {*found.train.names} and found.test is not None
    assert found.title.endswith(", split by seed 3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again, other = (read_sets(tmp_path, seed=seed, split=0.2) for seed in (3, 4))
    assert again.fingerprint == found.fingerprint != other.fingerprint
    assert again.validation.names == found.validation.names != other.validation.names


def test_class_folders_alone_are_divided_into_three(tmp_path: Path) -> None:
    found = read_sets(tree(tmp_path, {"a": 10, "b": 30}))
    assert found.test is not None
    parts = (found.train, found.validation, found.test)
    assert [Counter(part.labels) for part in parts] == [{0: 8, 1: 24}, {0: 1, 1: 3}, {0: 1, 1: 3}]
    assert sorted(name for part in parts for name in part.names) == sorted(
        [f"a/{i}.png" for i in range(10)] + [f"b/{i}.png" for i in range(30)]
    )


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    found = read_sets(tree(tmp_path, {"train": 3, "car": 3, "ship": 3}))
    assert found.classes == ["car", "ship", "train"] and len(found.train.names) == 3


def test_what_lies_deeper_hidden_or_elsewhere(tmp_path: Path) -> None:
    three_parts(tmp_path)
    tree(tmp_path, {"train/cat/more": 1, "train/.hidden": 1, "train/__MACOSX": 1, "unlabelled": 2})
    (tmp_path / "train" / "cat" / "readme.txt").write_text("no picture")
    (tmp_path / "train" / "dog" / "again").symlink_to(tmp_path / "train" / "dog")
    (tmp_path / "train" / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    picture(1).save(tmp_path / "cover.png")
    found = read_sets(tmp_path)
    assert found.train.names[4] == "cat/more/0.png" and found.train.names[-1] == "dog/gone.png"
    assert found.classes == ["cat", "dog"] and len(found.train.names) == 11


def test_a_moved_folder_is_the_same_data(tmp_path: Path) -> None:
    first = three_parts(tmp_path / "first")
    before = read_sets(first).fingerprint
    second = Path(shutil.copytree(first, tmp_path / "elsewhere" / "second"))
    for path in second.rglob("*.png"):
        os.utime(path, (1, 1))
    assert read_sets(second).fingerprint == before
    picture(77, (40, 40)).save(second / "train" / "cat" / "0.png")
    assert read_sets(second).fingerprint != before


def test_another_label_another_name_or_another_part_is_other_data(tmp_path: Path) -> None:
    folder = three_parts(tmp_path)
    known = {read_sets(folder).fingerprint}
    for source, target in (
        ("train/cat/0.png", "train/dog/9.png"),
        ("train/cat/1.png", "train/cat/8.png"),
        ("train/cat/2.png", "validation/cat/7.png"),
    ):
        (folder / source).rename(folder / target)
        known.add(read_sets(folder).fingerprint)
    assert len(known) == 4


def test_folders_called_by_imagenets_ids(tmp_path: Path) -> None:
    found = read_sets(
        tree(tmp_path, {f"{part}/{k}": 1 for part in ("train", "val") for k in ("n02119789", "n01440764")})
    )
    assert found.classes == ["tench", "kit fox"]
    tree(tmp_path, {"train/n00000001": 1, "val/n00000001": 1})
    with pytest.warns(UserWarning):
        assert read_sets(tmp_path).classes == ["n00000001", "tench", "kit fox"]


REFUSED = {
    "no classes": ({"train": 2, "val": 2}, "train and val, but no train folder of class folders"),
    "nothing to train on": ({"val/a": 1, "test/a": 1}, "val and test, but no train folder"),
    "flat": ({"": 2}, "expected a folder for each class, .* 2 pictures beside one another"),
    "one class": ({"train/a": 2, "val/a": 2}, "expected two classes or more, got one: a$"),
    "one folder too high": ({"pets/a": 2, "pets/b": 2}, "got one: pets; is .*pets meant"),
    "an empty class": ({"train/a": 2, "train/b": 0, "val/a": 1}, "no picture, .* in the class folder b$"),
    "no picture to validate on": ({"train/a": 2, "train/b": 2, "val/a": 0}, "val: no picture"),
    "two spellings": ({"t-shirt": 1, "T-Shirt": 1, "hat": 1}, "two spellings: 'T-Shirt' and 't-shirt'; make"),
    "an underscore": ({"t-shirt": 1, "t_shirt": 1, "hat": 1}, "two spellings: 't-shirt' and 't_shirt'"),
    "a blank": ({"hat": 1, "hat ": 1}, "two spellings: 'hat' and 'hat '"),
    "unicode": ({"caf\u00e9": 1, "cafe\u0301": 1}, r"two spellings: 'cafe\\u0301' and 'caf\\xe9'"),
    "spelt otherwise": (
        {"train/t-shirt": 1, "train/hat": 1, "val/T-Shirt": 1, "val/hat": 1},
        "val: the same class in two spellings: 'T-Shirt' here and 't-shirt' in the training part",
    ),
    "unknown": ({"train/a": 1, "train/b": 1, "val/a": 1, "val/c": 1}, "val: classes that the training part lacks: c$"),
    "unknown in test": ({"train/a": 2, "train/b": 2, "test/d": 1}, "test: classes that the training part lacks: d"),
    "beside": ({"train/a": 1, "train/b": 1, "train": 4}, "train: 4 pictures lie beside .* 0.png, 1.png, 2.png, ..."),
    "two of a name": (
        {"train/a": 1, "train/b": 1, "val/a": 1, "valid/a": 1},
        "expected one of val and valid, got both",
    ),
    "too few": ({"a": 1, "b": 1}, "expected classes of three pictures or more"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_that_cannot_be_trained_on(tmp_path: Path, case: str) -> None:
    counts, said = REFUSED[case]
    tree(tmp_path, counts)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=said) as raised:
        read_sets(tmp_path)
    assert str(raised.value).startswith("data: ") and "\n" not in str(raised.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_numbers_below_zero_are_no_other_spelling(tmp_path: Path) -> None:
    assert read_sets(tree(tmp_path, {"-1": 3, "1": 3, "1.0": 3})).classes == ["-1", "1", "1.0"]


def test_test_pictures_without_labels(tmp_path: Path) -> None:
    tree(tmp_path, {"train/a": 1, "train/b": 1, "val/a": 1, "val/b": 1, "test": 2})
    with pytest.warns(UserWarning, match="2 pictures without class folders, .* goes without a test part"):
        assert read_sets(tmp_path).test is None


def test_a_class_that_nothing_is_measured_of(tmp_path: Path) -> None:
    tree(tmp_path, {"train/a": 1, "train/b": 1, "val/a": 1, "val/b": 0})
    with pytest.warns(UserWarning, match="data: validation: no picture of 1 of 2 classes: b"):
        read_sets(tmp_path)


def test_the_same_file_in_two_parts(tmp_path: Path) -> None:
    folder = three_parts(tmp_path)
    shutil.copy(folder / "train" / "cat" / "1.png", folder / "test" / "cat" / "copy.png")
    shutil.copy(folder / "train" / "dog" / "1.png", folder / "test" / "cat" / "other.png")
    with pytest.warns(UserWarning) as said:
        read_sets(folder)
    assert [str(each.message) for each in said] == [
        "data: test: 2 files are in training, too: cat/copy.png = cat/1.png, cat/other.png = dog/1.png"
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("nowhere", "data: nowhere: no such folder; expected a folder of class folders, the word parts"),
        (__file__, "data: .*expected a folder .* got a file"),
        (5, "data: int: train: expected a torch Dataset"),
        ("zfcuda:nothing", "data: 'zfcuda:nothing'"),
    ],
)
def test_what_is_no_data(data: object, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        read_sets(data)


@pytest.mark.parametrize(("name", "value"), [("seed", -1), ("split", 0.0), ("split", 0.5)])
def test_settings_out_of_range(tmp_path: Path, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        read_sets(three_parts(tmp_path), **{name: value})  # type: ignore[arg-type]
