"""What a map prints, in a prompt and in a notebook."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image
from torch import nn

import zfcuda
from tests.occlusion.small import NAMES, a_map, a_model, an_image
from zfcuda.occlusion.map_text import percent


def test_a_prompt_shows_what_matters() -> None:
    result = a_map(target=0, layer="conv", unit=2)
    said = repr(result)
    lines = said.splitlines()
    assert len(lines) <= 10 and max(map(len, lines)) < 140 and str(result) == said
    assert lines[0] == "OcclusionMap"
    row, column = divmod(int(result.probability.argmin()), result.probability.shape[1])
    assert result.worst == (row, column)
    top, left = result.origins[row, column].tolist()
    bottom, right = min(top + 6, 22), min(left + 8, 30)
    assert result.rectangle(row, column) == (top, left, bottom, right)
    assert "22 x 30 pixels" in said
    assert f"6 x 8 of 0, in steps of 4 x 5: {result.label.numel()} positions" in said
    assert f'0 "tabby cat": probability {percent(result.base_probability)}' in said
    assert f"{percent(result.probability.min())} with rows {top} to {bottom - 1}, columns {left} to {right - 1}" in said
    assert re.search(r"activity: +of unit 2: ", said)
    result.probability[0, 1] = torch.nan
    assert result.worst == (row, column)
    assert f"{result.method}: {result.reason[:20]}" in said


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        ("mean", "the image's mean"),
        ("blur", "the image blurred"),
        ("noise", "noise"),
        (0.25, "0.25"),
        ([0.5, 1.0, -2.0], "(0.5, 1, -2)"),
        (torch.rand(3, 22, 30), "a tensor"),
    ],
)
def test_what_covers_the_image_is_said(fill: object, words: str) -> None:
    assert f"6 x 8 of {words}, in steps" in repr(a_map(fill=fill))


def test_the_other_label_is_the_most_frequent_one() -> None:
    rows = torch.tensor([[9.0, 0, 0, 0]] * 4 + [[0, 9.0, 0, 0]] * 2 + [[0, 0, 9.0, 0]] * 3)

    class Table(nn.Module):
        classes = NAMES

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return rows[((x[:, 0, 0] == 0).long() * torch.arange(1, 9)).sum(1)]

    result = zfcuda.occlusion_map(Table(), torch.ones(1, 1, 8), window=1, stride=1)
    assert re.search(r'other label: +2 "heart", at 3 of 8 positions', repr(result))


@pytest.mark.parametrize("value", [0.0, 1e-30, 0.004, 0.5, 0.99999, 1.0, float("nan")])
def test_percent(value: float) -> None:
    expected = {0.0: "0.0 %", 1e-30: "1e-28 %", 0.004: "0.4 %", 0.5: "50.0 %", 0.99999: "99.9990 %", 1.0: "100.0 %"}
    assert percent(torch.tensor(value, dtype=torch.float64)) == expected.get(value, "nan %")


def test_without_names_and_of_a_callable() -> None:
    model = a_model()
    for classes in (None, ["too", "few"], [1, 2, 3, 4], "abcd"):
        model.classes = classes
        result = a_map(model, target=1)
        assert result.classes is None and re.search(r"target: +class 1: probability", repr(result))
    model.classes = tuple(NAMES)
    assert a_map(model).classes == NAMES and a_map(torch.compile(model, backend="eager")).classes == NAMES

    def margin(z: torch.Tensor) -> torch.Tensor:
        return z[:, 0] - z[:, 1]

    result = a_map(model, target=margin, layer="conv")
    said = repr(result)
    assert "the callable margin: " in said and len(said.splitlines()) == 9
    assert f'most probable: {result.target_class} "' in said


def test_one_output_and_nothing_that_is_a_number() -> None:
    model = a_model()
    model.head = nn.Linear(5, 1)
    model.classes = ["pneumonia"]
    result = a_map(model)
    assert re.search(r"target: +pneumonia: probability", repr(result))
    assert result.label_name(0) == "not pneumonia"

    class Fragile(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.flatten(1).sum(1, keepdim=True).repeat(1, 3)
            return torch.where((x == 0).any((1, 2, 3))[:, None], torch.nan, y)

    result = zfcuda.occlusion_map(Fragile(), an_image(), window=8, stride=8)
    assert "no probability is a number" in repr(result) and "<img" in result._repr_html_()


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.words += data


def picture_in(page: str) -> Image.Image:
    parser = Tags()
    parser.feed(page)
    assert {tag for tag, _ in parser.found} == {"div", "img", "table", "tr", "th", "td"}
    [source] = [attributes["src"] for tag, attributes in parser.found if tag == "img"]
    assert source.startswith("data:image/png;base64,")
    assert not any("http" in str(value) for _, attributes in parser.found for value in attributes.values())
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))


def test_a_notebook_shows_a_table_and_a_picture() -> None:
    result = a_map(target=1)
    page = result._repr_html_()
    assert picture_in(page).size == (150, 110)  # 30 x 22, five times as large
    parser = Tags()
    parser.feed(page)
    assert NAMES[1] in parser.words and NAMES[1] not in page
    assert "22 x 30 pixels" in parser.words


@pytest.mark.parametrize("size", [(224, 224), (500, 700), (30, 900)])
def test_a_notebook_stays_small(size: tuple[int, int]) -> None:
    result = a_map(image=an_image(*size), window=(16, 16), stride=30)  # noise: the worst case
    page = result._repr_html_()
    assert len(page) < 100_000 and max(picture_in(page).size) <= 256
