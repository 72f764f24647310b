"""Figure 5: what the changes do to pictures, and figures of curves whose answer is known."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import zfcuda
from tests.paper import small
from zfcuda.data import Parts
from zfcuda.paper.cache import Cache
from zfcuda.paper.fig5 import fig5
from zfcuda.paper.figure import NotApplicableError
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.invariance import changes as kinds
from zfcuda.paper.invariance.canvas import Canvas, canvas_of, inside_disc, shown_share
from zfcuda.paper.invariance.changes import Change, all_changes, of_kind
from zfcuda.paper.invariance.claims import claims, symmetric
from zfcuda.paper.invariance.curves import Curves, curves_of, harmonics, peak, resampled, stepwise, straightness
from zfcuda.paper.invariance.responses import Responses
from zfcuda.paper.invariance.symmetry import symmetry_of
from zfcuda.paper.invariance.tables import kept, kept_more, smallest
from zfcuda.paper.plots import can_plot

_SIDE = 16


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfcuda.paper.invariance.curves._RESAMPLES", 100)


def _picture(width: int = _SIDE, height: int = _SIDE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8))


def _network(kernel: int = 3) -> nn.Module:
    """Two convolutions and a mean: 16 x 16 -> two classes."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.Conv2d(4, 4, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    model.preprocess = zfcuda.Preprocess(_SIDE, _SIDE, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    model.classes = list(small.CLASSES)
    return model


def _canvas(picture: Image.Image | None = None, model: nn.Module | None = None) -> Canvas:
    return canvas_of(Gallery(model or _network(), [picture or _picture()]), 0, 4)


def _seen(canvas: Canvas, kind: str, amount: float, border: str = "reflect") -> torch.Tensor:
    return canvas.seen([Change(kind, amount, border)])[0]


def test_what_changes_nothing_is_the_image_of_the_network() -> None:
    model = _network()
    canvas = _canvas(model=model)
    none = [change for change in all_changes(_SIDE, "reflect") if change.same and not change.disc]
    assert len(none) == 3
    for image in canvas.changed(none):
        assert torch.equal(image, model.preprocess(_picture())[0])


@pytest.mark.parametrize("border", kinds.BORDERS)
def test_whole_pixels_are_moved_and_not_mixed(border: str) -> None:
    pixels = torch.from_numpy(np.asarray(_picture()).transpose(2, 0, 1).copy()).float()
    canvas = _canvas()
    down = _seen(canvas, kinds.SHIFT, 5, border)
    assert torch.equal(down[:, 5:], pixels[:, :-5])
    comes_in = {
        "reflect": pixels[:, :5].flip(1),
        "mean": canvas.mean[0].expand(-1, 5, _SIDE),
        "edge": pixels[:, :1].expand(-1, 5, -1),
    }
    assert torch.equal(down[:, :5], comes_in[border])
    assert torch.equal(_seen(canvas, kinds.SHIFT, -5, border)[:, :-5], pixels[:, 5:])
    assert torch.equal(_seen(canvas, kinds.FLIP, 0, border), pixels.flip(2))
    assert torch.equal(_seen(canvas, kinds.FLIP, 1, border), pixels.flip(1))
    for quarters in (1, 2, 3):
        assert torch.equal(_seen(canvas, kinds.TURN, 90 * quarters, border), torch.rot90(pixels, quarters, (1, 2)))


def test_nothing_comes_into_a_turned_disc() -> None:
    canvas = _canvas()
    black = replace(canvas, pixels=torch.where(inside_disc(canvas.size), canvas.pixels, 0.0))
    white = replace(canvas, pixels=torch.where(inside_disc(canvas.size), canvas.pixels, 255.0))
    for degrees in (0, 90, 180, 270):
        seen = [_seen(each, kinds.DISC, degrees) for each in (black, white)]
        assert torch.equal(*seen)
        assert (seen[0][:, 0, 0] == canvas.mean[0, :, 0, 0]).all()
    smooth = Image.fromarray(np.tile(np.arange(0, 240, 15, dtype=np.uint8)[:, None, None], (1, _SIDE, 3)))
    turned = _seen(_canvas(smooth), kinds.DISC, 37)
    assert turned[:, 8, 8].mean() == pytest.approx(116, abs=8), "the middle stays where it is"


