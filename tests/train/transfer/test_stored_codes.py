"""The codes on the disk: those of the layers themselves, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import zfcuda
from tests.features.small import Net, images
from zfcuda.data.sources import ItemSource
from zfcuda.train.transfer.grid import as_layer
from zfcuda.train.transfer.stored_codes import StoredCodes

COUNT = 9
LAYERS = [as_layer("relu", (7, 3, 3), (2, 2)), as_layer("conv2", (7, 3, 3), "none"), as_layer("fc", (4,))]


class Counting(Net):
    """Counts the images that it is run for."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.fc.weight.data += 0.5
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += len(x)
        return super().forward(x)


def items(seed: int = 1) -> list[tuple[Tensor, int]]:
    return [(image, index % 3) for index, image in enumerate(images(COUNT, seed, (13, 11)))]


@pytest.fixture
def kept(tmp_path: Path) -> Callable[..., StoredCodes]:
    model = Counting()

    def make(seed: int = 1, model: Counting = model, **given: Any) -> StoredCodes:
        return StoredCodes(model, ItemSource(items(seed)), None, tmp_path, "training", **given)

    return make


def test_codes_are_what_the_layers_give(kept: Callable[..., StoredCodes]) -> None:
    codes = kept()
    assert codes.make(LAYERS) == ["relu", "conv2", "fc"]
    found = {layer.name: codes.read(layer) for layer in LAYERS}
    given = zfcuda.activations(codes.model, images(COUNT, 1, (13, 11)), ["relu", "conv2", "fc"])
    torch.testing.assert_close(
        found["relu"].values, torch.nn.functional.adaptive_avg_pool2d(given["relu"], (2, 2)).flatten(1)
    )
    assert torch.equal(found["conv2"].values, given["conv2"].flatten(1))
    assert torch.equal(found["fc"].values, given["fc"])
    assert all(each.labels.tolist() == [0, 1, 2] * 3 for each in found.values())


def test_a_second_call_runs_no_picture(kept: Callable[..., StoredCodes]) -> None:
    first = kept()
    first.make(LAYERS)
    fresh = [first.read(layer).values for layer in LAYERS]
    runs = first.model.runs
    again = kept()
    assert again.make(LAYERS) == [] and first.model.runs == runs
    assert all(torch.equal(again.read(layer).values, each) for layer, each in zip(LAYERS, fresh, strict=True))
    coarse = as_layer("relu", (7, 3, 3), (1, 1))
    assert again.make([coarse, *LAYERS[1:]]) == ["relu"]  # of another grid, and that alone
    assert sorted(file.name for file in again.folder.iterdir()) == [
        "training-conv2-whole.safetensors",
        "training-fc-whole.safetensors",
        "training-relu-1x1.safetensors",
        "training-relu-2x2.safetensors",
    ]


def test_codes_of_something_else_are_made_anew(kept: Callable[..., StoredCodes]) -> None:
    first = kept()
    first.make(LAYERS)
    other = kept(model=Counting(seed=3))
    with pytest.raises(ValueError, match=r"^layer: 'fc': no codes of these pictures in "):
        other.read(LAYERS[2])
    assert other.make(LAYERS) == ["relu", "conv2", "fc"]
    assert not torch.equal(other.read(LAYERS[2]).values, zfcuda.activations(first.model, images(COUNT), "fc")["fc"])
    pictures = kept(seed=2, model=other.model)
    assert pictures.make(LAYERS) == ["relu", "conv2", "fc"]


def test_a_damaged_file_is_made_anew(kept: Callable[..., StoredCodes]) -> None:
    codes = kept()
    codes.make(LAYERS)
    before = codes.read(LAYERS[0]).values.clone()  # those that were read lie in the file
    file = codes.folder / "training-relu-2x2.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.warns(UserWarning, match="a damaged file, made anew"):
        assert codes.make(LAYERS) == ["relu"]
    assert torch.equal(codes.read(LAYERS[0]).values, before)
    save_file(load_file(file), file)  # without what it is of
    assert codes.make(LAYERS) == ["relu"]


def test_mirrored_codes_are_the_mean_of_both(kept: Callable[..., StoredCodes]) -> None:
    codes = kept(mirror=True)
    codes.make(LAYERS)
    both = [zfcuda.activations(codes.model, x, "fc")["fc"] for x in (images(COUNT), images(COUNT).flip(-1))]
    torch.testing.assert_close(codes.read(LAYERS[2]).values, (both[0] + both[1]) / 2)
    assert kept().make(LAYERS) == []  # those of the pictures as they are, are there too


def test_a_killed_pass_goes_on(kept: Callable[..., StoredCodes], monkeypatch: pytest.MonkeyPatch) -> None:
    from zfcuda.features import stream

    class Killed(Counting):
        def forward(self, x: Tensor) -> Tensor:
            if self.runs >= 6:
                raise KeyboardInterrupt
            return super().forward(x)

    monkeypatch.setattr(stream, "block_size", lambda image: 2)
    codes = kept(model=Killed())
    with pytest.raises(KeyboardInterrupt, match="of 9 pictures are kept in "):
        codes.make(LAYERS)
    assert [file.name for file in codes.folder.iterdir()] == ["training.state"]
    codes.model.runs = -100
    codes.make(LAYERS)
    assert codes.model.runs < -100 + COUNT + 2  # some were done, and two runs looked at the first image
    assert torch.equal(codes.read(LAYERS[2]).values, zfcuda.activations(Counting(), images(COUNT), "fc")["fc"])
    assert not (codes.folder / "training.state").exists()


def test_broken_pictures_are_left_out(kept: Callable[..., StoredCodes], tmp_path: Path) -> None:
    class Broken(ItemSource):
        def item(self, index: int) -> Any:
            if index == 4:
                raise OSError("torn")
            return super().item(index)

    codes = StoredCodes(Counting(), Broken(items()), None, tmp_path, "test")
    labels = [0, 1, 2, 0, 2, 0, 1, 2]
    with pytest.warns(UserWarning, match="1 of 9 left out: item 4"):
        codes.make(LAYERS)
    found = codes.read(LAYERS[2])
    assert len(found) == 8 and found.labels.tolist() == labels
    assert torch.equal(
        found.values, zfcuda.activations(codes.model, images(COUNT), "fc")["fc"][[0, 1, 2, 3, 5, 6, 7, 8]]
    )


def test_pictures_of_another_size_are_left_out(tmp_path: Path) -> None:
    mixed = [*items(), (images(1, 5, (13, 21))[0], 1)]
    codes = StoredCodes(Counting(), ItemSource(mixed), None, tmp_path, "test")
    with pytest.warns(UserWarning, match="1 left out, whose codes have another length than the first's: item 9"):
        codes.make(LAYERS)
    assert len(codes.read(LAYERS[1])) == COUNT
    assert codes.make([LAYERS[0], LAYERS[2]]) == []
