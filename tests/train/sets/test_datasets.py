"""Data sets of torch's as the pictures of a run."""

from __future__ import annotations

import pickle
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from tests.train.sets.trees import picture
from zfcuda.data import HELD_OUT_SEED, Parts
from zfcuda.train.sets import read_sets


class Pictures(Dataset[Any]):
    """PIL pictures of two classes, as torchvision's data sets have them."""

    def __init__(self, count: int, **more: Any) -> None:
        self.targets = [k % 2 for k in range(count)]
        self.classes = ["cat", "dog"]
        self.read: list[int] = []
        vars(self).update(more)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Any:
        self.read.append(index)
        return picture(index), self.targets[index]


def labelled(labels: list[Any], shape: tuple[int, ...] = (3, 8, 8)) -> list[Any]:
    return [(torch.full(shape, float(index)), label) for index, label in enumerate(labels)]


def test_one_data_set_is_divided() -> None:
    data = Pictures(40)
    found = read_sets(data)
    assert found.title == "Pictures: 32 training, 4 validation, 4 test pictures of 2 classes, split by seed 0"
    assert found.test is not None and found.classes == ["cat", "dog"]
    names = [name for part in (found.train, found.validation, found.test) for name in part.names]
    assert sorted(names) == sorted(f"item {k}" for k in range(40))
    assert len({*data.read}) <= 4  # the labels are known without the pictures
    at = int(found.train.names[5].split()[1])
    assert found.train.item(5).tobytes() == picture(at).tobytes()  # type: ignore[union-attr]
    assert found.train.labels[5] == at % 2


def test_one_for_each_part() -> None:
    for given in (
        (Pictures(8), Pictures(4)),
        {"training": Pictures(8), "val": Pictures(4)},
    ):
        found = read_sets(given)
        assert found.test is None and len(found.validation.labels) == 4 and "split" not in found.title
    found = read_sets((Pictures(8), Pictures(4), Subset(Pictures(10), [0, 3, 5])))
    assert found.test is not None and found.test.labels == [0, 1, 1]
    found = read_sets({"train": Pictures(20), "test": Pictures(4)}, split=0.2)
    assert found.test is not None and len(found.train.labels) == 16 and len(found.validation.labels) == 4


def test_labels_of_items() -> None:
    found = read_sets((labelled([2, 0, 1, 1]), TensorDataset(torch.rand(3, 3, 4, 4), torch.tensor([0, 2, 1]))))
    assert found.classes == ["0", "1", "2"] and found.train.labels == [2, 0, 1, 1]
    assert found.validation.labels == [0, 2, 1]
    joined = read_sets((ConcatDataset([Pictures(2), Pictures(3)]), Pictures(2)))
    assert joined.train.labels == [0, 1, 0, 1, 0]
    turned = Pictures(4, target_transform=lambda label: 1 - label)
    turned.__class__ = type("Turned", (Pictures,), {"__getitem__": lambda self, i: (picture(i), 1 - self.targets[i])})
    assert read_sets((turned, Pictures(2))).train.labels == [1, 0, 1, 0]


def test_items_that_cannot_be_read() -> None:
    class Broken(Dataset[Any]):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> Any:
            if index in (1, 4):
                raise OSError("gone")
            return torch.zeros(3, 4, 4), index % 2

    with pytest.warns(UserWarning, match="train: 2 of 6 items cannot be read, .* left out: item 1, item 4"):
        found = read_sets((Broken(), Pictures(2, classes=[])))
    assert found.train.names == ["item 0", "item 2", "item 3", "item 5"] and found.train.labels == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (labelled([0, 2]), "train: no picture of class 1"),
        (labelled([0, -2, 1]), "expected labels of 0 to 1, got -2 for item 1"),
        ((labelled([0, 1]), labelled([0, 2])), "validation: expected labels of 0 to 1, got 2 for item 1"),
        (labelled([0, 0]), "expected two classes or more, got 1"),
        (labelled([0.5, 1.0]), "expected pairs of a picture and a label"),
        (labelled([0, 1], (8, 8)), r"expected an image \[C,H,W\] of 1 or 3 channels, got a Tensor \[8, 8\]"),
        ([], "expected at least one picture, got none"),
        ((Pictures(4), Pictures(4, classes=["dog", "cat"])), "expected the classes of training, cat, dog, got dog"),
        (Pictures(4, classes=["cat", "cat"]), "two classes of the same name: cat"),
        (Pictures(4, classes=["a", "b", "c"]), "train: no picture of class c"),
        (
            {"train": Pictures(2), "extra": Pictures(2)},
            "expected a dict of train, validation and test, got 'train', 'e",
        ),
        ({"test": Pictures(2)}, "expected a dict with train, got 'test'"),
        (DataLoader(Pictures(2)), "give the .dataset of the DataLoader"),
        (type("Endless", (IterableDataset,), {"__iter__": iter})(), "expected a torch Dataset with a length"),
        ([picture(1)] * 3, "items without one"),
    ],
)
def test_data_sets_that_cannot_be_trained_on(data: Any, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said) as raised:
        read_sets(data)
    assert str(raised.value).startswith("data: ")


