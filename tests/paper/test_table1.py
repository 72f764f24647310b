"""Table 1: how alike features change under the same part, against closed forms and planted correspondence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda.data import Parts, Preprocess
from zfcuda.paper.cache import Cache
from zfcuda.paper.fig8 import fig8
from zfcuda.paper.figure import NotApplicableError
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.masking.drawing import curves
from zfcuda.paper.masking.exchange import exchange_test, mean_over_pairs
from zfcuda.paper.masking.groups import groups_of
from zfcuda.paper.masking.signs import agreement, signs
from zfcuda.paper.masking.squares import ANYWHERE, ON_OBJECT, SHARED, hidden
from zfcuda.paper.points import Landmarks
from zfcuda.paper.result import Result
from zfcuda.paper.table1 import table1


@pytest.fixture(autouse=True)
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matplotlib takes seconds to import; the test that looks at plots undoes it."""
    monkeypatch.setattr("zfcuda.paper.plots.can_plot", lambda: False)


def test_signs_of_changes() -> None:
    features = torch.tensor([1.0, 2.0, 3.0, 0.0])
    masked = torch.tensor([[0.0, 2.0, 4.0, 0.0], [1.0 + 1e-7, 2.0, 3.0, -5.0]])
    assert signs(features, masked).tolist() == [[1, 0, -1, 0], [0, 0, 0, 1]]  # rounding is no change


def test_agreement_against_counting() -> None:
    vectors = torch.from_numpy(np.random.default_rng(0).integers(-1, 2, (6, 50))).to(torch.int8)
    vectors[1] = vectors[0]
    found = agreement(vectors)
    for i in range(6):
        for j in range(6):
            a, b = vectors[i].tolist(), vectors[j].tolist()
            differ = sum(x != y for x, y in zip(a, b, strict=True)) / 50
            chance = sum(a.count(value) * b.count(value) for value in (-1, 0, 1)) / 2500
            both = [(x, y) for x, y in zip(a, b, strict=True) if x and y]
            assert found.distance[i, j] == pytest.approx(differ)
            assert found.kappa[i, j] == pytest.approx((1 - differ - chance) / (1 - chance), abs=1e-5)
            assert found.opposite[i, j] == pytest.approx(sum(x != y for x, y in both) / len(both))
    assert found.distance[0, 1] == 0 and found.kappa[0, 1] == pytest.approx(1)


def test_agreement_of_units_that_rest() -> None:
    """The paper's distance takes it for agreement, kappa and the share of opposite signs say nothing of it."""
    found = agreement(torch.zeros(2, 9, dtype=torch.int8))
    assert found.distance[0, 1] == 0 and found.kappa[0, 1].isnan() and found.opposite[0, 1].isnan()
    assert np.isnan(mean_over_pairs(found.kappa.numpy()))


def distances(seed: int, first: float) -> np.ndarray:
    """[5,4,5,4] at random; those of the first candidates are shifted."""
    dice = np.random.default_rng(seed)
    found: np.ndarray = dice.random((5, 4, 5, 4))
    found[:, 0, :, 0] += first
    return found


def test_the_permutation_test_finds_what_is_planted_and_nothing_else() -> None:
    planted = exchange_test([distances(seed, -0.8) for seed in range(4)], draws=499)
    assert planted == pytest.approx(1 / 500)
    assert exchange_test([distances(seed, 0.8) for seed in range(4)], draws=499) == pytest.approx(1)
    nothing = [exchange_test([distances(seed, 0.0)], draws=199, seed=seed) for seed in range(40)]
    assert 0.35 < np.mean(nothing) < 0.65 and np.mean(np.array(nothing) <= 0.1) < 0.3
    with pytest.raises(ValueError, match="groups: expected at least one, each of two pictures"):
        exchange_test([distances(0, 0.0)[:1, :, :1]])


def test_a_square_at_the_border_is_cut_off() -> None:
    masked = hidden(torch.ones(1, 6, 6), (0.0, 5.0), 3)
    assert masked.sum() == 32 and masked[0, :2, 4:].sum() == 0
    assert hidden(torch.ones(1, 6, 6), (2.0, 2.0), 3, 7.0)[0, 1:4, 1:4].mean() == 7
    assert torch.equal(hidden(torch.ones(1, 6, 6), (-9.0, 2.0), 3), torch.ones(1, 6, 6))