def test_an_enlarged_picture_shows_its_middle() -> None:
    ramp = Image.fromarray(np.tile(np.arange(0, 240, 15, dtype=np.uint8)[:, None, None], (1, _SIDE, 3)))
    rows = _seen(_canvas(ramp), kinds.SCALE, 1.5)[0, :, 8]
    expected = 15 * ((torch.arange(_SIDE) + 0.5 - 8) / 1.5 + 8 - 0.5)
    assert torch.allclose(rows[1:-1], expected[1:-1], atol=1.0)


def test_what_lies_beyond_the_cut_comes_in_first() -> None:
    model = _network()
    model.preprocess = zfcuda.Preprocess(_SIDE, _SIDE, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    tall = _picture(_SIDE, _SIDE + 6)  # three rows more at each end
    canvas = canvas_of(Gallery(model, [tall]), 0, 4)
    pixels = torch.from_numpy(np.asarray(tall).transpose(2, 0, 1).copy()).float()
    assert (canvas.top, canvas.left) == (3, 0)
    assert torch.equal(_seen(canvas, kinds.SHIFT, 0), pixels[:, 3:-3])
    assert torch.equal(_seen(canvas, kinds.SHIFT, 3), pixels[:, :_SIDE])
    assert canvas.beyond(Change(kinds.SHIFT, 3, "reflect")) == 0
    assert canvas.beyond(Change(kinds.SHIFT, 4, "reflect")) == pytest.approx(1 / _SIDE)


def test_blue_first_and_grey_are_what_the_network_gets() -> None:
    for preprocess in (
        zfcuda.Preprocess(_SIDE, _SIDE, (0.1, 0.4, 0.3), (0.2, 0.3, 0.2), order="bgr"),
        zfcuda.Preprocess(_SIDE, _SIDE, (0.4,), (0.2,)),
    ):
        gallery = Gallery(_network(), [_picture()], preprocess=preprocess)
        canvas = canvas_of(gallery, 0, 4)
        assert torch.equal(canvas.changed([Change(kinds.SHIFT, 0, "mean")]), preprocess(_picture()))
        assert canvas.picture(Change(kinds.FLIP, 0, "mean")).mode == "RGB"


def test_images_that_came_as_tensors_are_changed_as_they_are() -> None:
    images = torch.randn(3, 3, _SIDE, _SIDE)
    canvas = canvas_of(Gallery(_network(), images), 1, 4)
    assert torch.equal(canvas.changed([Change(kinds.TURN, 0, "reflect")])[0], images[1]) and not canvas.as_picture
    assert torch.allclose(canvas.changed([Change(kinds.TURN, 90, "reflect")])[0], torch.rot90(images[1], 1, (1, 2)))


def test_the_share_of_a_part_that_is_shown() -> None:
    points = torch.tensor([[0.0, -6.0], [0.0, 6.0], [7.5, 7.5], [0.5, 0.5]], dtype=torch.float64)
    asked = [
        Change(kinds.SHIFT, 4, "reflect"),
        Change(kinds.SHIFT, -4, "reflect"),
        Change(kinds.SCALE, 2, "reflect"),
        Change(kinds.TURN, 45, "reflect"),
        Change(kinds.DISC, 45, "reflect"),
        Change(kinds.FLIP, 1, "reflect"),
    ]
    assert shown_share(points, (16, 16), asked).tolist() == [0.5, 0.75, 0.25, 0.75, 0.75, 1.0]


def test_distances_are_those_of_the_features_and_none_where_nothing_changes() -> None:
    model = _network().train()
    gallery = Gallery(model, [_picture()])
    canvas = canvas_of(gallery, 0, 4)
    changes = all_changes(_SIDE, "reflect")
    record = Responses(model, ["1", "3"], gallery.image(0)).record(canvas, changes, 1)
    assert model.training
    for layer in ("1", "3"):
        assert [record["distances"][layer][place] for place, each in enumerate(changes) if each.same] == [0.0] * 4
    turned = changes.index(Change(kinds.TURN, 90, "reflect"))
    image = gallery.image(0)
    with torch.no_grad():
        for depth, layer in ((2, "1"), (4, "3")):
            features = [model[:depth](each) for each in (image, torch.rot90(image, 1, (2, 3)))]
            assert record["distances"][layer][turned] == pytest.approx(float((features[1] - features[0]).norm()), 1e-5)
        logits = model(torch.rot90(image, 1, (2, 3)))[0]
    assert record["probability"][turned] == pytest.approx(float(logits.softmax(0)[1]), 1e-5)
    assert record["known"] and record["label"] == 1


def test_a_network_that_sees_single_pixels_and_their_mean_is_blind_to_moving_them() -> None:
    """Features are the means of each map: flips and quarters of the circle move the pixels and not the means."""
    gallery = Gallery(small.network(), [Image.fromarray(np.asarray(_picture(8, 8)))])
    changes = all_changes(8, "reflect")
    record = Responses(gallery.model, ["1", "3"], gallery.image(0)).record(canvas_of(gallery, 0, 2), changes, None)
    moved = [*of_kind(changes, kinds.FLIP), *(changes.index(Change(kinds.TURN, d, "reflect")) for d in (90, 180, 270))]
    for place in moved:
        assert record["distances"]["3"][place] < 1e-5 < 0.1 < record["distances"]["1"][place]
    assert not record["known"]


def _curves(first: float, last: float, probability: float = 0.5, count: int = 8) -> Curves:
    """Distances that grow at once to `first` in one layer, and in proportion to the change to `last` in the other."""
    changes = all_changes(224, "reflect")
    size = []
    for change in changes:
        far = {kinds.SHIFT: 60, kinds.OTHER_BORDER: 60, kinds.SCALE: 0.8, kinds.TURN: 180, kinds.DISC: 180}
        by = change.amount - 1 if change.kind == kinds.SCALE else change.amount
        by = 360 - by if by > 180 else abs(by)
        size.append(0.0 if change.same else by / far.get(change.kind, by or 1))
    noise = 1 + 0.01 * np.random.default_rng(0).standard_normal((count, 1))
    steps = np.array(size) * noise
    return Curves(
        changes,
        list(range(count)),
        [0] * count,
        1 - (1 - probability) * (steps > 0) * noise,
        np.ones((count, 2)),
        np.ones((count, len(changes)), dtype=bool),
        {"a": first * (steps > 0) * noise, "b": last * steps},
        {"a": first * (steps > 0) * noise, "b": last * steps},
    )


def test_claims_are_those_of_the_curves() -> None:
    found = claims(_curves(1.0, 0.3))
    assert [each.holds for each in found[:2]] == [True, True]
    assert [each.holds for each in found[3:5]] == [True, True] and found[5].holds is False
    assert "R^2 = 1.00" in found[1].found
    upside_down = _curves(1.0, 0.3)
    upside_down = replace(
        upside_down, distances=dict(zip("ab", list(upside_down.distances.values())[::-1], strict=True))
    )
    found = claims(upside_down)
    assert [each.holds for each in found[:2]] == [False, False]
    assert [each.holds for each in found[3:5]] == [False, False] and found[5].holds is True


def test_stable_means_more_than_under_rotation() -> None:
    curves = _curves(1.0, 0.3)
    assert claims(curves)[2].holds is not True
    turned = [change.kind == kinds.TURN and not change.same for change in curves.changes]
    lower = replace(curves, probability=np.where(turned, 0.1, curves.probability))
    assert claims(lower)[2].holds is True and kept(lower, kinds.TURN).value == pytest.approx(0.1)
    # The part is out of view wherever a shift or an enlargement has a low probability: the rest is compared.
    shifted = [change.kind == kinds.SHIFT and change.amount > 30 for change in curves.changes]
    hidden = replace(lower, probability=np.where(shifted, 0.0, lower.probability))
    seen = replace(hidden, in_view=np.tile(~np.array(shifted), (8, 1)))
    assert kept_more(seen, kinds.SHIFT, kinds.TURN).value == pytest.approx(0.4, abs=0.02)
    assert kept_more(hidden, kinds.SHIFT, kinds.TURN).value < 0.3


def test_the_smallest_changes_of_a_kind() -> None:
    curves = _curves(1.0, 0.3)
    for kind, amounts in ((kinds.SHIFT, [-5, 5]), (kinds.SCALE, [1.05]), (kinds.TURN, [10, 350])):
        assert [curves.changes[place].amount for place in smallest(curves, kind)] == amounts


def test_lines_are_straight_and_steps_are_not() -> None:
    amounts = np.arange(-5.0, 6)
    fit = straightness(amounts, kinds.SHIFT)
    assert fit(np.abs(amounts)[None] * 0.2) == pytest.approx(1)
    assert fit((amounts != 0)[None].astype(float)) < 0
    assert fit(np.zeros((2, 11))) == 0
    assert straightness(1 + np.arange(5) / 10, kinds.SCALE)(np.arange(5.0)[None]) == pytest.approx(1)
    step = stepwise(amounts, kinds.SHIFT)
    assert step((amounts != 0)[None] * 0.7) == pytest.approx(1)
    assert step(np.abs(amounts)[None] * 0.2) < fit(np.abs(amounts)[None] * 0.2)
    assert stepwise(1 + np.arange(5) / 10, kinds.SCALE)(np.array([[0, 3.0, 3, 3, 3]])) == pytest.approx(1)


def test_a_curve_between_a_line_and_a_step_is_undecided() -> None:
    curves = _curves(1.0, 0.3)
    steps = np.array([0 if change.same else 1 for change in curves.changes])
    between = replace(curves, distances={**curves.distances, "b": curves.distances["b"] + 0.15 * steps})
    found = claims(between)[1]
    assert found.holds is None and "of the step" in found.found


@pytest.mark.parametrize("periods", [1, 2, 4, 18])
def test_the_period_of_a_curve_over_the_circle(periods: int) -> None:
    angles = np.arange(0, 360, 10.0)
    curve = np.cos(np.radians(periods * angles))[None]
    shares = harmonics(curve)
    assert len(shares) == 18 and shares.sum() == pytest.approx(1)
    assert shares.argmax() == periods - 1 and shares[periods - 1] > 0.8
    spike = curve.copy()
    spike[0, 0] = -50  # the original itself says nothing of the period
    assert harmonics(spike).argmax() == periods - 1
    assert harmonics(np.ones((3, 36))).tolist() == [0] * 18


def test_a_peak_is_measured_against_what_lies_between() -> None:
    angles = np.arange(0, 360, 10.0)
    circle = np.zeros((2, 36))
    circle[:, [9, 18, 27]] = 1
    assert peak(circle, angles, (90, 180, 270)) == 1 and peak(circle, angles, (180,)) == 1
    assert peak(np.roll(circle, 4, axis=1), angles, (180,)) == -0.25 * 2


def test_intervals_hold_the_figure_and_are_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfcuda.paper.invariance.curves._RESAMPLES", 2000)
    values = np.random.default_rng(1).normal(3, 1, 50)
    found = resampled(np.mean, values)
    assert found.low < found.value < found.high and found == resampled(np.mean, values)
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(50), rel=0.15)


