"""Numbered pictures, whatever they lie in."""

from __future__ import annotations

import os
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import zfcuda
from zfcuda.data.collection import Collection

PREPROCESS = zfcuda.Preprocess(16, 16, (0.5,) * 3, (0.25,) * 3)


def drawn(number: int, size: tuple[int, int] = (20, 16)) -> Image.Image:
    generator = np.random.default_rng(number)
    return Image.fromarray(generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/2.png", "b/10.png", "a/x.PNG", "a/deep/y.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        drawn(len(name)).save(tmp_path / name)
    (tmp_path / "LICENSE").write_text("no picture")
    (tmp_path / "a" / "labels.csv").write_text("no picture")
    (tmp_path / "a" / ".hidden.png").write_text("no picture")
    return tmp_path


def test_a_folder_of_class_folders(folder: Path) -> None:
    found = Collection.of(folder, preprocess=PREPROCESS)
    assert found.names == ["a/deep/y.png", "a/x.PNG", "b/10.png", "b/2.png"]
    assert found.labels == [0, 0, 1, 1] and found.classes == ["a", "b"] and len(found) == 4
    assert torch.equal(found.image(1), PREPROCESS(folder / "a" / "x.PNG")[0])
    assert found.picture(1).tobytes() == PREPROCESS.crop(folder / "a" / "x.PNG").tobytes()


def test_a_flat_folder_and_links(folder: Path) -> None:
    drawn(1).save(folder / "top.png")
    (folder / "a" / "again").symlink_to(folder, target_is_directory=True)
    found = Collection.of(str(folder), preprocess=PREPROCESS)
    assert found.names[-1] == "top.png" and len(found) == 5 and found.labels is None and found.classes == []


def test_a_list_of_paths_and_pictures(folder: Path) -> None:
    pictures = [folder / "a" / "x.PNG", drawn(3), np.asarray(drawn(4)), str(folder / "b" / "2.png")]
    found = Collection.of(pictures, preprocess=PREPROCESS)
    assert found.names == ["x.PNG", "picture 1", "picture 2", "2.png"] and found.labels is None
    assert torch.equal(found.image(2), PREPROCESS(drawn(4))[0])
    twice = Collection.of([folder / "a" / "x.PNG"] * 2)
    assert twice.names == [str(folder / "a" / "x.PNG")] * 2


def test_parts() -> None:
    parts = zfcuda.data.Parts(seed=5, size=32)
    found = Collection.of((parts, 7), preprocess=PREPROCESS)
    assert len(found) == 7 and found.classes == list(parts.classes)
    assert found.labels == [parts.label(index) for index in range(7)]
    assert torch.equal(found.image(6), PREPROCESS(parts[6].image)[0])
    assert len(Collection.of(parts, preprocess=PREPROCESS)) == 1200
    listed = Collection.of(list(islice(parts, 3)), preprocess=PREPROCESS)
    assert listed.labels == found.labels[:3] and torch.equal(listed.image(2), found.image(2))


def test_a_data_set_of_parts_needs_no_drawing_for_its_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zfcuda.data.PartsDataset(5, seed=2, size=32)
    found = Collection.of(data)
    image = found.image(4)
    assert torch.equal(image, data[4][0])
    assert found.picture(4).tobytes() == data.parts[4].image.tobytes()  # by the way back of its transform
    monkeypatch.setattr(zfcuda.data.Parts, "draw", None)
    assert found.labels == [data.parts.label(index) for index in range(5)]


class Labelled(Dataset[Any]):
    """Pictures with a label; the second is broken."""

    classes = ("no", "yes")

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        if index == 1:
            raise OSError("a broken disk")
        return drawn(index), index % 2


def test_a_data_set_of_pictures_with_labels() -> None:
    found = Collection.of(Labelled(), preprocess=PREPROCESS)
    assert found.labels == [0, -1, 0, 1] and found.classes == ["no", "yes"] and found.alone
    assert torch.equal(found.image(3), PREPROCESS(drawn(3))[0])
    part = Collection.of(Subset(Labelled(), [3, 0]), preprocess=PREPROCESS)
    assert part.classes == ["no", "yes"] and part.labels == [1, 0]


def test_other_data_sets() -> None:
    images, labels = torch.rand(3, 3, 8, 8), torch.tensor([2, 0, 1])
    assert Collection.of(TensorDataset(images, labels)).labels == [2, 0, 1]
    plain = Collection.of(TensorDataset(images))
    assert plain.labels is None and torch.equal(plain.image(1), images[1])
    rows = Collection.of([{"image": drawn(1), "label": 4}, {"image": drawn(2), "label": 5}], preprocess=PREPROCESS)
    assert rows.labels == [4, 5]


def test_a_tensor() -> None:
    images = torch.rand(3, 3, 8, 9, dtype=torch.float64)
    found = Collection.of(images)
    assert found.names == ["image 0", "image 1", "image 2"] and found.labels is None
    assert torch.equal(found.image(2), images[2]) and found.picture(2).size == (9, 8)
    assert Collection.of(images).fingerprint == found.fingerprint != Collection.of(images + 1).fingerprint


def test_the_models_own_preprocess() -> None:
    model = nn.Conv2d(3, 4, 3)
    with pytest.raises(TypeError, match=r"preprocess: expected one, as Conv2d has no \.preprocess"):
        Collection.of([drawn(1)], model=model)
    model.preprocess = PREPROCESS  # type: ignore[assignment]
    assert torch.equal(Collection.of([drawn(1)], model=model).image(0), PREPROCESS(drawn(1))[0])
    with pytest.raises(TypeError, match="preprocess: expected one that makes an image of a picture, got None"):
        Collection.of([drawn(1)]).image(0)
    assert Collection.of([drawn(1)]).picture(0).size == (20, 16)


def test_what_an_unknown_preprocess_shows() -> None:
    def right_half(picture: Image.Image) -> Tensor:
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255
        return 2 * pixels[None, :, :, 10:] - 1

    shown = Collection.of([drawn(6)], preprocess=right_half).picture(0)
    assert shown.tobytes() == drawn(6).crop((10, 0, 20, 16)).tobytes()


def test_other_files_are_other_pictures(folder: Path) -> None:
    first = Collection.of(folder, preprocess=PREPROCESS).fingerprint
    assert Collection.of(folder, preprocess=PREPROCESS).fingerprint == first
    assert Collection.of(folder, preprocess=zfcuda.Preprocess(16, 18)).fingerprint != first
    os.utime(folder / "b" / "2.png", ns=(1, time.time_ns()))
    assert Collection.of(folder, preprocess=PREPROCESS).fingerprint != first


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(())


@pytest.mark.parametrize(
    ("pictures", "kind", "said"),
    [
        ("/no/such/place", ValueError, "pictures: /no/such/place: no such folder"),
        ([], ValueError, "pictures: expected at least one, got none"),
        (torch.rand(3, 8, 8), ValueError, r"pictures: expected images \[N,C,H,W\], got shape \[3, 8, 8\]"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), TypeError, "pictures: expected images of a floating dtype"),
        (iter([drawn(1)]), TypeError, r"pictures: expected a folder, .* got list_iterator; list\(pictures\) numbers"),
        (Endless(), TypeError, "pictures: expected a folder, .* got Endless"),
        (DataLoader(Labelled()), TypeError, r"pictures: expected the data set, .* \.dataset of the DataLoader"),
        ((zfcuda.data.Parts(), 0), ValueError, r"pictures: expected \(Parts, count\) with a count of at least 1"),
        (7, TypeError, "pictures: expected a folder, .* got int"),
    ],
)
def test_what_is_refused(pictures: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        Collection.of(pictures, preprocess=PREPROCESS)


def test_a_folder_without_a_picture(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(ValueError, match=f"pictures: {tmp_path}: no picture in this folder"):
        Collection.of(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="may read everything")
def test_a_folder_that_cannot_be_read(folder: Path) -> None:
    (folder / "a").chmod(0)
    try:
        with pytest.raises(ValueError, match="a: cannot be read"):
            Collection.of(folder)
    finally:
        (folder / "a").chmod(0o755)


def test_a_picture_is_there_as_a_whole_where_it_came_as_one() -> None:
    preprocess = zfcuda.Preprocess(8, 8)
    picture = Image.new("RGBA", (20, 10), (10, 20, 30, 255))
    whole = Collection.of([picture], preprocess=preprocess).whole(0)
    assert whole is not None and whole.size == (20, 10) and whole.mode == "RGB"
    assert Collection.of(torch.zeros(1, 3, 8, 8)).whole(0) is None
