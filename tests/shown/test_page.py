"""What a result shows of itself in a notebook: small, safe, and never an exception."""

from __future__ import annotations

import base64
import copy
import io
import pickle
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import zfcuda
from zfcuda.faithfulness.curve import Curve
from zfcuda.features.strongest_patches import StrongestPatches
from zfcuda.paper.result import Claim, Result
from zfcuda.sheets.numbered import Bar
from zfcuda.shown import Display, Displayed, LayerDict, Table, View, maps, pictures, signals
from zfcuda.shown.chart import line

HOSTILE = '<script>alert("x")</script>\n& \udcff'
MOST = 300_000


class Parsed(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.words = ""
        self.depth = 0
        self.feed(page)
        assert self.depth == 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self.depth += tag != "img"

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1

    def handle_data(self, data: str) -> None:
        self.words += data

    @property
    def images(self) -> list[Image.Image]:
        sources = [each["src"] for tag, each in self.tags if tag == "img"]
        assert all(source.startswith("data:image/png;base64,") for source in sources)
        return [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) for source in sources]


def parsed(result: Any) -> Parsed:
    page = result._repr_html_()
    assert len(page) < MOST and page.encode()
    found = Parsed(page)
    assert {tag for tag, _ in found.tags} <= {"div", "span", "img", "table", "tr", "th", "td", "pre"}
    assert all(each["alt"] for tag, each in found.tags if tag == "img")
    assert not re.search("https?:|url\\(|@import", page)
    return found


class Shown(Displayed):
    def __init__(self, display: Display) -> None:
        self._display = display

    def display(self) -> Display:
        return self._display

    def __repr__(self) -> str:
        return f"Shown {HOSTILE}"


def noise(*size: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))


@pytest.mark.parametrize("sheet", [False, True])
@pytest.mark.parametrize("count", [1, 2, 8, 30])
def test_a_page_is_small_whatever_there_is_to_see(count: int, sheet: bool) -> None:
    views = [View(noise(900, 1300), "\"'<&" * 999, Bar("viridis", "0", "1"), sheet) for _ in range(count)]
    facts = [("<&" * 999, "\"'<&" * 9999)] * 99
    rows = [["\"'<&" * 999] * 99] * 999
    found = parsed(Shown(Display("&" * 9999, facts, views, count, [Table(["&" * 99] * 99, rows)] * 99)))
    assert len(found.images) == min(count, 8)
    assert ("The first 8 of 30." in found.words) == (count == 30)


def test_names_are_text_and_never_markup() -> None:
    views = [View(noise(8, 8), HOSTILE)]
    table = Table([HOSTILE], [[HOSTILE], [None], [1.23456789], [1234567], [True]], HOSTILE)
    found = parsed(Shown(Display(HOSTILE, [(HOSTILE, HOSTILE)], views, 1, [table])))
    assert found.words.count('<script>alert("x")</script>') == 7
    assert "1.235" in found.words and "1,234,567" in found.words and "True" in found.words


def test_what_cannot_be_drawn_shows_its_text() -> None:
    class Broken(Displayed):
        def __repr__(self) -> str:
            return f"Broken {HOSTILE}"

    class Mute(Broken):
        def __repr__(self) -> str:
            raise RuntimeError

    class Endless(Broken):
        def __repr__(self) -> str:
            return "&" * 10**6

    assert 'Broken <script>alert("x")</script>' in parsed(Broken()).words
    assert parsed(Mute()).words == "Mute"
    assert "&" in parsed(Endless()).words

    def views() -> Any:
        yield View(noise(8, 8))
        raise MemoryError

    assert "Shown" in parsed(Shown(Display("x", views=views(), total=2))).words


def network(channels: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 2, 3)).eval()