def test_records_become_distances_relative_to_those_between_pictures() -> None:
    changes = [
        Change(kinds.TURN, 0, "mean"),
        Change(kinds.TURN, 90, "mean"),
        *(Change(kinds.DISC, degrees, "mean") for degrees in (0, 90)),
    ]
    record = {
        "picture": 7,
        "label": 1,
        "known": True,
        "original": [0.9, 0.8],
        "probability": [0.9, 0.1, 0.8, 0.2],
        "answer": [1, 0, 1, 1],
        "distances": {"a": [0, 6, 0, 6]},
        "norms": {"a": [3.0, 2.0]},
    }
    curves = curves_of([record], changes, ["a"], {"a": [2.0, 4.0]})
    assert curves.distances["a"].tolist() == [[0, 3, 0, 1.5]] and curves.of_norm["a"].tolist() == [[0, 2, 0, 3]]
    assert curves.same.tolist() == [[True, False, True, True]] and curves.reference(kinds.DISC).tolist() == [0.8]


def test_the_symmetry_of_parts_is_found_by_turning_them() -> None:
    expected = {"star": 5, "flower": 6, "cross": 4, "gear": 8, "ladder": 2, "bow": 2, "arrow": 1, "heart": 1, "bolt": 1}
    assert {name: symmetry_of(name).order for name in expected} == expected
    assert symmetry_of("cross").likeness[9] > 0.9 > symmetry_of("cross").likeness[4]


