"""The maps of several methods on the page: their numbers, their pictures, and those that there is nothing of."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from tests.report.small import CLASSES, SIDE, drawing, explained, network, page_of, preprocess, subject
from zfcuda import render
from zfcuda.methods import Method
from zfcuda.report import Folder, side_by_side

RAMP = torch.linspace(-2, 1, SIDE * SIDE).view(SIDE, SIDE)


def made(values: Tensor | Exception, name: str = "made", *, signed: bool = True) -> Method:
    """A method that gives these values whatever it is asked."""

    def compute(_: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
        if isinstance(values, Exception):
            raise values
        assert images.shape == (1, 3, SIDE, SIDE) and len(targets) == 1
        return values.expand(1, SIDE, SIDE)

    return Method(name, f"The <{name}> method", "somebody & al. 2020", signed, "What it says.", compute)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Method]:
    """The methods that the page knows, to be filled."""
    found: dict[str, Method] = {}
    monkeypatch.setattr(side_by_side, "method", found.__getitem__)
    return found


def pixels(folder: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(folder / "pictures" / f"one-method-{name}.png").convert("RGB")).astype(int)


def stop(colours: str, place: int) -> list[int]:
    return [int(render.COLOURS[colours][place][i : i + 2], 16) for i in (0, 2, 4)]


def test_no_method_no_section(tmp_path: Path) -> None:
    html, numbers = page_of(explained(), tmp_path)
    assert "several methods" not in html and numbers["methods"] == [] and numbers["arguments"]["methods"] is None


def test_maps_stand_side_by_side_on_one_scale(tmp_path: Path, known: dict[str, Method]) -> None:
    known |= {"made": made(RAMP), "plain": made(RAMP.clamp(min=0) * 1e-9, "plain", signed=False)}
    html, numbers = page_of(explained(methods=["plain", "made"]), tmp_path)
    assert html.index("The &lt;plain&gt; method") < html.index("The &lt;made&gt; method")
    assert 'largest <span class="num">1e-09</span>' in html and 'largest <span class="num">2</span>' in html
    assert html.count("somebody &amp; al. 2020.") == 2 and "With a sign: " in html and "Without a sign: " in html
    signed, plain = pixels(tmp_path, "made"), pixels(tmp_path, "plain")
    zero = int((RAMP < 0).sum())  # the first pixel that is not negative
    middle, ends = divmod(zero, SIDE), ((0, 0), (-1, -1))
    assert signed[ends[0]].tolist() == stop("diverging", 0) and abs(signed[middle] - stop("diverging", 4)).max() <= 8
    half = torch.tensor([[0.5]]).sqrt()  # the largest magnitude is 2, the largest value 1
    assert signed[ends[1]].tolist() == list(render.heatmap(half, -1, 1, colours="diverging").getpixel((0, 0)))
    assert plain[ends[0]].tolist() == stop("inferno", 0) and plain[ends[1]].tolist() == stop("inferno", -1)

    plainly, signedly = numbers["methods"]
    assert numbers["arguments"]["methods"] == ["plain", "made"]
    assert signedly == {
        "name": "made",
        "signed": True,
        "largest_magnitude": 2.0,
        "maximum": {"value": 1.0, "position": [SIDE - 1, SIDE - 1]},
        "without_number": 0,
        "seconds": signedly["seconds"],
        "refusal": None,
        "warnings": [],
    }
    assert plainly["largest_magnitude"] == pytest.approx(1e-9) and signedly["seconds"] >= 0


@pytest.mark.parametrize(
    ("values", "said", "colour", "without"),
    [
        (torch.zeros(SIDE, SIDE), "nothing at all: 0 everywhere", stop("diverging", 4), 0),
        (torch.full((SIDE, SIDE), float("nan")), "no number anywhere", list(render.NAN_COLOUR), SIDE * SIDE),
        (torch.full((SIDE, SIDE), float("-inf")), "no number anywhere", stop("diverging", 0), SIDE * SIDE),
    ],
    ids=["zero", "nan", "infinity"],
)
def test_a_map_of_nothing_is_drawn_and_said(
    tmp_path: Path, known: dict[str, Method], values: Tensor, said: str, colour: list[int], without: int
) -> None:
    known["made"] = made(values)
    html, numbers = page_of(explained(methods=["made"]), tmp_path)
    assert said in html and (pixels(tmp_path, "made") == colour).all()
    (one,) = numbers["methods"]
    assert one["without_number"] == without and one["refusal"] is None
    assert one["largest_magnitude"] == (None if without else 0.0)


def test_pixels_without_a_number_are_counted(tmp_path: Path, known: dict[str, Method]) -> None:
    values = RAMP.clone()
    values[3, 4], values[0, 1] = float("nan"), float("inf")
    known["made"] = made(values)
    html, numbers = page_of(explained(methods=["made"]), tmp_path)
    assert 'largest <span class="num">2</span>; grey: 2 pixels without a number' in html
    drawn = pixels(tmp_path, "made")
    assert drawn[3, 4].tolist() == list(render.NAN_COLOUR) and drawn[0, 0].tolist() == stop("diverging", 0)
    assert numbers["methods"][0]["maximum"]["position"] == [SIDE - 1, SIDE - 1]


def test_a_refusal_stands_in_the_place_of_the_map(tmp_path: Path, known: dict[str, Method]) -> None:
    known |= {"made": made(RuntimeError("no <maps> here")), "plain": made(RAMP, "plain")}
    html, numbers = page_of(explained(methods=["made", "plain"]), tmp_path)
    assert "RuntimeError: no &lt;maps&gt; here.</p>" in html and 'largest <span class="num">2</span>' in html
    assert not (tmp_path / "pictures/one-method-made.png").exists()
    assert numbers["methods"][0]["refusal"] == "RuntimeError: no <maps> here"
    assert numbers["methods"][0]["maximum"] is None and numbers["methods"][1]["refusal"] is None


def test_a_warning_stands_below_the_map(tmp_path: Path, known: dict[str, Method]) -> None:
    def compute(_: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
        warnings.warn("made: it adds up to <3>", stacklevel=2)
        return images[:, 0]

    known["made"] = replace(made(RAMP), compute=compute)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        html, numbers = page_of(explained(methods=["made"]), tmp_path)
    assert "<b>Beware:</b> it adds up to &lt;3&gt;." in html
    assert numbers["methods"][0]["warnings"] == ["it adds up to <3>"]


def test_where_nothing_is_to_be_had_the_memory_is_no_reason(known: dict[str, Method]) -> None:
    known["made"] = made(torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        explained(methods=["made"])


def test_the_occlusion_map_is_the_pages_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfcuda.methods.occlusion.occlusion_map", lambda *_, **__: pytest.fail("computed twice"))
    e = explained(methods=["occlusion"], fill="blur")
    (one,) = e.methods
    assert one.values is not None and torch.equal(one.values, e.occlusion.heatmap(of="log_odds"))
    assert one.seconds == e.seconds
    html, _ = page_of(e, tmp_path)
    assert "Here a square of the blurred picture, 16\u00a0×\u00a016 pixels, moved by 8." in html


def test_a_stride_beyond_the_window_leaves_pixels_out(tmp_path: Path) -> None:
    html, numbers = page_of(explained(methods=["occlusion"], window=8, stride=16), tmp_path)
    assert re.search(r"grey: [\d,]+ pixels without a number", html) and numbers["methods"][0]["without_number"] > 0


def test_every_method_for_every_picture_of_two_networks(tmp_path: Path) -> None:
    one, other = subject(), subject(network(5), tuple("abcde"))
    made = [
        explained(f"{i}.png", i, of=of, methods=list(zfcuda.method_names.homes()), target=target)
        for i, (of, target) in enumerate([(one, None), (one, "cat"), (other, "e")])
    ]
    with Folder(tmp_path) as folder:
        html = folder.write(made).read_text()
    assert html.count("What several methods say") == 3
    for picture in json.loads((tmp_path / "numbers.json").read_text())["pictures"]:
        assert [each["name"] for each in picture["methods"]] == list(zfcuda.method_names.homes())
        assert not any(each["refusal"] for each in picture["methods"])


def test_the_call_and_scores_of_another_answer(tmp_path: Path) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"scores": self.net(x)}

    pages = [
        zfcuda.explain(
            model, drawing(), out=tmp_path / str(i), preprocess=preprocess, classes=CLASSES, methods="all", **more
        )  # type: ignore[arg-type]
        for i, (model, more) in enumerate([(Named(), {"output": "scores"}), (network(), {})])
    ]
    of, plain = (json.loads((page.parent / "numbers.json").read_text())["pictures"][0]["methods"] for page in pages)
    for one, other in zip(of, plain, strict=True):
        assert one["refusal"] is None and one["largest_magnitude"] == pytest.approx(other["largest_magnitude"], 1e-3)
