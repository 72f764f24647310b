"""Batches: the same sequence whoever loads it, and broken pictures left out of it."""

from __future__ import annotations

import itertools
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from tests.train.sets.trees import picture, tree
from zfcuda.data import Preprocess
from zfcuda.train.decoded import Decoded
from zfcuda.train.loading import Batch, Samples, batches, collated, loader
from zfcuda.train.order import Order
from zfcuda.train.pictures import picture_of
from zfcuda.train.sets import Labelled, read_sets
from zfcuda.train.views import Cropped, ResizedCrops

VIEW = ResizedCrops(Preprocess(16, 18, (0.5,) * 3, (0.25,) * 3), 0.3, 0.3)


class Thrown(Dataset[Any]):
    """A data set whose own transform draws from the generators of torch, NumPy and Python."""

    targets = tuple(k % 3 for k in range(21))

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Any:
        if index == 5:
            raise OSError("gone")
        noise = torch.rand(3, 20, 24) * random.random() * float(np.random.random())
        return (noise + index / 40).clamp(0, 1), self.targets[index]


def folder(place: Path) -> Labelled:
    tree(place, {f"{part}/{kind}": 7 for part in ("train", "val") for kind in "abc"})
    (place / "train" / "b" / "2.png").write_bytes(b"no picture")
    return read_sets(place).train


def run(source: Labelled, workers: int, *, ranks: int = 1, first: int = 0) -> list[tuple[Any, ...]]:
    """What was seen in three epochs of five steps, by all processes together."""
    result = []
    orders = [Order(4, len(source.names), 4, rank, ranks) for rank in range(ranks)]
    samples = Samples(source, VIEW, 4)
    for parts in zip(*(batches(samples, order, first, 15, workers) for order in orders), strict=True):
        pixels = torch.cat([part.pixels for part in parts])
        labels = [label for part in parts for label in part.labels.tolist()]
        result.append((pixels.tolist(), labels, [each for part in parts for each in part.broken]))
    return result


@pytest.fixture(params=["folder", "dataset", "kept"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Labelled:
    if request.param == "dataset":
        return read_sets((Thrown(), Thrown())).train
    found = folder(tmp_path)
    return Decoded(found, 40, 1 << 24) if request.param == "kept" else found


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_the_sequence_does_not_depend_on_who_loads_it(source: Labelled) -> None:
    expected = run(source, 0)
    assert len(expected) == 15 and len({str(pixels) for pixels, _, _ in expected}) == 15
    [broken] = {each for _, _, found in expected for each in found}
    assert broken.index in (5, 9)
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)
    for workers, ranks in ((1, 1), (4, 1), (0, 2), (1, 2)):
        assert run(source, workers, ranks=ranks) == expected, (workers, ranks)
    assert run(source, 1, first=7) == expected[7:]


def test_generators_of_the_caller_stay_as_they_were() -> None:
    states = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]
    Samples(read_sets((Thrown(), Thrown())).train, VIEW, 0)[0, 3]
    assert random.getstate() == states[0] and torch.equal(torch.get_rng_state(), states[1])
    assert np.random.get_state()[1].tolist() == states[2]  # type: ignore[index]


BROKEN = {
    "text": lambda path: path.write_bytes(b"<html>404</html>"),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:300]),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_picture_is_named(tmp_path: Path, case: str) -> None:
    found = read_sets(tree(tmp_path, {"train/a": 2, "train/b": 2, "val/a": 1, "val/b": 1})).train
    picture(1, (64, 64)).save(tmp_path / "train" / "a" / "0.png")
    BROKEN[case](tmp_path / "train" / "a" / "0.png")
    batch = collated([Samples(found, VIEW, 0)[0, index] for index in range(4)])
    [broken] = batch.broken
    assert (broken.index, broken.name) == (0, "a/0.png") and batch.labels.tolist() == [0, 1, 1]
    assert broken.reason and "\n" not in broken.reason and str(tmp_path) not in broken.reason


def test_a_decompression_bomb_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_sets(tree(tmp_path, {"train/a": 1, "train/b": 1, "val/a": 1, "val/b": 1})).train
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    batch = collated([Samples(found, VIEW, 0)[0, 0]])
    assert "too large" in batch.broken[0].reason and batch.pixels.shape[0] == 0 and batch.labels.shape == (0,)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (torch.full((3, 4, 4), 2.0), "expected an image of 0 to 1, got values of 2 to 2; leave Normalize out"),
        (torch.full((3, 4, 4), float("nan")), "expected an image of 0 to 1"),
        (torch.zeros(2, 4, 4), "1 or 3 channels"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "floating numbers or uint8"),
        ("nowhere.png", "no such file"),
    ],
)
def test_an_item_that_is_no_picture_is_named(image: Any, said: str) -> None:
    data = [(picture(k), k % 2) for k in range(4)] + [(image, 1)]
    found = read_sets((data, [(picture(k), k) for k in range(2)]))
    [broken] = collated([Samples(found.train, VIEW, 0)[0, 4]]).broken
    assert broken.name == "item 4" and said in broken.reason


def test_images_of_data_sets_are_taken_as_pictures() -> None:
    pixels = torch.randint(0, 256, (3, 5, 6), dtype=torch.uint8)
    grey = pixels[:1].float() / 255
    data = [(pixels, 0), (pixels / 255, 1), (grey, 1), (picture(1).convert("L"), 0)]
    found = read_sets((data, data)).train
    for index in (0, 1):
        assert np.array_equal(np.asarray(picture_of(found, index)), pixels.permute(1, 2, 0).numpy())
    assert np.array_equal(np.asarray(picture_of(found, 2)), pixels[[0, 0, 0]].permute(1, 2, 0).numpy())
    assert picture_of(found, 3).mode == "RGB"


def test_memory_that_runs_out_is_no_broken_picture() -> None:
    class Large(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            raise MemoryError

    found = read_sets(([(picture(k), k % 2) for k in range(4)], [(picture(k), k) for k in range(2)])).train
    found.source.items = Large()  # type: ignore[attr-defined]
    with pytest.raises(MemoryError):
        Samples(found, VIEW, 0)[0, 1]


def test_a_batch_has_its_channels_last() -> None:
    seen = [(Cropped(torch.full((4, 5, 3), k, dtype=torch.uint8).permute(2, 0, 1), k), k) for k in range(3)]
    batch: Batch = collated(list(itertools.chain(seen)))
    assert batch.pixels.shape == (3, 3, 4, 5) and batch.pixels.is_contiguous(memory_format=torch.channels_last)
    assert batch.pixels[:, 0, 0, 0].tolist() == batch.crops.tolist() == batch.labels.tolist() == [0, 1, 2]


def test_a_worker_outlives_a_signal_to_all_processes(tmp_path: Path) -> None:
    source = folder(tmp_path)
    samples = Samples(source, VIEW, 4)
    loaded = iter(loader(samples, [[(0, index)] for index in range(12)], 1, collated))
    first = next(loaded)
    [worker] = loaded._workers  # type: ignore[attr-defined]
    os.kill(worker.pid, signal.SIGTERM)
    assert [len(batch.labels) for batch in (first, *loaded)].count(1) >= 11  # one picture is none