def test_parts_that_keep_their_probability_by_their_symmetry() -> None:
    parts = Parts(seed=5)
    curves = _curves(1.0, 0.3, count=48)
    likeness = [0.9 if symmetry_of(parts.classes[parts.label(k)]).order > 1 else 0.4 for k in curves.pictures]
    seen = np.ones_like(curves.same)
    planted = replace(curves, probability=np.tile(np.array(likeness)[:, None], (1, len(curves.changes))), in_view=seen)
    found = symmetric(planted, parts)
    assert found is not None and found[1].holds is True and len(found[0]) == 12
    against = symmetric(replace(planted, probability=1 - planted.probability), parts)
    assert against is not None and against[1].holds is False
    assert symmetric(replace(planted, in_view=~seen), parts) is None


def test_the_figure_of_a_small_network_and_again_of_what_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    model = _network()
    model.classes = list(Parts.classes[:2])
    pictures = (Parts(seed=4, size=32), 6)
    found = fig5(model, pictures, count=4, cache=Cache(tmp_path))
    names = (
        ["0"] if "0.distance" in found.tensors else [key[: -len(".distance")] for key in found.tensors if "dist" in key]
    )
    assert found.tensors["probability"].shape == (4, len(found.tables["Curves"])) and len(names) >= 1
    assert len(found.rows) >= 2 and len(found.claims) >= 7 and "changes" in found.pictures
    assert ("" in found.pictures) == can_plot() and found.free == {"", "layers"} & set(found.pictures)
    monkeypatch.setattr(Responses, "record", lambda *_: pytest.fail("it is there"))
    again = fig5(model, pictures, count=4, cache=Cache(tmp_path))
    assert again.tables == found.tables and again.claims == found.claims


