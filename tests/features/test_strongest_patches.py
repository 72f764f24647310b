"""The strongest patches against a brute-force answer in NumPy, of odd sizes, with ties, NaN, and few pictures."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

import zfcuda
from tests.features.small import LAYERS, Net, Slow, activations, images
from zfcuda.features import loading
from zfcuda.features.winners import Winners
from zfcuda.network import receptive_field


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of four pictures, so that a few make several."""
    monkeypatch.setattr("zfcuda.features.stream.block_size", lambda image: 4)
    monkeypatch.setattr(loading, "block_size", lambda image: 4)


def brute_force(maps: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """values, indices, positions [K,top] of [N,K,h,w] or [N,K]."""
    count, units = maps.shape[:2]
    flat = maps.reshape(count, units, -1)
    values, indices = np.full((units, top), -np.inf, np.float32), np.full((units, top), -1)
    positions = np.full((units, top, 2), -1)
    for unit in range(units):
        largest = flat[:, unit].max(1)  # NaN where there is one
        order = [i for i in np.lexsort((np.arange(count), -largest)) if not np.isnan(largest[i])][:top]
        for place, i in enumerate(order):
            values[unit, place], indices[unit, place] = largest[i], i
            positions[unit, place] = np.unravel_index(flat[i, unit].argmax(), maps.shape[2:] or (1, 1))[-2:]
    return values, indices, positions


def check(found: zfcuda.features.strongest_patches.StrongestPatches, maps: np.ndarray, units: Any = None) -> None:
    values, indices, positions = brute_force(maps if units is None else maps[:, units], found.values.shape[1])
    assert found.values.dtype == torch.float32 and found.indices.dtype == torch.int64
    np.testing.assert_array_equal(found.values.numpy(), values)
    np.testing.assert_array_equal(found.indices.numpy(), indices)
    if maps.ndim == 2:
        assert found.positions is None
    else:
        assert found.positions is not None and found.positions.dtype == torch.int64
        np.testing.assert_array_equal(found.positions.numpy(), positions)


@pytest.mark.parametrize(("count", "top"), [(1, 1), (3, 9), (21, 4), (23, 9)])
def test_brute_force(count: int, top: int) -> None:
    model, every = Net(), images(count)
    found = zfcuda.strongest_patches(model, every, LAYERS, top=top)
    expected = activations(model, every, LAYERS)
    assert list(found) == LAYERS
    for layer in LAYERS:
        check(found[layer], expected[layer])
        assert found[layer].layer == layer and found[layer].seen == count and found[layer].skipped == []
        assert found[layer].names == [f"image {index}" for index in range(count)]
        assert found[layer].units.tolist() == list(range(expected[layer].shape[1]))
    assert model.training and not any(module._forward_hooks for module in model.modules())


def test_some_units_and_one_layer() -> None:
    model, every = Net(), images(10)
    expected = activations(model, every, ["conv1", "conv2"])
    found = zfcuda.strongest_patches(model, every, "conv2", top=2, units=[6, 0])
    check(found["conv2"], expected["conv2"], [6, 0])
    assert found["conv2"].units.tolist() == [6, 0]
    each = zfcuda.strongest_patches(model, every, ["conv1", "conv2"], top=2, units={"conv1": range(1, 3)})
    check(each["conv1"], expected["conv1"], [1, 2])
    check(each["conv2"], expected["conv2"])


def holds(box: list[int], seen: tuple[int, ...], size: tuple[int, ...], exactly: bool) -> bool:
    """Whether a box, clipped to the image, is what a unit sees; behind pooling that drops rows it has those too."""
    top, left, bottom, right = box
    clipped = (max(0, top), max(0, left), min(size[0], bottom), min(size[1], right))
    if exactly:
        return clipped == seen
    return clipped[:2] == seen[:2] and all(0 <= a - b <= 2 for a, b in zip(clipped[2:], seen[2:], strict=True))


def test_boxes() -> None:
    model, every = Net(), images(9)
    found = zfcuda.strongest_patches(model, every, LAYERS, top=3)
    for layer in ("conv1", "conv2"):
        field = receptive_field(model, layer, (13, 11))
        boxes, positions = found[layer].boxes, found[layer].positions
        assert field is not None and positions is not None and boxes.dtype == torch.int64
        sizes = boxes[..., 2:] - boxes[..., :2]
        assert (sizes == torch.tensor(field.size)).all()  # unclipped, all are as large
        for unit in range(len(boxes)):
            for place, (y, x) in enumerate(positions[unit].tolist()):
                assert holds(boxes[unit, place].tolist(), field.rectangle(y, x), (13, 11), exactly=layer == "conv1")
    assert (found["conv1"].boxes[..., 0] == 2 * found["conv1"].positions[..., 0] - 1).all()
    assert found["fc"].boxes[0, 0].tolist() == [0, 0, 12, 11]


def test_nan_never_wins() -> None:
    every = images(12)
    every[3, 0, 2, 2] = torch.nan
    every[7] = torch.nan
    model = Net()
    with pytest.warns(UserWarning, match=r"NaN among the activations of conv1 \(up to 2 pictures of a unit\), conv2"):
        found = zfcuda.strongest_patches(model, every, ["conv1", "conv2"], top=11)
    expected = activations(model, every, ["conv1", "conv2"])
    for layer in found:
        check(found[layer], expected[layer])
        assert (found[layer].indices == -1).any() and not (found[layer].indices == 7).any()
        empty = found[layer].indices == -1
        assert (found[layer].boxes[empty] == 0).all() and (found[layer].values[empty] == -torch.inf).all()


def test_pictures_of_several_sizes() -> None:
    """Those of one size run together, and ties go to the lower number all the same."""
    model = Net()
    every = [images(1, seed, (13, 11) if seed % 3 else (10, 15))[0].sign() for seed in range(19)]
    found = zfcuda.strongest_patches(model, every, ["conv1", "conv2"], top=6)
    for layer in found:
        maps = [activations(model, image[None], [layer])[layer][0] for image in every]
        for unit in range(len(maps[0])):
            order = sorted(range(19), key=lambda i: (-maps[i][unit].max(), i))[:6]
            assert found[layer].indices[unit].tolist() == order
            field = [receptive_field(model, layer, every[i].shape) for i in order]
            for place, i in enumerate(order):
                y, x = np.unravel_index(maps[i][unit].argmax(), maps[i].shape[1:])
                assert found[layer].positions[unit, place].tolist() == [y, x]
                seen = field[place].rectangle(int(y), int(x))  # type: ignore[union-attr]
                box = found[layer].boxes[unit, place].tolist()
                assert holds(box, seen, every[i].shape[1:], exactly=layer == "conv1")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(dtype: torch.dtype) -> None:
    model, every = Net().to(dtype), images(9).sign()
    found = zfcuda.strongest_patches(model, every, ["conv1"], top=3)  # float32 images: the model's dtype is taken
    check(found["conv1"], activations(model, every.to(dtype), ["conv1"])["conv1"])


def test_channels_last_and_wrappers() -> None:
    model, every = Net(), images(9)
    expected = zfcuda.strongest_patches(model, every, LAYERS, top=3)
    last = zfcuda.strongest_patches(model.to(memory_format=torch.channels_last), every, LAYERS, top=3)
    wrapped = zfcuda.strongest_patches(nn.DataParallel(model), every, ["module.conv2"], top=3)
    assert torch.equal(wrapped["module.conv2"].indices, expected["conv2"].indices)
    for layer in LAYERS:
        assert torch.equal(last[layer].values, expected[layer].values)
        assert torch.equal(last[layer].boxes, expected[layer].boxes)


class Coupled(Net):
    """Divides by the largest value of the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x / x.abs().amax())


def test_pictures_that_would_influence_one_another_run_one_by_one() -> None:
    model, every = Coupled(), images(9) * torch.arange(1, 10).view(-1, 1, 1, 1)
    found = zfcuda.strongest_patches(model, every, ["conv1"], top=3)
    check(found["conv1"], activations(model, every, ["conv1"])["conv1"])


class Twice(Net):
    """Calls a layer twice; what fails behind the layers asked for does not matter."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x) - 5)
        y: Tensor = self.fc(self.relu(x - 1.0))
        return y


def test_the_last_call_counts_and_what_comes_behind_does_not() -> None:
    model, every = Twice(), images(6)
    found = zfcuda.strongest_patches(model, every, ["relu"], top=2)
    with torch.no_grad():
        expected = (model.conv1(every) - 6).relu()
    check(found["relu"], expected.numpy())


def test_an_unknown_receptive_field_is_said() -> None:
    class Sorted(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.sort(dim=2).values)

    with pytest.warns(UserWarning, match="it is not known what the units of conv1 see"):
        found = zfcuda.strongest_patches(Sorted(), images(3), ["conv1"], top=1)
    assert found["conv1"].boxes[0, 0].tolist() == [0, 0, 13, 11]


def test_broken_pictures_are_named_and_left_out(tmp_path: Any) -> None:
    for name in ("a", "b", "c"):
        Image.fromarray(np.full((20, 20, 3), ord(name), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:60])
    (tmp_path / "d.jpg").write_text("not a picture")
    model = Net()
    model.preprocess = zfcuda.Preprocess(16, 16, (0.5,) * 3, (0.5,) * 3)  # type: ignore[assignment]
    with pytest.warns(UserWarning, match=r"pictures: 2 of 4 left out: b\.png: damaged or truncated .*; d\.jpg: not a"):
        found = zfcuda.strongest_patches(model, tmp_path, "conv1", top=3)["conv1"]
    assert found.seen == 2 and [each.name for each in found.skipped] == ["b.png", "d.jpg"]
    assert set(found.indices.flatten().tolist()) == {0, 2, -1} and found.names[2] == "c.png"
    with pytest.warns(UserWarning, match="1 of 9 left out: item 4: OSError: sector 4 is gone"):
        rest = zfcuda.strongest_patches(Net(), Slow(images(9), broken=(4,)), ["conv2"], top=9)["conv2"]
    assert (rest.indices[:, 8] == -1).all() and not (rest.indices == 4).any()


def test_an_image_that_does_not_fit_is_left_out() -> None:
    class Mixed(Dataset[Tensor]):
        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: int) -> Tensor:
            return torch.rand(1 if index == 3 else 3, 12, 12)

    with pytest.warns(UserWarning, match=r"1 of 5 left out: item 3: an image \[1, 12, 12\] does not fit the model"):
        found = zfcuda.strongest_patches(Net(), Mixed(), ["conv1"], top=5)["conv1"]
    assert not (found.indices == 3).any() and found.seen == 4


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"layers": []}, ValueError, "layers: expected at least one"),
        (
            {"layers": LAYERS, "pictures": torch.zeros(2, 1, 9, 9)},
            ValueError,
            r"image: \[1,1,9,9\] does not fit layer 'conv1' .* got 1",
        ),
        ({"layers": None}, TypeError, "layers: expected the name of a layer, or a list of names, got None"),
        ({"layers": ["conv9"]}, ValueError, "layer: Net has no layer 'conv9'"),
        ({"layers": "conv1", "top": 0}, ValueError, "top: expected at least 1, got 0"),
        ({"layers": "conv1", "top": 1.5}, TypeError, "top: expected an integer"),
        ({"layers": "conv1", "units": [5]}, ValueError, "units: expected 0 to 4, the units of layer 'conv1', got 5"),
        ({"layers": "conv1", "units": [1, 1]}, ValueError, "units: expected each once, got 1 twice"),
        ({"layers": "conv1", "units": {"conv2": [0]}}, ValueError, "units: expected names among the layers conv1"),
        ({"layers": "conv1", "units": "all"}, TypeError, "units: expected a list of numbers"),
        ({"layers": "conv1", "pictures": []}, ValueError, "pictures: expected at least one, got none"),
        ({"layers": "conv1", "pictures": "/no/such"}, ValueError, "pictures: /no/such: no such folder"),
        ({"layers": "conv1", "state": "/no/such/state"}, ValueError, "state: /no/such/state: there is no folder"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        zfcuda.strongest_patches(Net(), **{"pictures": images(2), **arguments})


def test_nothing_but_broken_pictures() -> None:
    with pytest.raises(ValueError, match=r"pictures: none of 2 can be read; the first, item 0: OSError: sector 0"):
        zfcuda.strongest_patches(Net(), Slow(images(2), broken=(0, 1)), "conv1")


def test_the_order_of_merging_does_not_matter() -> None:
    """Random blocks in random order, with ties and with rows that nobody wins."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 4, (40, 6), generator=generator).float()
    values[:, 5] = -torch.inf
    places = torch.arange(40, dtype=torch.int32).view(-1, 1, 1).expand(40, 6, 4).contiguous()

    def taken(blocks: list[list[int]]) -> Winners:
        winners = Winners(6, 5, torch.float32, torch.device("cpu"))
        for block in blocks:
            winners.begin(torch.tensor(block))
            for rows in (slice(0, 2), slice(2, 6)):
                winners.take(values[block][:, rows], torch.tensor(block), places[block][:, rows], rows)
        return winners

    expected = taken([list(range(40))])
    assert expected.indices[0].tolist() == np.lexsort((np.arange(40), -values[:, 0].numpy()))[:5].tolist()
    for seed in range(5):
        order = torch.randperm(8, generator=torch.Generator().manual_seed(seed)).tolist()
        blocks = [list(range(5 * b, 5 * b + 5)) for b in order]
        first, second = taken(blocks[:3]), taken(blocks[3:])
        first.merge(second.values, second.indices, second.places)
        for winners in (first, taken(blocks)):
            assert torch.equal(winners.values, expected.values) and torch.equal(winners.indices, expected.indices)
            assert torch.equal(winners.places, expected.places)


def test_the_result_says_what_it_is() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = zfcuda.strongest_patches(Net(), images(5), "conv2", top=2)["conv2"]
    assert repr(found).startswith("StrongestPatches of 'conv2': 7 units, top 2 of 5 pictures; unit 0: ")
