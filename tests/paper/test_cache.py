"""What is kept is what it was computed of, and what is damaged is computed again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.paper import small
from zfcuda.paper.cache import Cache
from zfcuda.paper.gallery import Gallery


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery(small.network(), small.folder(tmp_path / "pictures", {"green": 3, "red things": 2}))


class Counted:
    """Work that counts how often it is done."""

    def __init__(self) -> None:
        self.times = 0

    def tensors(self) -> dict[str, Tensor]:
        self.times += 1
        shared = torch.arange(6.0)
        return {"a": shared[:3], "b": shared[1:4]}

    def record(self) -> dict[str, Any]:
        self.times += 1
        return {"rows": ((1, 2.5), (3, None))}


def test_tensors_are_computed_once(gallery: Gallery, tmp_path: Path) -> None:
    work = Counted()
    for _ in range(2):
        found = Cache(tmp_path / "cache").tensors(gallery, "moved", {"steps": (1, 2)}, work.tensors)
        assert found["a"].tolist() == [0, 1, 2] and found["b"].tolist() == [1, 2, 3]
    assert work.times == 1
    cache = Cache(tmp_path / "cache")
    cache.tensors(gallery, "moved", {"steps": (1, 3)}, work.tensors)
    cache.tensors(gallery, "turned", {"steps": (1, 2)}, work.tensors)
    cache.tensors(Gallery(small.network(3.0), gallery.folder), "moved", {"steps": (1, 2)}, work.tensors)
    cache.tensors(Gallery(small.network(), gallery.folder, count=2), "moved", {"steps": (1, 2)}, work.tensors)
    assert work.times == 5 and len(list(cache.folder.iterdir())) == 5


def test_a_record_comes_back_as_it_came_first(gallery: Gallery, tmp_path: Path) -> None:
    work, cache = Counted(), Cache(tmp_path / "cache")
    first, again = (cache.record(gallery, "rows", {}, work.record) for _ in range(2))
    assert first == again == {"rows": [[1, 2.5], [3, None]]} and work.times == 1


@pytest.mark.parametrize("broken", [b"", b"half a fi", b"[1, 2"])
def test_damaged_files_are_computed_again(gallery: Gallery, tmp_path: Path, broken: bytes) -> None:
    work, cache = Counted(), Cache(tmp_path / "cache")
    layer = "0"
    right = cache.codes(gallery, layer).values
    cache.patches(gallery, [layer], top=2)
    cache.tensors(gallery, "moved", {}, work.tensors)
    cache.record(gallery, "rows", {}, work.record)
    files = sorted(cache.folder.iterdir())
    assert len(files) == 4
    for file in files:
        file.write_bytes(broken)
    assert torch.equal(cache.codes(gallery, layer).values, right)
    assert len(cache.patches(gallery, [layer], top=2)[layer].values) == 2
    assert cache.tensors(gallery, "moved", {}, work.tensors)["a"].tolist() == [0, 1, 2]
    assert cache.record(gallery, "rows", {}, work.record)["rows"][1] == [3, None]
    assert work.times == 4 and sorted(cache.folder.iterdir()) == files


def test_codes_are_of_their_layer(gallery: Gallery, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    pixels = cache.codes(gallery, "0")
    answers = cache.codes(gallery, "2")
    assert pixels.values.shape[1] == 2 * 8 * 8 and answers.values.shape == (5, 2)
    signed = cache.codes(gallery, "2", relu=False)
    assert len(list(cache.folder.iterdir())) == 3 and torch.equal(signed.values, answers.values)


def test_records_of_pictures_survive_a_kill(gallery: Gallery, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Cache(tmp_path / "cache").kept(gallery, "moved", {"by": (1, 2)}) as kept:
        kept.add({"picture": 3, "far": 0.5})
        raise KeyboardInterrupt
    [file] = (tmp_path / "cache").iterdir()
    file.write_text(file.read_text() + '{"picture": 4, "fa')
    with Cache(tmp_path / "cache").kept(gallery, "moved", {"by": (1, 2)}) as kept:
        assert kept.records == {3: {"picture": 3, "far": 0.5}}
        with Cache(tmp_path / "cache").kept(gallery, "moved", {"by": (1, 2)}) as beside:  # another process
            beside.add({"picture": 5, "far": 1.5})
        kept.add({"picture": 4, "far": 2.5})
        assert set(kept.records) == {3, 4}
    with Cache(tmp_path / "cache").kept(gallery, "moved", {"by": (1, 3)}) as kept:
        assert kept.records == {}


def test_what_was_not_used_for_longest_goes_first(gallery: Gallery, tmp_path: Path) -> None:
    work, cache = Counted(), Cache(tmp_path / "cache")
    for name in ("first", "second", "third"):
        cache.tensors(gallery, name, {}, work.tensors)
    for age, file in enumerate(sorted(cache.folder.iterdir(), reverse=True)):
        os.utime(file, (1000 - age, 1000 - age))  # the first is the oldest
    size = file.stat().st_size
    cache.tensors(gallery, "first", {}, work.tensors)  # it is used
    left = {path.name.partition("-")[0] for path in Cache(cache.folder, most=2 * size).folder.iterdir()}
    assert left == {"first", "third"} and work.times == 3
    assert not list(Cache(cache.folder, most=0).folder.iterdir())


def test_a_cache_without_a_folder_ends_with_the_program(gallery: Gallery) -> None:
    cache = Cache()
    assert cache.tensors(gallery, "moved", {}, Counted().tensors) and cache.folder.is_dir()
