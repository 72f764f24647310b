"""Pictures of a map: their size, their colours, and where on the image they are."""

from __future__ import annotations

import builtins
import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from tests.data.transforms_of_others import CONFIG, Preset
from tests.occlusion.small import a_map, a_model, an_image, with_preprocess
from zfcuda import render
from zfcuda.data import Preprocess
from zfcuda.data.preprocess_facts import as_ours
from zfcuda.data.preprocessing import preprocess_of
from zfcuda.occlusion.map_pictures import KINDS


@pytest.mark.parametrize("kind", [*KINDS, None])
def test_every_kind_is_as_large_as_the_image(kind: str | None) -> None:
    result = a_map(layer="conv")
    picture = result.image(kind)
    assert picture.size == (30, 22) and picture.mode == "RGB"
    assert kind == "label" or len(picture.getcolors(1000) or range(1000)) > 1
    assert kind is not None or picture == result.image("overlay")


def test_what_it_cannot_draw_is_named() -> None:
    result = a_map()
    with pytest.raises(ValueError, match=r"kind: expected one of .*'overlay'.*'activity'.*, got 'fire'"):
        result.image("fire")
    with pytest.raises(ValueError, match="kind: 'activity' needs a layer"):
        result.image("activity")
    with pytest.raises(ValueError, match=r"of: expected one of .*, got 'odds'"):
        result.image("heatmap", of="odds")
    with pytest.raises(ValueError, match="of: 'label' is no map of drops"):
        result.image("label", of="score")


class Spot(nn.Module):
    """The brightness of one patch, against nothing."""

    def forward(self, x: Tensor) -> Tensor:
        score = x[:, 0, 4:8, 12:16].mean((1, 2))
        return torch.stack([score, torch.zeros_like(score)], 1)


def test_covering_what_counts_is_red_and_in_its_place() -> None:
    result = zfcuda.occlusion_map(Spot(), torch.full((3, 20, 24), 0.5), window=4, stride=4, target=0)
    for of in (None, "score", "probability"):
        pixels = np.asarray(result.image("heatmap", of=of)).astype(int)
        y, x = np.unravel_index((pixels[..., 0] - pixels[..., 2]).argmax(), (20, 24))
        assert 4 <= y < 8 and 12 <= x < 16
    assert tuple(np.asarray(result.image("heatmap"))[17, 2]) == (247, 247, 247)  # no drop
    assert tuple(np.asarray(result.image("overlay"))[17, 2]) == (128, 128, 128)  # the picture
    lowest = np.asarray(result.image("probability"))
    dark = np.argwhere((lowest == lowest[5, 13]).all(2))
    assert dark.min(0).tolist() == [4, 12] and dark.max(0).tolist() == [7, 15]


def test_values_stand_where_their_windows_do() -> None:
    """By brute force: the nearest centre of a window, cut off at the border."""
    result = a_map(layer="conv", unit=1)
    for kind, colours in (("score", "viridis"), ("log_odds", "viridis"), ("activity", "inferno")):
        expected = torch.empty(22, 30)
        for y in range(22):
            for x in range(30):
                distances = []
                for row in range(result.score.shape[0]):
                    for column in range(result.score.shape[1]):
                        top, left, bottom, right = result.rectangle(row, column)
                        distance = abs(y + 0.5 - (top + bottom) / 2), abs(x + 0.5 - (left + right) / 2)
                        distances.append((sum(distance), row, column))
                _, row, column = min(distances)
                expected[y, x] = getattr(result, kind)[row, column]
        assert result.image(kind) == render.heatmap(expected, colours=colours)


def test_labels_lead_with_the_target() -> None:
    result = a_map(target=0)
    result.label[:] = 3
    result.label[0, 0] = 0
    picture = result.image("label")
    assert picture.getpixel((0, 0)) == render.CATEGORIES[0] and picture.getpixel((29, 21)) == render.CATEGORIES[1]


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_the_picture_comes_back_through_the_preprocess(order: str) -> None:
    model = a_model()
    preprocess = with_preprocess(model, order)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (22, 30, 3), np.uint8))
    image = preprocess(picture)
    result = a_map(model, image)
    image.zero_()  # the map keeps a copy of its own
    assert result.image("picture") == picture
    assert result.pixels.dtype == torch.uint8 and result.pixels.shape == (3, 22, 30)
    assert a_map(model, image).image("picture") != picture


