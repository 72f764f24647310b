"""The mosaic: each picture once, the assignment the best there is, near ones near; and the sheets beside it."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import zfcuda
from zfcuda.features import places as module
from zfcuda.features.neighbours import neighbours
from zfcuda.features.pixels import pixels
from zfcuda.features.places import places
from zfcuda.features.scatter import scatter
from zfcuda.render import CATEGORIES, NAN_COLOUR, OTHER_COLOUR

pytest.importorskip("scipy")
pytest.importorskip("sklearn")


def one_colour(index: int, size: tuple[int, int] = (20, 30)) -> Image.Image:
    return Image.new("RGB", size, (index % 256, index // 256, 77))


def number(sheet: Image.Image, row: int, column: int, side: int) -> int:
    """Which picture of one_colour lies in a cell; -1 for none."""
    red, green, blue = sheet.getpixel((column * side + side // 2, row * side + side // 2))  # type: ignore[misc]
    return red + 256 * green if blue == 77 else -1


@pytest.mark.parametrize(("count", "columns"), [(1, 32), (5, 32), (32, 32), (33, 32), (100, 7), (12, 1), (700, 20)])
def test_each_picture_once(count: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for whole, part in ((2000, 500), (40, 10)):
        monkeypatch.setattr(module, "_WHOLE", whole)
        monkeypatch.setattr(module, "_PART", part)
        points = torch.randn(count, 2)
        cells = places(points, columns=columns)
        wide = min(columns, count)
        assert sorted(cells) == [divmod(i, wide) for i in range(count)]
    sheet = zfcuda.mosaic([one_colour(i) for i in range(count)], points, columns=columns)
    assert sheet.size == (64 * wide, 64 * math.ceil(count / columns)) and sheet.mode == "RGB"
    assert [number(sheet, *cell, 64) for cell in cells] == list(range(count))
    free = set(itertools.product(range(math.ceil(count / columns)), range(wide))) - set(cells)
    assert all(sheet.getpixel((64 * x + 9, 64 * y + 9)) == (255, 255, 255) for y, x in free)


def test_the_assignment_is_the_best_of_all() -> None:
    points = torch.rand(6, 2)
    share = (points - points.amin(0)) / (points.amax(0) - points.amin(0)) * torch.tensor([2.0, 1.0])

    def cost(cells: Any) -> float:
        return float(sum((share[i] - torch.tensor([c, r])).square().sum() for i, (r, c) in enumerate(cells)))

    best = min(cost(cells) for cells in itertools.permutations([divmod(i, 3) for i in range(6)]))
    assert cost(places(points, columns=3)) == pytest.approx(best)


def test_points_on_a_grid_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    order = torch.randperm(60)
    cells = [divmod(i, 10) for i in order.tolist()]
    points = torch.tensor([(x, y) for y, x in cells]) * 3.5 - 100
    assert places(points, columns=10) == cells
    monkeypatch.setattr(module, "_WHOLE", 20)
    monkeypatch.setattr(module, "_PART", 8)
    assert places(points, columns=10) == cells


@pytest.mark.parametrize("most", [2000, 25])
def test_near_ones_stay_near(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.manifold import trustworthiness

    monkeypatch.setattr(module, "_WHOLE", most)
    monkeypatch.setattr(module, "_PART", most)
    points = 0.2 * torch.randn(300, 2) + torch.randint(0, 4, (300, 2))
    cells = np.array(places(points, columns=20))
    chance = trustworthiness(points.numpy(), cells[np.random.default_rng(0).permutation(300)])
    assert chance < 0.6 and trustworthiness(points.numpy(), cells) > 0.93


def test_points_in_one_place_or_on_a_line() -> None:
    assert sorted(places(torch.zeros(10, 2), columns=4)) == [divmod(i, 4) for i in range(10)]
    on_a_line = torch.stack([torch.arange(6.0), torch.zeros(6)], 1)
    assert places(on_a_line, columns=6) == [(0, i) for i in range(6)]
    assert places(on_a_line.flip(1), columns=1) == [(i, 0) for i in range(6)]


def test_cells_become_smaller_and_pictures_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    from zfcuda.features import mosaic as sheets

    monkeypatch.setattr(sheets, "_AREA", 40 * 20 * 20)
    assert zfcuda.mosaic([one_colour(i) for i in range(40)], torch.rand(40, 2), columns=8).size == (160, 100)
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste(one_colour(1, (100, 100)), (100, 0))
    inner = zfcuda.mosaic([wide], torch.zeros(1, 2)).crop((2, 0, 18, 20))
    assert colours_of(inner) == {(1, 0, 77)}


def test_pictures_lie_in_anything(tmp_path: Path) -> None:
    for i in range(3):
        one_colour(i).save(tmp_path / f"{i}.png")
    points = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    sheet = zfcuda.mosaic(tmp_path, points)
    assert [number(sheet, 0, i, 64) for i in range(3)] == [0, 2, 1]
    assert zfcuda.mosaic(torch.rand(3, 3, 8, 8), points, columns=2).size == (128, 128)
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=r"mosaic: 1 of 3 pictures cannot be read and are grey: .*1.png: "):
        assert zfcuda.mosaic(tmp_path, points).getpixel((150, 30)) == NAN_COLOUR


class Broken(list[Image.Image]):
    """A data set whose disk fails."""

    def __getitem__(self, index: Any) -> Any:
        if index == 1:
            raise OSError("sector 1 is gone")
        return super().__getitem__(index)


def test_an_item_that_a_data_set_cannot_give_is_grey() -> None:
    every = Broken([Image.new("RGB", (9, 9))] * 3)
    with pytest.warns(
        UserWarning, match="mosaic: 1 of 3 pictures cannot be read and are grey: OSError: sector 1 is gone"
    ):
        zfcuda.mosaic(torch.utils.data.Subset(every, range(3)), torch.zeros(3, 2))


@pytest.mark.parametrize(
    ("points", "columns", "error", "said"),
    [
        (torch.zeros(3, 2), 32, ValueError, r"points: expected 2, one for each picture, got 3"),
        (torch.zeros(2, 3), 32, ValueError, r"points: expected \[N,2\], x and y of each, got shape \[2, 3\]"),
        (torch.zeros(2, 2), 0, ValueError, r"columns: expected at least 1, got 0"),
        (torch.zeros(2, 2), 2.5, TypeError, r"columns: expected an integer, got 2.5"),
        (torch.full((2, 2), math.nan), 32, ValueError, r"points: expected finite values, .* in rows 0, 1"),
        ([[0, 0], [1, 1]], 32, TypeError, r"points: expected a Tensor \[N,2\], .* got list"),
    ],
)
def test_bad_input_is_named(points: Any, columns: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        zfcuda.mosaic([one_colour(0), one_colour(1)], points, columns=columns)


def test_no_picture_at_all(tmp_path: Path) -> None:
    for pictures in ([], tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match="pictures: "):
            zfcuda.mosaic(pictures, torch.zeros(1, 2))


def test_pixel_space() -> None:
    values = pixels([one_colour(255), Image.new("L", (9, 9), 51)], size=4)
    assert values.shape == (2, 48) and values.dtype == torch.float32
    torch.testing.assert_close(values[1], torch.full((48,), 0.2))
    torch.testing.assert_close(values[0].view(3, 16)[:, 0], torch.tensor([1.0, 0.0, 77 / 255]))
    assert zfcuda.nearest(values, pixels([one_colour(250)], size=4), 1)[0].item() == 0
    cut = pixels([one_colour(3, (60, 30))], size=2, preprocess=zfcuda.Preprocess(size=16, short_side=16))
    assert cut.shape == (1, 12)
    with pytest.raises(ValueError, match=r"size: expected at least 1, got 0"):
        pixels([one_colour(0)], size=0)


def colours_of(sheet: Image.Image) -> set[Any]:
    return {colour for _, colour in sheet.getcolors(1 << 20)}  # type: ignore[union-attr]


def test_scatter() -> None:
    points: Tensor = torch.rand(40, 2)
    plain = scatter(points)
    assert plain.size == (900, 900) and CATEGORIES[0] in colours_of(plain)
    labels = [i % 3 for i in range(39)] + [-1]
    named = scatter(points, labels, ["cat", "dog"])
    assert named.width > 900 and {*CATEGORIES[:3], OTHER_COLOUR} <= colours_of(named)
    assert scatter(points, list(range(40))).height == 900  # more classes than colours
    for few in (torch.zeros(1, 2), torch.zeros(5, 2), torch.tensor([[1e30, 0.0], [0.0, 0.0]])):
        assert CATEGORIES[0] in colours_of(scatter(few))
    # x to the right, y downwards
    corner = scatter(torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]]), [0, 0, 1]).crop((450, 0, 900, 450))
    assert CATEGORIES[1] in colours_of(corner) and CATEGORIES[0] not in colours_of(corner)


def test_neighbours_stand_in_rows() -> None:
    row = [(one_colour(i), f"{i} with a name that is too long to stand below it") for i in range(4)]
    sheet = neighbours([((one_colour(9), "query"), {"codes": row, "pixels": row[:2]})] * 2)
    drawn = colours_of(sheet)
    assert {(i, 0, 77) for i in (0, 1, 2, 3, 9)} <= drawn
    assert sheet.height > 4 * 112 and sheet.width > 5 * 112
