"""Points matched by the nearest feature, against closed forms and pictures whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zfcuda.data import Parts, Preprocess
from zfcuda.network import receptive_field
from zfcuda.paper.cache import Cache
from zfcuda.paper.correspondence import correspondence
from zfcuda.paper.figure import NotApplicableError
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.matching.columns import centres, grid, nearest, of_map, of_pixels
from zfcuda.paper.matching.measure import LEARNED, PIXELS, SAME_PLACE, by_chance, in_box
from zfcuda.paper.matching.pairs import OTHER, SAME, Pair, pairs
from zfcuda.paper.points import Landmarks, Marked


@pytest.fixture(autouse=True)
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matplotlib takes seconds to import; the test that looks at plots undoes it."""
    monkeypatch.setattr("zfcuda.paper.plots.can_plot", lambda: False)


def test_the_grid_lies_in_the_middles_of_its_squares() -> None:
    assert grid(4, 6, 2).tolist() == [[y, x] for y in (0.5, 2.5) for x in (0.5, 2.5, 4.5)]
    assert grid(2, 2, 1).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_a_unit_lies_in_the_middle_of_what_it_sees() -> None:
    """Through two strides, a padding and a pooling: the column at a unit's centre is that unit's."""
    model = nn.Sequential(nn.Conv2d(3, 5, 7, stride=2, padding=1), nn.MaxPool2d(3, 2), nn.Conv2d(5, 4, 3)).eval()
    field = receptive_field(model, "2", (3, 64, 80))
    assert field is not None
    image = torch.randn(1, 3, 64, 80)
    values = model(image)[0].detach()
    (top, step), (left, _) = centres(field)
    assert step == 4 and (top, left) == (8, 8)  # of 19 pixels, from -1 on
    places = torch.tensor([[top + 2 * step, left + 3 * step], [top + 2.5 * step, left], [-50.0, -50.0]])
    found = of_map(values, field, places)
    assert torch.allclose(found[0], values[:, 2, 3], atol=1e-5)
    assert torch.allclose(found[1], (values[:, 2, 0] + values[:, 3, 0]) / 2, atol=1e-5)
    assert torch.allclose(found[2], values[:, 0, 0], atol=1e-5)  # beyond the outermost it goes on as there


@pytest.mark.parametrize("side", [5, 9, 27])
def test_pixels_find_where_a_patch_was_cut_from(side: int) -> None:
    torch.manual_seed(0)
    image = torch.randn(3, 60, 60)
    moved = torch.roll(image, (8, -4), (1, 2)) * 3 + 2  # brighter, and with more contrast
    candidates = grid(60, 60, 1)
    query = torch.tensor([[24.0, 32.0]])
    best = nearest(of_pixels(image, side, query), of_pixels(moved, side, candidates))
    assert candidates[best].tolist() == [[32, 28]]


def test_chance_is_the_area_within_reach() -> None:
    images = torch.zeros(2, 3, 100, 100)
    gallery = Gallery(nn.Conv2d(3, 1, 1), images)
    marks = Landmarks(gallery, {f"image {index}": {"a": (50, 50), "b": (0, 0)} for index in range(2)})
    whole = by_chance(Pair(0, 1, SAME, ("a",)), marks, 20.0, on_object=False)
    corner = by_chance(Pair(0, 1, SAME, ("b",)), marks, 20.0, on_object=False)
    assert whole == pytest.approx(math.pi * 400 / 10000, rel=0.02)
    assert corner == pytest.approx(math.pi * 100 / 10000, rel=0.1)
    assert by_chance(Pair(0, 1, SAME, ("a",)), marks, 20.0, on_object=True) is None


def test_a_place_moves_with_the_box() -> None:
    first, second = np.zeros((2, 50, 50), bool)
    first[10:20, 10:30] = True
    second[20:40, 0:40] = True
    found = in_box(np.array([[15.0, 20.0]]), Marked({}, 0, first, (50, 50)), Marked({}, 0, second, (50, 50)))
    assert found is not None and found.tolist() == [[30, 20]]
    assert in_box(np.zeros((1, 2)), Marked({}, 0, None, (50, 50)), Marked({}, 0, second, (50, 50))) is None