@pytest.mark.parametrize("attributes", [{"transforms": Preset()}, {"preprocess": Preset()}, {"pretrained_cfg": CONFIG}])
def test_the_picture_comes_back_through_transforms_of_others(attributes: dict[str, Any]) -> None:
    model = a_model()
    for name, value in attributes.items():
        setattr(model, name, value)
    ours = as_ours(preprocess_of(model))
    assert ours is not None
    cut = Image.fromarray(np.random.default_rng(0).integers(60, 200, (32, 32, 3), np.uint8))
    image = ours.normalized(torch.from_numpy(np.array(cut)).permute(2, 0, 1)[None])
    assert (np.asarray(a_map(model, image).image("picture")) == np.asarray(cut)).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_without_a_preprocess_the_values_are_stretched(channels: int, dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).to(dtype).eval()
    image = torch.randn(channels, 22, 30).to(dtype)
    result = a_map(model, image)
    pixels = np.asarray(result.image("picture"))
    assert pixels.min() == 0 and pixels.max() == 255
    assert (channels == 3) == bool((pixels[..., 0] != pixels[..., 1]).any())
    inside = torch.rand(channels, 22, 30).to(dtype) / 2
    assert np.asarray(a_map(model, inside).image("picture")).max() < 129  # values of 0 to 1 as they are
    flat = a_map(model, torch.full_like(image, 7)).image("picture")
    assert set(np.asarray(flat).flatten()) == {128}


def test_a_preprocess_of_another_kind_does_no_harm() -> None:
    model = a_model()
    for strange in ("resize", lambda picture: picture, Preprocess(mean=(0.1,), std=(0.1,))):
        model.preprocess = strange
        result = a_map(model)
        assert np.ptp(np.asarray(result.image("picture"))) == 255
    for other in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert other == result and other.image() == result.image()
    model.pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "input_size": (3, 22, 30), "crop_mode": "border"}
    model.preprocess = None  # timm alone can cut so
    assert a_map(model).image().size == (30, 22)


@pytest.mark.parametrize("stride", [4, 11])
def test_places_that_no_window_covers(stride: int) -> None:
    result = a_map(window=4, stride=stride)
    grey = np.asarray(result.image("picture").convert("L").convert("RGB"))
    seen = np.asarray(result.image("overlay"))
    assert (seen != grey).any()
    uncovered = result.heatmap().isnan().numpy()
    assert (seen[uncovered] == grey[uncovered]).all() and uncovered.any() == (stride > 4)


def test_mapper_shows_each_image() -> None:
    images = [an_image(), an_image().flip(1)]
    mapper = zfcuda.OcclusionMapper(a_model(), images[0], window=8, stride=8)
    first, second = map(mapper, images)
    assert torch.equal(first.pixels.flip(1), second.pixels) and first.classes is not None


def test_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    result = a_map(target=0)
    ax = result.plot()
    assert ax.get_title().startswith("tabby cat: ") and "%" in ax.get_title()
    under, over = ax.get_images()
    assert tuple(over.get_extent()) == tuple(under.get_extent()) == (-0.5, 29.5, 21.5, -0.5)
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "drop of the log-odds where covered"
    low, high = over.get_clim()
    assert low == -high
    before = len(pyplot.get_fignums())
    other = pyplot.figure().subplots()
    assert result.plot(other, of="probability") is other and len(pyplot.get_fignums()) == before + 1
    assert a_map(window=4, stride=11).plot() is not None
    with pytest.raises(ValueError, match="of: "):
        result.plot(of="odds")
    pyplot.close("all")


def test_plot_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install matplotlib .*zfcuda\[plot\]"):
        a_map().plot()