def a_map(values: torch.Tensor, signed: bool = True, channels: int = 3) -> Any:
    return maps(values, "Map", signed, network(channels), torch.rand(len(values), channels, *values.shape[-2:]))


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_maps_that_are_nothing_or_no_numbers_are_legal(signed: bool, channels: int) -> None:
    assert "nothing at all, zero everywhere" in parsed(a_map(torch.zeros(1, 9, 12), signed, channels)).words
    for bad in (torch.nan, torch.inf, -torch.inf):
        values = torch.rand(2, 9, 12)
        values[0, 2:4] = bad
        found = parsed(a_map(values, signed, channels))
        assert "not finite" in found.words and "24 of 216 values" in found.words and len(found.images) == 2
        assert len(parsed(a_map(torch.full((1, 9, 12), bad), signed, channels)).images) == 1
    assert "<pre>" not in a_map(torch.rand(0, 9, 12), signed, channels)._repr_html_()


def test_a_map_lies_over_its_image_as_a_person_sees_it() -> None:
    model = zfcuda.models.load_demo()
    image = model.preprocess(Image.new("RGB", (224, 224), (200, 200, 200)))
    values = torch.zeros(1, 224, 224)
    values[:, :112] = 1
    drawn = parsed(maps(values, "Map", True, model, image)).images[0].convert("RGB")
    red, green, _ = drawn.getpixel((112, 20))
    assert red > green + 60
    below = drawn.getpixel((112, 200))
    assert max(abs(each - 200) for each in below) <= 3
    values = -values
    red, _, blue = parsed(maps(values, "Map", True, model, image)).images[0].convert("RGB").getpixel((112, 20))
    assert blue > red + 60


def test_of_many_large_images_little_is_kept_and_the_first_are_shown() -> None:
    images = torch.rand(20, 3, 256, 512)
    made: Any = maps(images.sum(1), "Map", False, network(), images)
    [kept] = [cell.cell_contents for cell in made.how.__closure__ if isinstance(cell.cell_contents, torch.Tensor)]
    assert kept.dtype == torch.float16 and kept.shape == (8, 3, 128, 256)
    found = parsed(made)
    assert len(found.images) == 8 and "The first 8 of 20." in found.words
    made[0] = 0  # the same tensor with other numbers
    assert "image 0: nothing at all" in parsed(made).words


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_signals_of_any_channels(channels: int) -> None:
    found = parsed(signals(torch.randn(2, channels, 9, 9), "Signal", lambda: [HOSTILE, "b"]))
    assert len(found.images) == 2 and "alert" in found.words
    assert "nothing at all" in parsed(signals(torch.zeros(1, channels, 9, 9), "Signal")).words


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_dtype(dtype: torch.dtype) -> None:
    assert "<img" in a_map(torch.rand(1, 9, 9).to(dtype))._repr_html_()
    assert "<img" in signals(torch.rand(1, 3, 9, 9).to(dtype), "x")._repr_html_()  # type: ignore[attr-defined]
    images: Any = pictures(torch.rand(1, 3, 9, 9).to(dtype), "x", zfcuda.render.picture)
    assert "<img" in images._repr_html_()


def test_the_chart_of_a_line_goes_up_where_the_numbers_do() -> None:
    chart = np.asarray(line([0, 1], [0, 1]).convert("L")).astype(int)
    left, right = chart[:, 50:60].min(1).argmin(), chart[:, 270:280].min(1).argmin()
    assert left > right + 100
    for y in ([0.0, 0.0], [np.nan, 1.0], [np.nan, np.nan], [-1.0, 1.0], [5.0, 5.0]):
        assert line([0, 1], y).size == (300, 200)


