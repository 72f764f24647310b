"""The maps of many pictures are those of one call each, and what they share does not grow with them."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from tests.report.small import CLASSES, SIDE, drawing, network, preprocess
from zfcuda.occlusion import OcclusionMapper, occlusion_map
from zfcuda.report import OcclusionMaps, occlusion_maps

WINDOWS: dict[str, Any] = {"window": 16, "stride": 8, "method": "incremental"}


class Counted(OcclusionMapper):
    """Tells of those that there are."""

    made = 0
    there: ClassVar[weakref.WeakSet[Counted]] = weakref.WeakSet()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        Counted.made += 1
        Counted.there.add(self)


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(occlusion_maps, "OcclusionMapper", Counted)
    Counted.made, Counted.there = 0, weakref.WeakSet()
    yield
    Counted.there.clear()


def image(seed: int = 0, high: int = SIDE, wide: int = SIDE) -> Tensor:
    return torch.randn(1, 3, high, wide, generator=torch.Generator().manual_seed(seed))


def same(maps: OcclusionMaps, model: nn.Module, image: Tensor, **how: Any) -> None:
    """The map is that of a call of its own to the last digit."""
    assert maps(model, image, **how) == occlusion_map(model, image, **how)


COVERS: dict[str, Any] = {
    "number": 0.25,
    "colour": [0.5, -1.0, 2.0],
    "mean": "mean",
    "blur": "blur",
    "noise": "noise",
    "tensor": image(9)[0],
}


@pytest.mark.parametrize("cover", COVERS)
def test_each_picture_has_its_own_target_unit_and_cover(cover: str) -> None:
    maps, model = OcclusionMaps(), network()
    for seed in range(4):
        asked = {"target": seed % 3, "layer": "4", "unit": 5 - seed}
        same(maps, model, image(seed), fill=COVERS[cover], **asked, **WINDOWS)
    assert Counted.made == 1


def test_what_differs_has_a_mapper_of_its_own() -> None:
    model, other = network(), network(5)
    kinds: list[tuple[nn.Module, Tensor, dict[str, Any]]] = [
        (model, image(), {}),
        (other, image(), {}),
        (model, image(1, 56), {}),
        (model, image().permute(0, 1, 3, 2).contiguous(memory_format=torch.channels_last), {}),
        (model, image(), {"window": 20}),
        (model, image(), {"stride": 10}),
        (model, image(), {"fill": 1.0}),
        (model, image(), {"fill": [1.0, 1.0, 1.0]}),
        (model, image(), {"fill": "mean"}),
        (model, image(), {"fill": image(1)[0]}),
        (model, image(), {"fill": image(2)[0]}),
        (model, image(), {"layer": "1"}),
        (model, image(), {"layer": "4"}),
        (model, image(), {"output": torch.sigmoid}),
        (model, image(), {"output": torch.tanh}),
    ]
    maps = OcclusionMaps()
    for number, (net, picture, more) in enumerate(kinds):
        for _ in range(2):
            same(maps, net, picture, **WINDOWS | more)
        assert Counted.made == number + 1
    answers = type("Answers", (nn.Module,), {"forward": lambda self, x: {"a": network()(x), "b": network()(x) + 1}})
    for key in ("a", "b"):
        same(maps, answers(), image(), output=key, window=16, stride=16, method="batched")


def test_pictures_that_lie_and_that_stand_take_turns_and_no_more_is_held() -> None:
    maps, model = OcclusionMaps(), network()
    for seed in range(6):
        same(maps, model, image(seed, 48, 64) if seed % 2 else image(seed, 64, 48), **WINDOWS)
    assert Counted.made == 2
    for seed in range(4):
        same(maps, model, image(seed, 40 + seed), **WINDOWS)
        gc.collect()
        assert len(Counted.there) == 2
    assert Counted.made == 6
    same(maps, model, image(7, 43), **WINDOWS)
    assert Counted.made == 6  # the last kinds are the ones that are held


def test_brute_force_is_not_held() -> None:
    maps, model = OcclusionMaps(), network()
    for seed in range(2):
        same(maps, model, image(seed), window=16, stride=16, method="batched")
    gc.collect()
    assert Counted.made == 2 and not Counted.there


def test_an_error_in_one_picture_is_of_that_picture_alone() -> None:
    maps, model = OcclusionMaps(), network()
    same(maps, model, image(), **WINDOWS)
    with pytest.raises(ValueError, match="NaN or infinity"):
        maps(model, image() * torch.nan, **WINDOWS)
    with pytest.raises(ValueError, match="target: "):
        maps(model, image(), target=7, **WINDOWS)
    same(maps, model, image(1), **WINDOWS)
    same(maps, model, image(2), **WINDOWS)


def test_the_memory_of_the_others_is_let_go_where_there_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, model = OcclusionMaps(), network()
    same(maps, model, image(), **WINDOWS)

    def short(*arguments: Any, **options: Any) -> OcclusionMapper:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(occlusion_maps, "OcclusionMapper", short)
    same(maps, model, image(1), fill="blur", **WINDOWS)
    gc.collect()
    assert not Counted.there
    with pytest.raises(torch.OutOfMemoryError):  # nothing is held that could be let go
        maps(model, image(1), fill="blur", **WINDOWS)


def test_a_model_that_learns_on() -> None:
    maps, model = OcclusionMaps(), network()
    same(maps, model, image(), **WINDOWS)
    with torch.no_grad():
        model[3].weight.mul_(-1)  # type: ignore[operator]
    same(maps, model, image(), **WINDOWS)
    model[4] = nn.Tanh()
    same(maps, model, image(), **WINDOWS)
    assert Counted.made == 1


def plain(picture: Image.Image) -> Tensor:
    """A picture as it is."""
    return preprocess(picture)[:, :, : picture.height, : picture.width]


def test_a_page_of_many_says_what_a_page_of_each_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, given = network(), [drawing(seed) for seed in range(4)]
    given[1:3] = [picture.resize((40, 44)) for picture in given[1:3]]
    how: dict[str, Any] = {"preprocess": plain, "classes": CLASSES, "window": 16, "stride": 4, "top": 1}

    def told(pictures: list[Image.Image], out: Path) -> list[dict[str, Any]]:
        page = zfcuda.explain(model, pictures, out=out, **how)
        found: list[dict[str, Any]] = json.loads((page.parent / "numbers.json").read_text())["pictures"]
        for number, one in enumerate(found):
            del one["occlusion"]["seconds"]
            one["name"] = number
        return found

    real = occlusion_maps.OcclusionMaps.__call__
    monkeypatch.setattr(
        occlusion_maps.OcclusionMaps, "__call__", lambda self, *a, **k: real(self, *a, **k, method="incremental")
    )
    together = told(given, tmp_path / "together")
    assert Counted.made == 2  # one of each size
    for number, picture in enumerate(given):
        (alone,) = told([picture], tmp_path / str(number))
        assert together[number] == alone | {"name": number}


def test_a_folder_from_python(tmp_path: Path) -> None:
    (tmp_path / "photos/more").mkdir(parents=True)
    for name in ("b.png", "a.png", "more/c.png"):
        drawing().save(tmp_path / "photos" / name)
    (tmp_path / "photos/notes.txt").write_text("no picture")
    how: dict[str, Any] = {"preprocess": preprocess, "window": 24, "stride": 24, "top": 1}
    page = zfcuda.explain(network(), tmp_path / "photos", out=tmp_path / "page", **how)
    names = [f"<h2>{name}</h2>" for name in ("a.png", "b.png", "c.png")]
    text = page.read_text("utf-8")
    assert [text.index(name) for name in names] == sorted(text.index(name) for name in names)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="no picture in this folder"):
        zfcuda.explain(network(), str(tmp_path / "none"), out=tmp_path / "other", **how)
