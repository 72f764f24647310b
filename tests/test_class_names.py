"""Which class a user means: names, synonyms, numbers, words that several classes share; and targets of all kinds."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import zfcuda
from zfcuda.class_names import ClassNames, class_names
from zfcuda.inputs import class_target
from zfcuda.models import imagenet

FEW = ClassNames(["tabby", "tiger cat", "Dog", "dog house", "7", "crane", "CRANE"], [["tabby cat"], [], ["hound"]])


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("tabby", 0),
        ("TABBY", 0),
        ("Tabby Cat", 0),
        ("dog", 2),
        ("hound", 2),
        ("7", 4),
        ("3", 3),
        ("99", 99),
        ("crane", 5),
        ("tiger_cat", 1),
        ("Dog-house ", 3),
        ("tabby, tabby cat", 0),
        (" 7", 4),
    ],
)
def test_a_class_is_found(text: str, index: int) -> None:
    assert FEW.find(text) == index


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat", "class 'cat': several are called so: tabby (0), tiger cat (1); say which"),
        ("Crane", "class 'Crane': several are called so: crane (5), CRANE (6); give the index"),
        ("taby", "no class 'taby'; did you mean tabby"),
        ("house", "no class 'house'; did you mean dog house"),
        ("", "no class ''; there are tabby, tiger cat, Dog"),
        ("-1", "no class '-1'; "),
        (",", "no class ','; "),
        ("tabby, hound", "no class 'tabby, hound'"),
        ("angora cat", "no class 'angora cat'; did you mean tabby, tiger cat"),
    ],
)
def test_what_is_no_single_class(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        FEW.find(text)
    assert str(caught.value).startswith(message)


def test_a_list_of_names_is_enough() -> None:
    names = class_names(("a", "b"))
    assert names is not None and names == ["a", "b"] and names.find("B") == 1 and names.synonyms == ()
    assert class_names(FEW) is FEW
    assert class_names(None) is class_names(3) is class_names(["a", 2]) is class_names("ab") is None
    with pytest.raises(ValueError, match="several are called so: a \\(0\\), a \\(1\\)"):
        ClassNames(["a", "a"]).find("a")


def test_commas_stand_between_the_names_of_one_class() -> None:
    names = ClassNames(["tabby, tabby cat", "tiger cat", "Welsh springer spaniel, taffy"])
    assert [names.find(text) for text in ("tabby_cat", "tabby", "taffy", "tabby cat, tabby")] == [0, 0, 2, 0]


def test_copies_keep_the_synonyms() -> None:
    for again in (copy.deepcopy(FEW), pickle.loads(pickle.dumps(FEW)), copy.copy(FEW)):
        assert again == FEW and again.synonyms == FEW.synonyms and again.find("hound") == 2


def test_imagenets_synonyms() -> None:
    names = imagenet.classes()
    assert len(names.synonyms) == 1000 and all(
        name not in more for name, more in zip(names, names.synonyms, strict=True)
    )
    some = range(0, 1000, 9)
    assert [names.find(names[index]) for index in some] == list(some)
    assert names.find("tabby cat") == 281 and names.find("Felis concolor") == 286
    with pytest.raises(ValueError, match=r"tabby \(281\), tiger cat \(282\), Persian cat \(283\)"):
        names.find("cat")
    with pytest.raises(ValueError, match="did you mean Persian cat"):
        names.find("persian")


# ---------------------------------------------------------------- targets

LOGITS = torch.tensor([0.0, 2.0, 1.0])
THREE = ["cat", "dog", "emu"]


@pytest.mark.parametrize(
    "target",
    [
        2,
        "emu",
        "EMU",
        "2",
        np.int64(2),
        np.uint8(2),
        torch.tensor(2),
        torch.tensor([2]),
        torch.tensor([[2]], dtype=torch.int32),
    ],
)
def test_targets(target: Any) -> None:
    chosen = class_target(target, LOGITS, THREE)
    assert chosen == 2 and type(chosen) is int


@pytest.mark.parametrize(
    ("target", "classes", "error", "message"),
    [
        (True, THREE, TypeError, "target: .*True"),
        (np.bool_(True), THREE, TypeError, "target: "),
        (1.0, THREE, TypeError, r"target: .*1\.0"),
        (torch.tensor(1.0), THREE, TypeError, "target: expected one integer, got torch.float32"),
        (torch.tensor(True), THREE, TypeError, "target: expected one integer, got torch.bool"),
        (torch.tensor([1, 2]), THREE, TypeError, r"target: expected one integer, got torch.int64 of shape \[2\]"),
        (torch.tensor(1, device="meta"), THREE, ValueError, "target: expected numbers"),
        (3, THREE, ValueError, "target: the model has classes 0 to 2, got 3"),
        (torch.tensor(-1), THREE, ValueError, "target: the model has classes 0 to 2"),
        ("17", THREE, ValueError, "target: the model has classes 0 to 2, got 17"),
        ("cow", THREE, ValueError, "target: no class 'cow'"),
        ("cat", None, ValueError, r"target: 'cat', but the model has no names of its classes \(.classes\)"),
        ("cat", 3, ValueError, r"no names of its classes"),
        ("cat", ["cat"], ValueError, r"the model has 1 names \(.classes\) for 3 outputs"),
    ],
)
def test_targets_that_are_none(target: Any, classes: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        class_target(target, LOGITS, classes)


def test_a_map_of_a_class_by_name() -> None:
    model: Any = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)).eval()
    model.classes = ClassNames(THREE, [[], [], ["big bird"]])
    image = torch.randn(1, 3, 8, 8)
    by_name = zfcuda.occlusion_map(model, image, window=4, stride=4, target="big bird")
    by_index = zfcuda.occlusion_map(model, image, window=4, stride=4, target=torch.tensor(2))
    assert by_name.target == by_index.target == 2 and torch.equal(by_name.score, by_index.score)
    mapper = zfcuda.OcclusionMapper(torch.nn.DataParallel(model), image, window=4, stride=4, target="EMU")
    assert mapper(image).target == 2
