"""What is asked: the order that is drawn, the classes, and what the folders say."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from zfcuda.class_names import ClassNames
from zfcuda.data.collection import Collection
from zfcuda.live.label.examples import Examples
from zfcuda.live.label.shown import encoded, shown_by
from zfcuda.live.label.task import matched, task
from zfcuda.models.architectures import imagenet


def folder(place: Path, **counts: int) -> Path:
    for number, (name, count) in enumerate(counts.items()):
        (place / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            Image.new("RGB", (8, 6), (40 * number, 10 * index, 0)).save(place / name / f"{index}.png")
    return place


def test_the_order_is_drawn_and_stays(tmp_path: Path) -> None:
    pictures = Collection.of(folder(tmp_path, cat=6, dog=6))
    all_of_them = task(pictures, None)
    names = all_of_them.pictures.names
    assert sorted(names) == sorted(pictures.names) and names != pictures.names
    assert task(pictures, None).pictures.names == names
    assert task(pictures, None, seed=1).pictures.names != names
    assert task(pictures, None, count=5).pictures.names == names[:5]
    assert [all_of_them.classes[label] for label in all_of_them.truth] == [name.split("/")[0] for name in names]
    Image.new("RGB", (8, 8)).save(tmp_path / "cat" / "new.png")
    more = task(Collection.of(tmp_path), None).pictures.names
    assert [name for name in more if name != "cat/new.png"] == names


def test_classes_of_a_file_in_their_order(tmp_path: Path) -> None:
    found = task(Collection.of(folder(tmp_path, t_shirt=1, hat=1)), ["Hat", "shoe", "T-shirt"])
    assert {name.split("/")[0]: label for name, label in zip(found.pictures.names, found.truth, strict=True)} == {
        "t_shirt": 2,
        "hat": 0,
    }


def test_a_flat_folder_has_no_truth(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    pictures = Collection.of(tmp_path)
    assert task(pictures, ["cat", "dog"]).truth is None
    with pytest.raises(ValueError, match="--classes: expected names to choose from"):
        task(pictures, None)


def test_folders_called_by_ids_of_wordnet(tmp_path: Path) -> None:
    pictures = Collection.of(folder(tmp_path, n02123045=1, n01440764=1))
    own = task(pictures, None)
    assert list(own.classes) == ["tench", "tabby"] and "tabby cat" in own.classes.synonyms[1]
    whole = task(pictures, imagenet.classes(), answers=5)
    assert sorted(whole.truth) == [0, 281]


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["cat"], "at least two"),
        (["cat", "dog", "cat"], "each class once, got 'cat' twice"),
        (["cat", "owl"], "not among them: 'dog'; there are 'cat', 'owl'"),
        (["cat", "dog", "don't know"], 'names of classes, got "don\'t know"'),
        (["cat", "dog", " "], "a name on each line"),
    ],
)
def test_classes_that_do_not_fit(tmp_path: Path, classes: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=f"^--classes: .*{said}"):
        task(Collection.of(folder(tmp_path, cat=1, dog=1)), classes)


def test_two_folders_of_one_class(tmp_path: Path) -> None:
    classes = ClassNames(["cat", "dog"], [("pussy",), ()])
    with pytest.raises(ValueError, match="one folder of each class"):
        task(Collection.of(folder(tmp_path, cat=1, pussy=1)), classes)


@pytest.mark.parametrize(("name", "value"), [("count", 0), ("answers", 0), ("answers", 2)])
def test_numbers_out_of_range(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"--{name}: expected"):
        task(Collection.of(folder(tmp_path, cat=1, dog=1)), None, **{name: value})


def test_names_and_synonyms() -> None:
    classes = ClassNames(["crane", "bird", "lifter"], [("hoist",), ("crane", "fowl"), ("hoist",)])
    assert matched(["crane", "fowl"], ClassNames(["Crane", "crane", "fowl"])) == [1, 2]
    assert matched(["CRANE"], ClassNames(["Crane", "crane"])) == [None]
    assert matched(["Crane", "fowl", "hoist", "cow"], classes) == [0, 1, None, None]


def test_what_is_shown_holds_pixels_alone(tmp_path: Path) -> None:
    secret = Image.new("RGB", (40, 30), "red")
    exif = secret.getexif()
    exif[270] = "a cat"
    secret.save(tmp_path / "a.jpg", exif=exif, comment=b"a cat", icc_profile=b"a cat")
    data, kind = shown_by(Collection.of(tmp_path), "whole")(0)
    assert kind == "image/jpeg" and b"cat" not in data and b"Exif" not in data and b"ICC" not in data
    secret.info["comment"] = b"a cat"
    data, kind = encoded(secret, lossless=True, largest=20)
    assert kind == "image/png" and b"cat" not in data


def test_examples_are_of_other_pictures(tmp_path: Path) -> None:
    train, test = folder(tmp_path / "train", cat=20, owl=2), folder(tmp_path / "test", cat=2, dog=2)
    classes = ClassNames(["cat", "dog"])
    found = Examples(train, classes, test)
    assert found.counts == [13, 0]
    assert found.file(0, 12)[1] == "image/jpeg"
    for number, which in ((0, 13), (1, 0), (-1, 0), (0, -1), (2, 0)):
        with pytest.raises(IndexError):
            found.file(number, which)
    assert Examples(tmp_path / "test", classes, None).counts == [2, 2]
    with pytest.raises(ValueError, match="--examples: expected class folders"):
        Examples(test, classes, test)  # the pictures that are asked
    with pytest.raises(ValueError, match="--examples"):
        Examples(train, ClassNames(["x", "y"]), None)