def results() -> dict[str, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()
    image = torch.rand(1, 3, 16, 16)
    shares = torch.linspace(0, 1, 5, dtype=torch.float64)
    pictures = torch.rand(6, 3, 16, 16)
    label = int(model(image).argmax())
    return {
        "map": zfcuda.occlusion_map(model, image, window=8, stride=4),
        "adversarial": zfcuda.adversarial(model, image, epsilon=0.1, steps=2),
        "fool": zfcuda.fool(model, image, (label + 1) % 5, steps=2),
        "invert": zfcuda.invert(model, image, "0", steps=3),
        "codes": zfcuda.codes(model, pictures, "4"),
        "patches": zfcuda.strongest_patches(model, pictures, "0", top=8)["0"],
        "dead": zfcuda.dead_units(model, pictures),
        "curve": Curve("deletion", shares, 1 - shares),
        "summary": zfcuda.models.summary(model, (3, 16, 16)),
        "paper": Result({"t": [{HOSTILE: 1}]}, pictures={HOSTILE: noise(9, 9)}, claims=[Claim(HOSTILE, "b", None)]),
        "randomization": zfcuda.faithfulness.randomization(model, image, "gradient"),
        "embed": zfcuda.embed(torch.zeros(5, 3)) if pytest.importorskip("sklearn") else None,
    }


@pytest.fixture(scope="module")
def every() -> dict[str, Any]:
    return results()


NAMES = ["map", "adversarial", "fool", "invert", "codes", "patches", "dead", "curve", "summary", "paper"]
NAMES += ["randomization", "embed"]
TABLES = {"dead", "summary", "randomization"}  # which have no picture


@pytest.mark.parametrize("name", NAMES)
def test_every_result_shows_itself(name: str, every: dict[str, Any]) -> None:
    found = parsed(every[name])
    assert not any(tag == "pre" for tag, _ in found.tags)
    assert bool(found.images) == (name not in TABLES)


@pytest.mark.parametrize("name", NAMES)
def test_every_result_plots(name: str, every: dict[str, Any]) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    assert every[name].plot(ax) is ax and ax.has_data()
    figure.canvas.draw()
    other = every[name].plot()
    assert other is not ax and other.has_data()
    pyplot.close("all")


def test_without_matplotlib_a_plot_says_what_to_install(every: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    for name in NAMES:
        with pytest.raises(ImportError, match=r"zfcuda\[plot\]"):
            every[name].plot()
        assert "<pre>" not in every[name]._repr_html_()


def test_nothing_to_plot_is_said() -> None:
    with pytest.raises(ValueError, match="plot: expected something to draw"):
        Result().plot()
    assert "<div" in Result()._repr_html_()


def test_patches_of_units_that_nothing_excites() -> None:
    empty = torch.full((1, 2), -1)
    found = StrongestPatches(
        "conv",
        torch.tensor([3]),
        torch.full((1, 2), -torch.inf),
        empty,
        None,
        torch.zeros(1, 2, 4, dtype=torch.int64),
        [],
        0,
        [],
    )
    assert "none" in parsed(found).words


def test_results_by_layers_are_a_dict_like_any_other() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval()
    found: Any = zfcuda.activations(model, torch.rand(1, 3, 9, 9), ["0", "1", "2"])
    assert isinstance(found, dict) and isinstance(found, LayerDict) and list(found) == ["0", "1", "2"]
    page = parsed(found)
    assert len(page.images) == 2 and "and 1 more: 2" in page.words
    for twin in (copy.copy(found), copy.deepcopy(found), pickle.loads(pickle.dumps(found)), found.copy(), {**found}):
        assert not isinstance(twin, LayerDict) and isinstance(twin, dict)
        assert all(torch.equal(twin[name], found[name]) for name in found)
    file = io.BytesIO()
    torch.save(found, file)
    file.seek(0)
    assert list(torch.load(file, weights_only=True)) == ["0", "1", "2"]
    doubled = torch.utils._pytree.tree_map(lambda x: 2 * x, found)
    assert type(doubled) is dict and torch.equal(doubled["1"], 2 * found["1"])
    assert torch.func.vmap(lambda maps: maps["1"].sum())(found).shape == (1,)
    assert zfcuda.strongest_patches(model, torch.rand(3, 3, 9, 9), ["0"])["0"].layer == "0"