def test_letters_in_two_cases_are_classes_of_a_data_set() -> None:
    assert read_sets((Pictures(4, classes=["a", "A"]), Pictures(2, classes=["a", "A"]))).classes == ["a", "A"]


def test_a_data_set_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_pictures.py").write_text(
        "from tests.train.sets.test_datasets import Pictures\n"
        "one = Pictures(40)\n"
        "def both(): return Pictures(6), Pictures(4)\n"
        "def fails(): raise OSError('no net')\n"
        "class Needs(Pictures):\n    def __init__(self, root, train=True): ...\n"
        "class Alone(Pictures):\n    def __init__(self): super().__init__(40)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_pictures", raising=False)
    before = [*sys.path]
    assert read_sets("my_pictures:one").title.startswith("my_pictures:one: 32 training, 4 validation, 4 test")
    assert read_sets("my_pictures:Alone").classes == ["cat", "dog"]
    assert len(read_sets("my_pictures:both").train.labels) == 6
    for name, said in {
        "Needs": r"'my_pictures:Needs' needs arguments \(root\): write a function .* Needs\(...\), Needs\(...\)",
        "fails": "fails when called: OSError: no net",
        "none": "my_pictures has no 'none'",
    }.items():
        with pytest.raises(ValueError, match=f"data: .*{said}"):
            read_sets(f"my_pictures:{name}")
    assert sys.path == before


class Thrown(Pictures):
    """Items with dice of the usual generators, as transforms throw them, and perhaps with its own."""

    own = False

    def __getitem__(self, index: int) -> Any:
        noise = torch.rand(3, 4, 4) * random.random() * float(np.random.random())
        if self.own:
            noise *= self.dice.random()  # type: ignore[attr-defined]
        return noise, self.targets[index]


def test_the_fingerprint_of_a_data_set_with_dice() -> None:
    torch.manual_seed(1)
    random.seed(1)
    before = torch.get_rng_state()
    first = read_sets(Thrown(20)).fingerprint
    assert torch.equal(torch.get_rng_state(), before) and random.Random(1).random() == random.random()
    torch.manual_seed(2)
    assert read_sets(Thrown(20)).fingerprint == first
    owners = [read_sets(Thrown(20, own=True, dice=np.random.default_rng(k))).fingerprint for k in range(2)]
    assert owners[0] == owners[1] != first
    assert read_sets(Pictures(20)).fingerprint != read_sets(Pictures(22)).fingerprint


def test_parts_can_be_sent_to_workers() -> None:
    found = pickle.loads(pickle.dumps(read_sets((Pictures(4), Pictures(2)))))
    assert found.train.labels == [0, 1, 0, 1] and found.train.item(1).tobytes() == picture(1).tobytes()


def test_parts() -> None:
    found = read_sets((Parts(3, 32), 30))
    assert found.title == "parts: 30 training, 12 validation, 24 test pictures of 12 classes"
    assert found.test is not None and found.test.names[0] == f"parts {HELD_OUT_SEED}/0"
    seeds = {part.names[0].split("/")[0] for part in (found.train, found.validation, found.test)}
    assert len(seeds) == 3 and found.validation.labels[:3] == [Parts(HELD_OUT_SEED + 1).label(k) for k in range(3)]
    whole = read_sets("parts")
    assert whole.title == "parts: 12,000 training, 1,200 validation, 2,000 test pictures of 12 classes"
    assert whole.train.names[0] == "parts 1/0"
    assert read_sets((Parts(3, 32), 30)).fingerprint == found.fingerprint != read_sets((Parts(4, 32), 30)).fingerprint


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Parts(HELD_OUT_SEED), "held out, got 1000000"),
        (Parts(HELD_OUT_SEED + 1), "held out, got 1000001"),
        ((Parts(1), 11), "a count of at least 12, got 11"),
        ((Parts(1), True), "a count of at least 12, got True"),
    ],
)
def test_parts_that_are_not_trained_on(data: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"data: .*{said}"):
        read_sets(data)


def test_a_folder_called_parts_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parts").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="data: parts: expected a folder for each class"):
        read_sets("parts")
