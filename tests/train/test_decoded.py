"""Pictures decoded as far as needed, and kept in memory."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

from tests.train.sets.test_datasets import Pictures
from tests.train.sets.trees import picture, tree
from zfcuda.data import Parts
from zfcuda.data.pictures import read_picture
from zfcuda.data.sources import PART, PartsSource
from zfcuda.train import picture_cache
from zfcuda.train.decoded import Decoded, decoded, memory_for
from zfcuda.train.picture_cache import PictureCache
from zfcuda.train.sets import Labelled, read_sets

PLENTY = 1 << 24


@pytest.fixture
def source(tmp_path: Path) -> Labelled:
    return read_sets(tree(tmp_path, {f"{part}/{kind}": 3 for part in ("train", "val") for kind in "ab"})).train


def test_what_is_kept_is_what_was_read(source: Labelled, tmp_path: Path) -> None:
    found = Decoded(source, None, PLENTY)
    before = [found.item(index).tobytes() for index in range(6)]
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    assert [found.item(index).tobytes() for index in range(6)] == before
    assert before == [picture(number).tobytes() for number in range(1, 7)]
    assert (found.names, found.labels, found.classes) == (source.names, source.labels, source.classes)


def test_workers_share_what_one_of_them_has_read(source: Labelled, tmp_path: Path) -> None:
    found = Decoded(source, None, PLENTY)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=lambda: [found.item(index) for index in range(6)])
    child.start()
    child.join()
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    assert found.item(5).tobytes() == picture(6).tobytes()


def test_pictures_that_do_not_fit_are_not_kept(source: Labelled) -> None:
    needed = Decoded(source, None, PLENTY).bytes_kept
    assert needed == int(1.1 * 6 * 3 * 12 * 10)
    for memory in (0, needed - 1):
        found = Decoded(source, None, memory)
        assert found.kept is None and found.bytes_kept == 0 and found.item(2).tobytes() == picture(3).tobytes()


def test_a_full_memory_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    room = PictureCache.of(3, 700)
    assert room is not None
    for index in range(3):
        room.put(index, picture(index, (10, 10)))
    assert [room.get(index) is not None for index in range(3)] == [True, True, False]
    # Who dies with the lock in hand does not hold up the others for long.
    monkeypatch.setattr(picture_cache, "_PATIENCE", 0.01)
    room._lock.acquire()
    assert room.get(0) is None
    room.put(2, picture(2, (2, 2)))


def test_drawn_pictures_are_kept_with_their_part() -> None:
    source = PartsSource(Parts(2, 32), 24)
    found = Decoded(source, 64, PLENTY)
    for _ in range(2):
        again = found.item(7)
        assert again.info[PART] == source.item(7).info[PART]  # type: ignore[union-attr]
        assert again.tobytes() == source.item(7).tobytes()  # type: ignore[union-attr]
    assert found.labels == source.labels and list(found.stamps()) == list(source.stamps())


def test_a_data_set_of_the_users_own_is_not_kept() -> None:
    own = read_sets((Pictures(4), Pictures(2))).train
    assert decoded(own, 64, PLENTY) is own


def test_a_worker_that_is_not_forked_reads_for_itself(source: Labelled) -> None:
    found = pickle.loads(pickle.dumps(Decoded(source, None, PLENTY)))
    assert found.kept is None and found.item(0).tobytes() == picture(1).tobytes()


def test_the_memory_is_divided_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    whole = memory_for(0.5)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert whole > 0 and abs(memory_for(0.5) - whole // 4) < whole // 20 and memory_for(0.0) == 0


@pytest.mark.parametrize("name", ["large.jpg", "large.png", "turned.jpg"])
def test_a_large_picture_comes_smaller_and_is_the_same(tmp_path: Path, name: str) -> None:
    y, x = np.mgrid[0:400, 0:600]
    whole = Image.fromarray(np.stack([x * 255 // 599, y * 255 // 399, (x + y) % 256], 2).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6 if name == "turned.jpg" else 1
    whole.save(tmp_path / name, exif=exif, quality=95)
    full = read_picture(tmp_path / name)
    for at_least, size in ((90, (150, 100)), (99, (150, 100)), (150, (300, 200)), (201, (600, 400))):
        found = read_picture(tmp_path / name, at_least=at_least)
        assert min(found.size) == min(size) and min(found.size) >= at_least
        assert (found.width < found.height) == (name == "turned.jpg")
        there = np.asarray(ImageChops.difference(found, full.reduce(full.width // found.width)))
        assert there.mean() < 3  # shades of 255


def test_a_small_picture_is_not_touched(tmp_path: Path) -> None:
    picture(1, (50, 40)).save(tmp_path / "small.jpg")
    assert read_picture(tmp_path / "small.jpg", at_least=30).tobytes() == read_picture(tmp_path / "small.jpg").tobytes()
