"""Figure 2: crops hold what the deconvnet gives, measures their closed forms, and claims what the numbers say."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import zfcuda
from zfcuda.data import Parts
from zfcuda.paper import fig2
from zfcuda.paper.cache import Cache
from zfcuda.paper.excitation.claims import of_classes, of_likeness, of_truth
from zfcuda.paper.excitation.crops import TRUTH, Crops, crops
from zfcuda.paper.excitation.likeness import edges, pixels
from zfcuda.paper.excitation.purity import chance, purity
from zfcuda.paper.fig2 import FIGURE
from zfcuda.paper.figure import NotApplicableError, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.report.explanation import Form
from zfcuda.report.subject import subject_of

SIDE = 40


def network(rectifier: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        rectifier(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 5, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 12),
    ).eval()
    nn.init.constant_(model[3].bias, 1.0)  # so that all units fire
    return model


def images(count: int = 14) -> Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))


def gallery(count: int = 14) -> Gallery:
    """A few of Parts, as a network of the tests sees them."""
    model = network()
    model.preprocess = zfcuda.Preprocess(size=SIDE, short_side=SIDE, mean=(0.5,) * 3, std=(0.5,) * 3)  # type: ignore[assignment]
    return Gallery(model, (Parts(seed=3, size=SIDE), count))


# ---------------------------------------------------------------- measures


def test_pixels_are_correlated_as_numpy_does() -> None:
    values = torch.rand(3, 4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    within, between = pixels(values, torch.ones(3, 4, 5, 6, dtype=torch.bool))
    for unit in range(3):
        every = np.corrcoef(values[unit].flatten(1).double().numpy())
        assert within[unit] == pytest.approx(every[np.triu_indices(4, 1)].mean())
        both = np.corrcoef(torch.cat([values[unit], values[(unit + 1) % 3]]).flatten(1).double().numpy())
        assert between[unit] == pytest.approx(both[:4, 4:].mean())


def test_only_pixels_within_both_pictures_count() -> None:
    values = torch.rand(1, 2, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    inside = torch.ones(1, 2, 6, 6, dtype=torch.bool)
    inside[0, 0, :2], inside[0, 1, :, 4:] = False, False
    within, between = pixels(torch.where(inside[:, :, None], values, 7.0), inside)
    a, b = (values[0, i, :, 2:, :4].flatten().double().numpy() for i in (0, 1))
    assert within[0] == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert between.isnan().all()  # there is no other unit
    inside[0, 0, :5] = False
    assert pixels(values, inside)[0].isnan().all()  # a sixth of the field is too little


def test_what_is_the_same_everywhere_is_like_nothing() -> None:
    values = torch.full((1, 3, 3, 9, 9), 0.3)
    inside = torch.ones(1, 3, 9, 9, dtype=torch.bool)
    assert pixels(values, inside)[0].isnan().all() and edges(values, inside)[0].isnan().all()


def test_edges_are_the_same_where_light_and_dark_change_places() -> None:
    one = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(2))
    both = torch.stack([one, 1 - one])[None]
    inside = torch.ones(1, 2, 20, 20, dtype=torch.bool)
    assert pixels(both, inside)[0].item() == pytest.approx(-1)
    assert edges(both, inside)[0].item() == pytest.approx(1)


def test_edges_of_a_field_of_few_pixels_are_not_measured() -> None:
    assert edges(torch.rand(1, 2, 3, 2, 2), torch.ones(1, 2, 2, 2, dtype=torch.bool))[0].isnan().all()


def test_purity() -> None:
    most, entropy = purity(np.array([[4, 4, 4, 4], [0, 0, 4, 4], [0, 1, 4, 5]]))
    assert most.tolist() == [1, 0.5, 0.25]
    assert entropy.tolist() == [0, 1, 2]


def test_chance_is_that_of_all_draws() -> None:
    assert chance([3] * 20, 9) == (1, 0)
    expected = np.mean([max(sum(each), 3 - sum(each)) / 3 for each in product((0, 1), repeat=3)])
    assert chance([0, 1] * 5000, 3)[0] == pytest.approx(expected, abs=0.01)
    assert chance([0, 1, 2], 9) == (pytest.approx(1 / 3), pytest.approx(np.log2(3)))  # no more than there are


# ---------------------------------------------------------------- crops


def test_projections_are_those_of_the_deconvnet() -> None:
    there = Gallery(network(), images())
    found = Cache().patches(there, ["3"], top=4)["3"]
    cut = crops(there, subject_of(there.model), found, [1, 4])
    assert cut.form is Form.DECONVNET and cut.refusal == "" and cut.units.tolist() == [1, 4]
    for row, unit in enumerate((1, 4)):
        whole = []
        for place in range(4):
            index, at = int(found.indices[unit, place]), tuple(found.positions[unit, place].tolist())
            top, left, bottom, right = found.boxes[unit, place].tolist()
            image = images()[index]
            signal = zfcuda.project(there.model, image, "3", unit=unit, position=at)[0]
            assert cut.indices[row, place] == index and bottom - top == right - left == 8 == cut.field[0]
            rows, columns = slice(max(0, top), min(SIDE, bottom)), slice(max(0, left), min(SIDE, right))
            part = torch.zeros(3, 8, 8)
            shift = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
            part[:, shift[0], shift[1]] = signal[:, rows, columns]
            whole.append(part)
            inside = torch.zeros(8, 8, dtype=torch.bool)
            inside[shift] = True
            assert torch.equal(cut.inside[row, place], inside)
        expected = torch.stack(whole)
        assert torch.allclose(cut.projections[row].float(), expected / expected.abs().max(), atol=1e-3)
    back = Crops.of(cut.tensors())
    for a, b in zip(cut.tensors().values(), back.tensors().values(), strict=True):
        assert a.dtype == b.dtype and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
    assert back.form is cut.form and back.field == cut.field


def test_what_is_known_of_parts() -> None:
    there = gallery()
    found = Cache().patches(there, ["3"], top=3)["3"]
    cut = crops(there, subject_of(there.model), found, [0, 1, 2, 3, 4])
    assert cut.truth.shape == (5, 3, len(TRUTH))
    for row, place in product(range(5), range(3)):
        drawn = Parts(seed=3, size=SIDE)[int(found.indices[row, place])]
        top, left, bottom, right = found.boxes[row, place].tolist()
        y, x = ((a + b) // 2 for a, b in ((top, bottom), (left, right)))
        truth = dict(zip(TRUTH, cut.truth[row, place].tolist(), strict=True))
        assert truth["centre on the part"] == drawn.part_mask[y, x]
        assert truth["centre on the object"] == drawn.object_mask[y, x]
        assert truth["part"] == pytest.approx(drawn.part_mask.mean())
        assert truth["part of the field"] == pytest.approx(
            drawn.part_mask[max(0, top) : bottom, max(0, left) : right].mean()
        )
    share = cut.truth[..., TRUTH.index("projection on the part")]
    assert bool(((share >= 0) & (share <= 1) | share.isnan()).all())


def test_a_layer_that_cannot_be_projected_has_its_patches() -> None:
    there = Gallery(network(nn.Sigmoid), images())
    result = fig2(there.model, there, top=3)
    first, second = result.rows
    assert first["projected by"] == "filter" and second["projected by"].startswith("not at all: ")
    assert second["projections"] is None and second["patches"] is not None
    assert all(claim.holds is None for claim in result.claims[:3])
    assert set(result.pictures) == {"", "0", "3"} and any("is not projected" in note for note in result.notes)


# ---------------------------------------------------------------- the whole


def test_pictures_without_classes() -> None:
    result = fig2(network(), images(), units=2, measured=4, top=4)
    assert len(result.tables) == 2 and all(title.startswith("how alike") for title in result.tables)
    assert [row["layer"] for row in result.rows] == ["0", "3"] and result.rows[1]["units"] == 4
    assert result.rows[0]["projected by"] == "filter" and result.rows[0]["projections"] is None
    assert result.tensors["3.projections"].shape == (2, 4, 3, 8, 8)
    assert result.tensors["3.values"].shape == (5, 4)
    assert result.free == {""}  # the others hold patches of the pictures
    assert set(result.pictures) == {"", "0", "3"}


def test_drawn_pictures_and_what_was_cut_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = gallery()
    first = fig2(there.model, there, top=3, cache=Cache(tmp_path))
    assert len(first.tables) == 4 and len(first.claims) == 6
    module = sys.modules["zfcuda.paper.fig2"]
    monkeypatch.setattr(module, "crops", lambda *_: pytest.fail("it was there already"))
    again = fig2(there.model, there, top=3, cache=Cache(tmp_path))
    assert again.tables == first.tables
    assert all(first.pictures[name].tobytes() == again.pictures[name].tobytes() for name in first.pictures)


def test_it_draws_less_where_there_is_less() -> None:
    result = fig2(network(), images(2), units=40, top=9)  # two pictures, five units
    assert result.rows[1]["units"] == 5
    assert result.tensors["3.patches"].shape[:2] == (5, 9) and not result.tensors["3.patches"][:, 2:].any()


@pytest.mark.parametrize(("name", "value", "least"), [("units", 0, 1), ("measured", 0, 1), ("top", 1, 2)])
def test_too_few_are_refused(name: str, value: int, least: int) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected at least {least}, got {value}"):
        fig2(network(), images(), **{name: value})  # type: ignore[arg-type]


def test_a_network_without_convolutions() -> None:
    with pytest.raises(NotApplicableError, match="no convolution"):
        fig2(nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 4)), images())


# ---------------------------------------------------------------- claims


def row(layer: str, **values: Any) -> dict[str, Any]:
    """A row of all tables, each figure with an interval of 0.1 to both sides."""
    given = {
        "patches": 0.5,
        "projections": 0.5,
        "difference": 0.0,
        "difference beyond two units": 0.0,
        "share of the most frequent class": 0.5,
        "middle on the part": 0.5,
    } | {name.replace("_", " "): value for name, value in values.items()}
    with_ends = {
        f"{name}, 95 %": None if value is None else [value - 0.1, value + 0.1] for name, value in given.items()
    }
    others = {f"{name} of two units": 0.1 for name in ("patches", "projections")}
    return {"layer": layer, "at random": 0.3, "part, at random": 0.05, **given, **with_ends, **others}


@pytest.mark.parametrize(("differences", "holds"), [((0.2, 0.3), True), ((0.2, 0.05), None), ((0.2, -0.2), False)])
def test_patches_vary_more_where_all_layers_say_so(differences: tuple[float, float], holds: bool | None) -> None:
    first, plain = row("a", **{"difference": None, "difference beyond two units": None}), [row("a"), row("b")]
    rows = [first, *(row(name, difference=d) for name, d in zip("bc", differences, strict=True))]
    assert of_likeness(rows, plain)[0].holds is holds
    assert of_likeness(plain, rows)[1].holds is holds
    rows = [
        first,
        *(row(name, **{"difference beyond two units": d}) for name, d in zip("bc", differences, strict=True)),
    ]
    assert of_likeness(plain, rows)[2].holds is holds
    assert [claim.holds for claim in of_likeness([first], [first])] == [None] * 4


@pytest.mark.parametrize(("first", "last", "holds"), [(0.3, 0.7, True), (0.7, 0.3, False), (0.5, 0.6, None)])
def test_claims_of_depth(first: float, last: float, holds: bool | None) -> None:
    def rows(name: str) -> list[dict[str, Any]]:
        return [row("a", **{name: first}), row("b", **{name: 0.5}), row("c", **{name: last})]

    assert of_classes(rows("share of the most frequent class"))[0].holds is holds
    assert of_truth(rows("middle on the part"))[0].holds is holds
    assert of_likeness(rows("patches"), rows("patches"))[-1].holds is (None if holds is None else not holds)
    assert "At random it is 0.30." in of_classes(rows("share of the most frequent class"))[0].found


def test_of_one_layer_nothing_follows() -> None:
    assert of_classes([row("a")])[0].holds is None


def test_the_command_says_what_is_shown() -> None:
    there = Setting(Gallery(network(), images()), "a test", "parts", Cache(), Path("runs"))
    result = FIGURE.run(there.of(FIGURE, {"layers": "3, 4", "units": 1, "measured": 2}))
    assert [row["layer"] for row in result.rows] == ["3", "4"]
    assert result.tensors["4.patches"].shape[:2] == (1, 9) and result.rows[1]["units"] == 2
    assert [row["layer"] for row in FIGURE.run(there.of(FIGURE, {})).rows] == ["0", "3"]
