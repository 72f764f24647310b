"""Codes are what a layer gives, picture by picture, whatever lies between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

import zfcuda
from tests.features.test_dead_units import Interrupted, Net
from tests.harness.live_memory import LiveMemory
from zfcuda.features.codes import Codes, _Rows, codes
from zfcuda.features.stream import Stream


@pytest.fixture
def net() -> Net:
    return Net()


def maps(model: Net, values: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.stack([model.conv(value[None])[0].flatten() for value in values])


@pytest.mark.parametrize("relu", [True, False])
def test_values_are_the_layers_flattened(net: Net, relu: bool) -> None:
    values = torch.randn(70, 3, 9, 9)
    found = codes(net, values, "conv", relu=relu)
    expected = maps(net, values)
    torch.testing.assert_close(found.values, expected.clamp(min=0) if relu else expected)
    assert found.values.dtype == torch.float32 and found.labels is None and found.relu is relu
    assert len(found) == 70 and len(found.names) == 70 and net.training


def test_batches_and_pictures_one_by_one_give_the_same(net: Net) -> None:
    values = torch.randn(5, 3, 9, 9)
    together = codes(net, values, "head", relu=False).values
    for value, code in zip(values, together, strict=True):
        torch.testing.assert_close(codes(net, value[None], "head", relu=False).values[0], code)


def test_an_interrupted_pass_goes_on(net: Net, tmp_path: Path) -> None:
    values, state = torch.randn(600, 3, 9, 9), tmp_path / "state"
    data = Interrupted(values, 550)
    with pytest.raises(KeyboardInterrupt, match="of 600 pictures are kept in"):
        codes(net, data, "conv", state=state)
    assert data.at == -1
    found = codes(net, data, "conv", state=state)
    assert torch.equal(found.values, codes(net, values, "conv").values)
    again = codes(net, data, "conv", state=state)  # all is done
    assert torch.equal(again.values, found.values) and again.names == found.names
    with pytest.raises(ValueError, match=r"state: .* other settings"):
        codes(net, data, "conv", relu=False, state=state)


@pytest.mark.parametrize("blocks", [[0, 2], [0, 3], [1]])
def test_processes_share_the_pictures(net: Net, blocks: list[int]) -> None:
    expected = torch.randn(40, 8)
    stream = Stream(net, torch.randn(40, 3, 9, 9), "conv")
    stream.shapes["conv"] = (8,)
    one, other = _Rows(stream, False), _Rows(stream, False)
    for block in range(4):
        index = torch.arange(10 * block, 10 * block + 10)
        (one if block in blocks else other).add(index, {"conv": expected[index]}, (9, 9))
    state = other.state_dict()
    assert len(state["index"]) == 10 * (4 - len(blocks)) and len(state["values"]) <= 40
    one.merge(state)
    assert torch.equal(one.taken(), expected)
    other.load_state_dict(one.state_dict())
    assert torch.equal(other.taken(), expected)


class Folder:
    """Pictures of two classes in a folder, and one that is broken."""

    def __init__(self, path: Path) -> None:
        for i, place in enumerate(("cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png")):
            (path / place).parent.mkdir(exist_ok=True)
            Image.new("RGB", (9, 9), (60 * i, 10, 10)).save(path / place)
        (path / "cat/1.png").write_bytes((path / "cat/1.png").read_bytes()[:40])


def test_a_folder_with_a_broken_picture(net: Net, tmp_path: Path) -> None:
    Folder(tmp_path)
    preprocess = zfcuda.Preprocess(9, 9)
    with pytest.warns(UserWarning, match="pictures: 1 of 4 left out: cat/1.png"):
        found = codes(net, tmp_path, "conv", preprocess=preprocess, state=tmp_path / "state")
    assert found.names == ["cat/0.png", "cat/2.png", "dog/0.png"] and found.classes == ["cat", "dog"]
    assert found.labels is not None and found.labels.tolist() == [0, 0, 1] and found.labels.dtype == torch.int64
    images = torch.cat([preprocess(tmp_path / name) for name in found.names])
    torch.testing.assert_close(found.values, maps(net, images).clamp(min=0))
    assert [each.name for each in found.skipped] == ["cat/1.png"] and "1 left out" in repr(found)
    with pytest.warns(UserWarning, match="1 of 4 left out"):  # from the state, with its gap
        again = codes(net, tmp_path, "conv", preprocess=preprocess, state=tmp_path / "state")
    assert torch.equal(again.values, found.values) and again.names == found.names
    found.save(tmp_path / "codes.safetensors")
    (tmp_path / "new").touch()
    assert (tmp_path / "codes.safetensors").stat().st_mode == (tmp_path / "new").stat().st_mode
    loaded = Codes.load(tmp_path / "codes.safetensors")
    assert torch.equal(loaded.values, found.values) and torch.equal(loaded.labels, found.labels)
    assert (loaded.names, loaded.classes, loaded.layer, loaded.relu) == (found.names, ["cat", "dog"], "conv", True)


def test_pictures_of_another_size(net: Net) -> None:
    small, large = torch.rand(3, 9, 9), torch.rand(3, 11, 9)
    with pytest.warns(UserWarning, match="codes: 1 left out, whose code has another length than that of the first"):
        found = codes(net, [small, large, small], "conv")
    assert len(found) == 2 and [each.index for each in found.skipped] == [1]
    assert len(codes(net, [small, large], "head")) == 2  # a vector has the same length


def test_memory_is_the_codes_and_one_batch(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(inplace=True)).eval()
    batch, whole = 256 * 8 * 8 * 8 * 4, 2560 * 8 * 8 * 8 * 4  # bytes of the codes of one and of all

    class Drawn:
        def __len__(self) -> int:
            return 2560

        def __getitem__(self, index: int) -> Tensor:
            return torch.full((3, 8, 8), index / 2560)

    for state in (None, tmp_path / "state"):
        with LiveMemory() as memory:
            found = codes(model, Drawn(), "1", state=state)
        assert found.values.shape == (2560, 512)
        assert whole <= memory.peak < whole + 5 * batch


@pytest.mark.parametrize("labelled", [True, False])
def test_labels_of_a_data_set(net: Net, labelled: bool) -> None:
    data = [(torch.rand(3, 9, 9), i % 2) if labelled else torch.rand(3, 9, 9) for i in range(4)]
    found = codes(net, data, "head")
    assert (found.labels is None) is not labelled
    assert found.labels is None or found.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"layer": "hed"}, ValueError, "has no layer 'hed'"),
        ({"layer": ["head"]}, TypeError, r"layer: expected the dotted name of a submodule, got \['head'\]"),
        ({"pictures": []}, ValueError, "pictures: expected at least one, got none"),
        ({"pictures": "/no/folder"}, ValueError, "pictures: /no/folder: no such folder"),
        ({"model": 3}, TypeError, "model: expected a torch.nn.Module, got int"),
    ],
)
def test_bad_input(arguments: dict[str, Any], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        codes(**({"model": Net(), "pictures": torch.rand(2, 3, 9, 9), "layer": "head"} | arguments))


def test_no_room(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = torch.zeros

    def full(*shape: Any, **options: Any) -> Tensor:
        if shape == (2, 6):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return zeros(*shape, **options)

    values = torch.rand(2, 3, 9, 9)
    monkeypatch.setattr("zfcuda.features.codes.torch.zeros", full)
    with pytest.raises(MemoryError, match=r"layer: 2 codes of 'head', 6 numbers each, take 0.0 GiB"):
        codes(net, values, "head")


def test_files_that_are_no_codes(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"values": torch.zeros(2, 3)}, path)
    for content, said in (
        (None, "not codes that zfcuda saved"),
        (b"abc", "no safetensors file"),
        (b"", "an empty file"),
    ):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValueError, match=f"path: .*a.safetensors: {said}"):
            Codes.load(path)
    with pytest.raises(ValueError, match="no such file"):
        Codes.load(tmp_path / "b.safetensors")
    found = Codes(torch.zeros(1, 2), None, ["a"])
    for name, said in (("a.npz", "expected a name that ends in .safetensors"), ("no/a.safetensors", "no folder")):
        with pytest.raises(ValueError, match=f"path: .*{said}"):
            found.save(tmp_path / name)