class Planted(nn.Module):
    """Rectified pixels, and how much of them each of four columns has."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.pixels.weight)
        self.relu = nn.ReLU()
        self.columns = nn.AdaptiveAvgPool2d((1, 4))
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.columns(self.relu(self.pixels(images))).flatten(1))
        return out


def planted_pictures(count: int) -> tuple[Tensor, dict[str, dict[str, tuple[float, float]]]]:
    """Noise, with the same bright patch at the same place, and a point of noise."""
    images = torch.randn(count, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    images[:, :, 6:11, 6:11] = torch.rand(5, 5, generator=torch.Generator().manual_seed(1)) + 1
    dice = np.random.default_rng(0)
    return images, {
        f"image {index}": {"patch": (8, 8), "noise": (float(dice.integers(14, 22)), float(dice.integers(2, 22)))}
        for index in range(count)
    }


def row_of(result: Result, layer: str, masked: str) -> dict[str, float]:
    return next(dict(row) for row in result.rows if row["layer"] == layer and row["masked"] == masked)


def test_planted_correspondence_is_found(tmp_path: Path) -> None:
    images, points = planted_pictures(6)
    result = table1(
        Planted(), images, points=points, layers=["relu", "head"], group=6, groups=1, mask=5 / 24, cache=Cache(tmp_path)
    )
    patch, noise = row_of(result, "relu", "patch"), row_of(result, "relu", "noise")
    assert patch["distance"] == 0 and patch["kappa"] == pytest.approx(1) and patch["opposite"] == 0
    assert patch["units that change"] == pytest.approx(25 / 576)
    assert patch["kappa p"] < 0.01 and noise["kappa p"] > 0.05
    assert noise["kappa"] < 0.3 and {row["masked"] for row in result.rows} == {"patch", "noise", ANYWHERE, SHARED}
    assert result.tensors["relu:patch"].tolist() == [0]
    assert all(claim.holds is None for claim in result.claims)  # one group decides nothing
    assert "The paper's control is random parts of the object" in result.notes[-1]


def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    images, points = planted_pictures(4)
    model = Planted()
    first = table1(model, images, points=points, layers=["relu"], group=4, groups=1, cache=Cache(tmp_path))
    seen: list[int] = []
    model.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    again = table1(model, images, points=points, layers=["relu"], group=4, groups=1, cache=Cache(tmp_path))
    assert not seen and again.rows == first.rows
    table1(model, images, points=points, layers=["relu"], group=4, groups=1, seed=1, cache=Cache(tmp_path))
    assert seen


def small(classes: int = 12) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU(), nn.Flatten()),
        *(nn.LazyLinear(10), nn.ReLU(), nn.Linear(10, classes)),
    ).eval()


def test_on_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()
    model(torch.zeros(1, 3, 48, 48))
    model.train()
    parts = ["left foot", "right foot", "defining part"]
    given = (Parts(1_000_000, 64), 36)
    result = table1(model, given, parts=parts, group=2, groups=8, turns=2, preprocess=Preprocess(48, 48))
    assert model.training and list(result.pictures) == [""]
    assert {row["layer"] for row in result.rows} == {"3", "3, mean over places", "6"}
    assert {row["masked"] for row in result.rows} == {*parts, ANYWHERE, ON_OBJECT, SHARED}
    for row in result.rows:
        low, high = row["distance, 95 %"]
        assert 0 <= low <= row["distance"] <= high <= 1 and row["spread"] >= 0
        assert (row["distance p"] is None) == (row["masked"] not in parts)
    assert len(result.claims) == 7 and all(len(each) == 8 for each in result.tensors.values())
    monkeypatch.undo()
    pytest.importorskip("matplotlib")
    assert curves(result.rows, parts) is not None


def test_what_does_not_fit() -> None:
    images, points = planted_pictures(3)
    for name, value, said in (("group", 1, "at least 2"), ("groups", 0, "at least 1"), ("mask", 0.0, "above 0")):
        with pytest.raises(ValueError, match=f"{name}: expected .*{said}"):
            table1(Planted(), images, points=points, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(NotApplicableError, match="no known points"):
        table1(Planted(), images, layers=["relu"])
    with pytest.raises(NotApplicableError, match="no two pictures of a class that have patch, tail"):
        table1(Planted(), images, points=points, parts=["patch", "tail"], layers=["relu"])


def test_figure_8_shows_the_squares_of_table_1() -> None:
    parts = ["left foot", "right foot"]
    model = small()
    model(torch.zeros(1, 3, 48, 48))
    gallery = Gallery(model, Parts(1_000_000, 64), preprocess=Preprocess(48, 48), count=36)
    result = fig8(gallery.model, gallery, parts=parts, group=2, turns=2, mask=0.25)
    images = result.tensors["images"]
    assert images.shape == (2, 5, 3, 48, 48) and len(result.rows) == 2 * 4
    assert [row["masked"] for row in result.rows[:4]] == [*parts, ON_OBJECT, ON_OBJECT]
    for row, masked, whole in zip(
        result.rows, images[:, 1:].flatten(0, 1), images[:, :1].expand(2, 4, 3, 48, 48).flatten(0, 1), strict=True
    ):
        changed = (masked != whole).any(0).nonzero()
        top, left = max(row["top"], 0), max(row["left"], 0)
        assert row["side"] == 12 and changed.amin(0).tolist() == [top, left] and (masked[:, top, left] == 0).all()
    _, chosen = groups_of(gallery, Landmarks(gallery), parts, 2, 8, 0, False)
    groups = [{gallery.pictures.names[index] for index in each} for each in chosen]
    assert {row["picture"] for row in result.rows} in groups
    assert result.pictures[""].width > 3 * result.pictures[""].height / 2
    with pytest.raises(ValueError, match="turns: expected at least 1"):
        fig8(gallery.model, gallery, turns=0)
    with pytest.raises(NotApplicableError, match="no known points"):
        fig8(model, [Image.new("RGB", (64, 64))] * 3, preprocess=Preprocess(48, 48))