def test_without_matplotlib_there_are_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfcuda.paper.plots.can_plot", lambda: False)
    found = fig5(_network(), [_picture(), _picture(20, 16), _picture(16, 24)], count=3, layers=["1", "3"])
    assert set(found.pictures) == {"changes"} and found.rows and not found.free


def test_what_it_refuses(tmp_path) -> None:
    pictures = [_picture(), _picture(20, 16)]
    with pytest.raises(ValueError, match="border: expected one of reflect, mean, edge, got 'wrap'"):
        fig5(_network(), pictures, border="wrap")
    with pytest.raises(ValueError, match="count: expected at least 2, got 1"):
        fig5(_network(), pictures, count=1)
    with pytest.raises(ValueError, match="layers: expected at least two"):
        fig5(_network(), pictures, layers=["1", "1"])
    with pytest.raises(ValueError, match="nine"):
        fig5(_network(), pictures, layers=["1", "nine"])
    with pytest.raises(NotApplicableError, match="at least two that can be read, got 1"):
        fig5(_network(), pictures[:1])
    maps = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    with pytest.raises(NotApplicableError, match="scores"):
        fig5(maps, pictures, preprocess=_network().preprocess, layers=["0", "1"])


def test_distances_are_in_units_of_the_median_of_an_even_number_of_pairs_too() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(OrderedDict(a=nn.Conv2d(3, 4, 3), b=nn.ReLU(), c=nn.Flatten(), d=nn.Linear(4 * 36, 3))).eval()
    images = torch.rand(4, 3, 8, 8)  # six pairs
    found = fig5(model, images, layers=["b", "d"], count=4)
    with torch.no_grad():
        rows = model[:2](images).flatten(1).double()
    between = np.median([float((rows[i] - rows[j]).norm()) for i in range(4) for j in range(i)])
    place = next(n for n, each in enumerate(all_changes(8, "reflect")) if each.kind == kinds.FLIP)
    with torch.no_grad():
        flips = [model[:2](images.flip(axis)).flatten(1).double() for axis in (2, 3)]
    order = found.tensors["pictures"].tolist()
    apart = [(flip - rows).norm(dim=1)[order].numpy() / between for flip in flips]
    given = found.tensors["b.distance"][:, place].numpy()
    assert any(given == pytest.approx(each, rel=1e-4) for each in apart)
