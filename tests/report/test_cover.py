"""What covers the picture on the page: in the numbers, in the pictures and in words; and output= there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.report.small import CLASSES, SIDE, drawing, explained, network, page_of, preprocess, subject
from zfcuda.occlusion import areas
from zfcuda.occlusion.fill import FILLS, Filling
from zfcuda.report import Subject
from zfcuda.report.panels import draw

PAINTS: list[Any] = ["grey", "gray", *FILLS, (255, 0, 0), 64]


def values_of(paint: Any) -> Tensor:
    """What covers the drawing, [C,H,W] in the network's values."""
    if paint in FILLS:
        image = preprocess(drawing())[0]
        return Filling(paint, image, (16, 16)).of(image)
    colour = {"grey": (127.5,) * 3, "gray": (127.5,) * 3, 64: (64,) * 3}.get(paint, paint)
    return ((torch.tensor(colour) / 255 - torch.tensor([0.5, 0.4, 0.3])) / 0.25)[:, None, None].expand(3, SIDE, SIDE)


@pytest.mark.parametrize("paint", PAINTS, ids=str)
def test_the_network_gets_what_the_page_shows(paint: Any) -> None:
    e = explained(fill=paint)
    row, column = 1, 2
    top, left, bottom, right = e.occlusion.rectangle(row, column)
    image = preprocess(drawing())
    image[0, :, top:bottom, left:right] = values_of(paint)[:, top:bottom, left:right]
    with torch.no_grad():
        expected = network()(image)[0]
    torch.testing.assert_close(e.occlusion.logits[row, column], expected, rtol=1e-4, atol=1e-4)
    top, left, bottom, right = e.occlusion.rectangle(*e.occlusion.worst)
    shown = torch.tensor(np.array(draw(e).occluded.image)).permute(2, 0, 1) / 255
    plain = torch.tensor(np.array(drawing())).permute(2, 0, 1) / 255
    covering = (values_of(paint) * 0.25 + torch.tensor([0.5, 0.4, 0.3])[:, None, None]).clamp(0, 1)
    inside = (slice(None), slice(top, bottom), slice(left, right))
    torch.testing.assert_close(shown[inside], covering[inside], rtol=0, atol=1.1 / 255)
    shown[inside] = plain[inside]
    torch.testing.assert_close(shown, plain, rtol=0, atol=1.1 / 255)


@pytest.mark.parametrize(
    ("paint", "words", "kind", "colour"),
    [
        ("grey", "a grey square", "grey", [128, 128, 128]),
        ("mean", "a square of the picture's mean colour", "mean", "any"),
        ("blur", "a square of the blurred picture", "blur", None),
        ("noise", "a square of noise", "noise", None),
        ((255, 0, 16), "a square of the colour #ff0010", "colour", [255, 0, 16]),
    ],
)
def test_the_page_and_its_numbers_say_so(paint: Any, words: str, kind: str, colour: Any, tmp_path: Path) -> None:
    page, numbers = page_of(explained(fill=paint), tmp_path)
    plain = page.replace("&#x27;", "'").replace("\u00a0", " ")
    assert f"{words}, 16 × 16 pixels, moved by 8" in plain and f"with {words} over rows" in plain
    assert f"{words.capitalize()} is put over the picture" in plain
    fill = numbers["occlusion"]["fill"]
    assert fill["kind"] == kind and (colour == "any" or fill["colour"] == colour)
    assert (fill["colour"] is None) == (fill["values"] is None) == (kind in ("blur", "noise"))
    assert numbers["arguments"]["fill"] == (kind if kind != "colour" else colour)
    moving = re.search(r'"fill":"(#[0-9a-f]{6}|data:image/jpeg;base64,[^"]+)"', page)
    assert moving is not None and moving[1].startswith("data:" if colour is None else "#")
    assert "grey square" not in page or kind == "grey"


@pytest.mark.parametrize("paint", ["nose", (1, 2), (0, 0, 256), -1, 0.5, (0.5, 0.5, 0.5)], ids=str)
def test_other_paints_are_refused(paint: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"fill: expected one of grey, mean, blur, noise, or red, green"):
        explained(fill=paint)


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = network()[:5]
        self.head = nn.Conv2d(6, len(CLASSES), 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.features(x)
        return {"out": self.head(x), "features": x}


def share_of_dogs(answer: dict[str, Tensor]) -> Tensor:
    return answer["out"].softmax(1)[:, 1].mean((1, 2))


def test_a_segmentation_is_explained_by_areas(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Dense().eval()
    e = explained(of=subject(model), output=areas)
    with torch.no_grad():
        expected = model(preprocess(drawing()))["out"].softmax(1).mean((2, 3))[0]
    torch.testing.assert_close(e.probabilities, expected)
    assert [layer.name for layer in e.layers] == ["features.0", "features.3", "head"]
    page, numbers = page_of(e, tmp_path)
    assert "zfcuda.occlusion.output:areas of what it returns" in page
    assert numbers["arguments"]["output"] == "zfcuda.occlusion.output:areas"
    assert numbers["classes"][0]["name"] in CLASSES


def test_a_share_is_what_the_page_says(tmp_path: Path) -> None:
    torch.manual_seed(0)
    e = explained(of=Subject(Dense().eval(), preprocess, ("dogs",), "dense"), output=share_of_dogs)
    assert float(e.probabilities[0]) == pytest.approx(float(e.occlusion.base_score))
    assert "dogs" in page_of(e, tmp_path)[0]


def broken(answer: dict[str, Tensor]) -> Tensor:
    return answer["logits"]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, r"model: .* got dict with 'out'.*output=zfcuda.occlusion.areas"),
        ("logits", r"^output: 'logits' is not in what the model returns: dict with 'out'"),
        ("out", r"^output: expected it to return scores \[N,classes\]"),
        (broken, r"^output: KeyError: 'logits'"),
        (1.5, r"^output: expected a callable, a key or an index, got 1.5"),
    ],
)
def test_what_is_no_answer_is_named(output: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        explained(of=subject(Dense().eval()), output=output)