class Colours(nn.Module):
    """The colour of each pixel, then the mean of the red of 16 columns."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.colour.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
        self.relu = nn.ReLU()
        self.flat = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.flat(self.relu(self.colour(images)))
        return out


def coloured(count: int) -> tuple[Tensor, dict[str, dict[str, tuple[float, float]]]]:
    """Grey pictures with a red, a green and a blue spot somewhere in each."""
    dice = np.random.default_rng(0)
    images, points = torch.full((count, 3, 40, 40), 0.2), {}
    for index in range(count):
        rows = 4 + 8 * dice.permutation(4)[:3]
        columns = 4 + 8 * dice.permutation(4)[:3]
        for channel, (y, x) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
            images[index, :, y - 3 : y + 4, x - 3 : x + 4] = 0.01
            images[index, channel, y - 3 : y + 4, x - 3 : x + 4] = 1.0
            points.setdefault(f"image {index}", {})["rgb"[channel]] = (float(y), float(x))
    return images, points


def test_points_told_by_their_colour_are_all_found(tmp_path: Path) -> None:
    images, points = coloured(8)
    model = Colours()
    result = correspondence(model, images, points=points, alpha=0.3, step=2, cache=Cache(tmp_path))
    (row,) = result.rows
    assert row["layer"] == "relu" and row["receptive field"] == 1 and row["pairs"] == "any class"
    assert row["learned"] == 1 and row["learned, 95 %"] == [1, 1] and row["median error"] < 5
    guesses = {each["guess"]: each["share"] for each in result.tables["Guesses that look at no features"]}
    assert guesses[SAME_PLACE] < 0.5 and guesses["a random place"] < 0.3
    assert {each["point"]: each["found"] for each in result.tables["Points, by the best layer"]} == dict.fromkeys(
        "rgb", 1
    )
    assert result.tensors[f"any class:{LEARNED}:relu"][-1] == 1 and f"any class:{PIXELS}:relu" in result.tensors
    chance = next(claim for claim in result.claims if "a random place in the picture" in claim.says)
    assert chance.holds is True
    seen: list[int] = []
    model.register_forward_hook(lambda module, inputs, output: seen.append(1))
    again = correspondence(model, images, points=points, layers=["relu"], alpha=0.3, step=2, cache=Cache(tmp_path))
    assert again.rows == result.rows and not seen


def test_a_run_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    images, points = coloured(6)
    model, given = Colours(), {"points": points, "layers": ["relu"], "cache": Cache(tmp_path)}
    first = correspondence(model, images, **given)  # type: ignore[arg-type]
    (file,) = tmp_path.glob("matches-*.jsonl")
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:4]) + '\n{"picture": 3, "fou')
    assert correspondence(model, images, **given).rows == first.rows  # type: ignore[arg-type]
    assert len(file.read_text().splitlines()) == len(lines)


def test_pairs_of_one_class_and_of_two() -> None:
    gallery = Gallery(nn.Conv2d(3, 1, 1), (Parts(1_000_000, 64), 36), preprocess=Preprocess(48, 48))
    marks = Landmarks(gallery)
    found = pairs(gallery, marks, 24, 0)
    labels = gallery.pictures.labels
    assert labels is not None
    for pair in found:
        assert pair.first != pair.second and (labels[pair.first] == labels[pair.second]) == (pair.kind == SAME)
        assert set(pair.names) == marks[pair.first].points.keys() & marks[pair.second].points.keys()
    assert {pair.kind for pair in found} == {SAME, OTHER}
    assert pairs(gallery, marks, 24, 0) == found != pairs(gallery, marks, 24, 1)


def test_on_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 12)),
    ).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    given = (Parts(1_000_000, 64), 24)
    result = correspondence(model, given, count=24, preprocess=Preprocess(48, 48))
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [row["layer"] for row in result.rows] == ["1", "3", "1", "3"]
    assert [row["receptive field"] for row in result.rows[:2]] == [5, 9]
    for row in result.rows:
        for source in ("learned", "weights shuffled", "pixels"):
            low, high = row[f"{source}, 95 %"]
            assert 0 <= low <= row[source] <= high <= 1
    assert set(result.pictures) == {""}
    monkeypatch.undo()
    pytest.importorskip("matplotlib")
    again = correspondence(model, given, count=4, preprocess=Preprocess(48, 48))
    assert set(again.pictures) == {"", "matches"}


def test_what_does_not_fit() -> None:
    images, points = coloured(3)
    for name, value in (("count", 0), ("step", 0), ("alpha", 0.0)):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            correspondence(Colours(), images, points=points, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(NotApplicableError, match="no known points"):
        correspondence(Colours(), images)
    with pytest.raises(NotApplicableError, match="no two pictures"):
        correspondence(Colours(), images, points={"image 0": {"r": (1, 1)}})
    with pytest.raises(
        ValueError, match="layers: expected those with maps whose receptive fields are known, got 'flat'"
    ):
        correspondence(Colours(), images, points=points, layers=["relu", "flat"])
