"""The pictures of figures: which, how many, of which class of the network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import zfcuda
from tests.paper import small
from zfcuda.data import HELD_OUT_SEED, Parts
from zfcuda.data.collection import Collection
from zfcuda.paper.gallery import Gallery


def test_parts_whose_count_is_said() -> None:
    gallery = Gallery(small.network(), count=30)
    assert len(gallery) == 30 and repr(gallery.parts) == repr(Parts(seed=HELD_OUT_SEED))
    assert gallery.title == f"30 pictures of Parts, seed {HELD_OUT_SEED}"
    assert gallery.label(0) is None  # the network knows none of their classes
    assert len(Gallery(small.network())) == 1200
    assert len(Gallery(small.network(), (Parts(seed=4), 7))) == 7
    assert torch.equal(gallery.image(3), Gallery(small.network(), count=5).image(3))


def test_names_are_compared_as_people_do(tmp_path: Path) -> None:
    gallery = Gallery(small.network(), small.folder(tmp_path, {"red_things": 2, "Green": 1, "blue": 1}))
    assert gallery.pictures.classes == ["Green", "blue", "red_things"]
    assert [gallery.label(index) for index in range(4)] == [1, None, 0, 0]
    assert gallery.parts is None and gallery.folder == tmp_path
    twice = small.network()
    twice.classes = ["red things", "Red-Things"]
    assert Gallery(twice, tmp_path).label(2) is None  # nobody knows which of both


def test_some_of_a_folder_are_of_all_classes(tmp_path: Path) -> None:
    gallery = Gallery(small.network(), small.folder(tmp_path, {"a": 9, "green": 3, "z": 2}), count=7)
    labels = gallery.pictures.labels
    assert labels is not None and [labels.count(label) for label in range(3)] == [3, 2, 2]
    assert len(gallery) == 7 and gallery.title.startswith("7 pictures of ")
    assert [name[0] for name in gallery.pictures.names] == ["agz"[label] for label in labels]
    full = Gallery(small.network(), tmp_path)
    at = full.pictures.names.index(gallery.pictures.names[4])
    assert torch.equal(gallery.image(4), full.image(at)) and gallery.label(4) == full.label(at) == 1
    assert len(Gallery(small.network(), tmp_path, count=99)) == 14
    assert gallery.seen_by(small.network(2.0)).pictures.names == gallery.pictures.names


def test_of_a_folder_for_training_those_for_the_test(tmp_path: Path) -> None:
    for part, count in (("train", 5), ("validation", 4), ("test", 2)):
        small.folder(tmp_path / part, {"green": count})
    assert len(Gallery(small.network(), tmp_path)) == 2
    assert Gallery(small.network(), str(tmp_path)).folder == tmp_path


def test_pictures_without_classes_and_tensors(tmp_path: Path) -> None:
    flat = small.folder(tmp_path, {"x": 3}) / "x"
    gallery = Gallery(small.network(), flat)
    assert gallery.label(0) is None and gallery.sample(2) == sorted(gallery.sample(2)) and len(gallery.sample(9)) == 3
    images = Gallery(small.network(), torch.rand(4, 3, 8, 8), count=2)
    assert len(images) == 2 and images.title == "2 pictures" and images.images([0, 1]).shape == (2, 3, 8, 8)
    labelled = [(torch.rand(3, 8, 8), label) for label in (0, 1, 1)]
    assert Gallery(small.network(), labelled).label(0) is None  # numbers without names are no classes of the network
    collection = Collection.of(flat, model=small.network())
    assert len(Gallery(small.network(), collection, count=2)) == 2


def test_the_fingerprint_tells_what_matters(tmp_path: Path) -> None:
    small.folder(tmp_path, {"green": 3, "a": 2})
    other = small.network()
    other.add_module("more", torch.nn.Identity())
    prints = [
        Gallery(small.network(), tmp_path).fingerprint,
        Gallery(small.network(2.0), tmp_path).fingerprint,
        Gallery(other, tmp_path).fingerprint,
        Gallery(small.network(), tmp_path, count=3).fingerprint,
        Gallery(small.network(), tmp_path / "green").fingerprint,
        Gallery(small.network(), tmp_path, preprocess=zfcuda.Preprocess(8, 8, (0.5,) * 3, (1.0,) * 3)).fingerprint,
    ]
    assert len(set(prints)) == len(prints) and prints[0] == Gallery(small.network(), tmp_path).fingerprint


@pytest.mark.parametrize("count", [0, -3])
def test_no_picture_at_all(count: int) -> None:
    with pytest.raises(ValueError, match=f"count: expected at least 1, got {count}"):
        Gallery(small.network(), count=count)
